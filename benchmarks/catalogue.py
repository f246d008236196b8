"""Who is measured, and how each is started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from benchmarks import foreign

if TYPE_CHECKING:
    from benchmarks.model import Publish

Command: TypeAlias = Callable[[int, Path], Sequence[str]]
"""From a port and a folder to write in; raises ``Absent``."""

UVICORN = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")
COMMON = ("uvicorn", "uvloop", "httptools", "starlette")


class Family(StrEnum):
    """What a peer is to us."""

    OURS = "ours"
    SERVER = "ours, on another server"
    PYTHON = "Python"
    OTHER = "another language"
    FLOOR = "floor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One system under measurement; ``packages`` are the Python distributions that it needs."""

    name: str
    family: Family
    command: Command
    packages: tuple[str, ...] = ()
    publish: Publish = "in-process"

    def start_command(self, port: int, folder: Path) -> list[str]:
        """Return what starts it.

        Raises:
            Absent: something that it needs is not here.

        """
        for package in self.packages:
            try:
                metadata.version(package)
            except metadata.PackageNotFoundError as error:
                remedy = f"pip install {package}, or python3 dev.py bench, which does it"
                raise foreign.Absent(package, remedy) from error
        return list(self.command(port, folder))


def uvicorn(module: str, *options: str) -> Command:
    """Serve a module's ``app`` on uvicorn."""
    app = f"benchmarks.peers.{module}:app"
    return lambda port, _: [
        *(sys.executable, "-m", "uvicorn", app, "--port", str(port)),
        *UVICORN,
        *options,
    ]


def hypercorn(module: str) -> Command:
    """Serve a module's ``app`` on hypercorn, with uvloop."""
    app = f"benchmarks.peers.{module}:app"
    return lambda port, _: [
        *(sys.executable, "-m", "hypercorn", app, "--bind", f"127.0.0.1:{port}"),
        *("--worker-class", "uvloop", "--backlog", "2048"),
    ]


def granian(module: str) -> Command:
    """Serve a module's ``app`` on granian, with uvloop.

    Its ``--backpressure`` is the number of requests that it lets run; a stream is one.
    """
    app = f"benchmarks.peers.{module}:app"
    return lambda port, _: [
        *(sys.executable, "-m", "granian", app, "--interface", "asgi", "--port", str(port)),
        *("--loop", "uvloop", "--backlog", "2048", "--backpressure", "20000"),
        *("--no-access-log", "--log-level", "warning"),
    ]


def aiohttp(module: str) -> Command:
    """Serve on aiohttp's own server."""
    return lambda port, _: [sys.executable, "-m", f"benchmarks.peers.{module}", str(port)]


def _python(name: str, command: Command, *packages: str) -> Peer:
    return Peer(name=name, family=Family.PYTHON, command=command, packages=packages)


def _ours(name: str, module: str, *packages: str) -> Peer:
    packages = (*COMMON, *packages)
    return Peer(name=name, family=Family.OURS, command=uvicorn(module), packages=packages)


def _server(name: str, command: Command, *packages: str) -> Peer:
    return Peer(name=name, family=Family.SERVER, command=command, packages=packages)


def _floor(name: str, module: str) -> Peer:
    return Peer(
        name=name,
        family=Family.FLOOR,
        command=uvicorn(module),
        packages=COMMON,
        publish="nothing",
    )


OURS = "sse_kit"
BARE = "sse_kit-bare"
NCHAN = "nchan"
FASTHTML = "FastHTML"
WORKERS = "sse_kit-workers"

PEERS = (
    Peer(name=NCHAN, family=Family.OTHER, command=foreign.nginx, publish="per-event"),
    _ours(OURS, "sse_kit_starlette"),
    _ours(BARE, "sse_kit_bare"),
    _ours("sse_kit-fastapi", "sse_kit_fastapi", "fastapi"),
    _ours("sse_kit-fasthtml", "sse_kit_fasthtml", "python-fasthtml"),
    Peer(name="better-sse", family=Family.OTHER, command=foreign.better_sse),
    _python(FASTHTML, uvicorn("fasthtml_app"), *COMMON, "python-fasthtml"),
    _python("aiohttp-sse", aiohttp("aiohttp_app"), "aiohttp", "aiohttp-sse", "uvloop"),
    _python("litestar", uvicorn("litestar_app"), *COMMON, "litestar"),
    _python("sse-starlette", uvicorn("sse_starlette_app"), *COMMON, "sse-starlette"),
    _python("cjm-fasthtml-sse", uvicorn("cjm_app"), *COMMON, "cjm-fasthtml-sse"),
    _python("FastAPI", uvicorn("fastapi_app"), *COMMON, "fastapi"),
    Peer(name="loop-bare", family=Family.FLOOR, command=uvicorn("loop_bare"), packages=COMMON),
    _floor("empty-bare", "empty_bare"),
    _floor("empty-starlette", "empty_starlette"),
    _server("sse_kit-hypercorn", hypercorn("sse_kit_starlette"), "hypercorn", "uvloop"),
    _server("sse_kit-granian", granian("sse_kit_starlette"), "granian", "uvloop"),
    _server(WORKERS, uvicorn("sse_kit_starlette", "--workers", "2"), *COMMON),
)
"""In the order in which they run: whom the ratios compare with come first."""
