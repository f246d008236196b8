"""The built wheel, installed into a fresh environment, as a user gets it."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 30.0
"""Seconds for what another process does."""

APP = """
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.responses import PlainTextResponse

from sse_kit import ConnectionRegistry

registry = ConnectionRegistry()


async def events(request):
    return registry.stream(request, ["news"])


async def publish(request):
    position = await registry.publish("news", (await request.body()).decode())
    return PlainTextResponse(str(position))


app = Starlette(
    lifespan=registry.lifespan,
    routes=[Route("/events", events), Route("/publish", publish, methods=["POST"])],
)
server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
server.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""


class Dist(NamedTuple):
    wheel: Path
    sdist: Path


class Served(NamedTuple):
    port: int
    process: subprocess.Popen[str]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command far from the sources, so that what it imports is what is installed."""
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def succeed(*command: str | Path, cwd: Path) -> str:
    done = run(*command, cwd=cwd)
    if done.returncode:
        pytest.fail(done.stdout + done.stderr)
    return done.stdout


@pytest.fixture(scope="session")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Dist:
    """Build both, the wheel from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    succeed(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Dist(wheel, sdist)


@pytest.fixture(scope="session")
def consumer(dist: Dist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment that has the wheel, without extras; return its Python."""
    folder = tmp_path_factory.mktemp("consumer")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    succeed(python, "-m", "pip", "install", "--disable-pip-version-check", dist.wheel, cwd=folder)
    return python


@pytest.fixture
def served(consumer: Path, tmp_path: Path) -> Generator[Served]:
    """Run the app of above on the installed package; its socket listens before it starts."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = subprocess.Popen(
            [consumer, "-W", "always::ResourceWarning", "-c", APP, str(listening.fileno())],
            cwd=tmp_path,
            pass_fds=[listening.fileno()],
            stderr=subprocess.PIPE,
            text=True,
        )
        port = listening.getsockname()[1]
    with process:
        try:
            yield Served(port, process)
        finally:
            process.kill()


def published(port: int, text: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("POST", "/publish", text)
    with connection.getresponse() as response:
        position = response.read().decode()
    connection.close()
    return position


def block(stream: http.client.HTTPResponse) -> list[str]:
    """Return the lines up to the next empty one."""
    lines: list[str] = []
    while line := stream.readline().decode().removesuffix("\n"):
        lines.append(line)
    return lines


def test_a_stream_runs_from_the_installed_wheel(served: Served) -> None:
    """Headers, opening, checkpoint, message; and the server stops with the stream open."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE)
    connection.request("GET", "/events")
    stream = connection.getresponse()
    assert stream.status == http.HTTPStatus.OK
    assert stream.headers.get_content_type() == "text/event-stream"
    assert block(stream)[0].startswith("retry: ")
    assert block(stream)[0].startswith("id: ")
    position = published(served.port, "first\nsecond")
    assert block(stream) == [f"id: {position}", "data: first", "data: second"]
    served.process.terminate()
    stream.read()
    connection.close()
    _, errors = served.process.communicate(timeout=PATIENCE)
    assert errors == ""


def test_a_client_that_comes_back_gets_what_it_missed(served: Served) -> None:
    """The id of a message is the Last-Event-ID to resume from."""
    first = published(served.port, "first")
    second = published(served.port, "second")
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE)
    connection.request("GET", "/events", headers={"Last-Event-ID": first})
    stream = connection.getresponse()
    assert block(stream)[0].startswith("retry: ")
    missed = block(stream)
    if missed == [f"id: {first}"]:  # a checkpoint: the process had not heard of the second yet
        missed = block(stream)
    assert missed == [f"id: {second}", "data: second"]
    stream.close()
    connection.close()


def test_the_types_reach_the_user(consumer: Path, tmp_path: Path) -> None:
    """Strict mypy agrees with ``tests/typing`` on the installed package, without our stubs."""
    shutil.copytree(ROOT / "tests" / "typing", tmp_path / "app")
    options = ("--strict", "--config-file=", "--cache-dir=cache", "--python-executable", consumer)
    fasthtml = "--disable-error-code=import-untyped"  # which has no types of its own
    succeed(sys.executable, "-m", "mypy", *options, fasthtml, "app", cwd=tmp_path)


def test_the_wheel_holds_the_package_and_nothing_else(dist: Dist) -> None:
    """Every file of the package, the marker of its types and its assets; no tests, no stubs."""
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "sse_kit").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with zipfile.ZipFile(dist.wheel) as wheel:
        names = set(wheel.namelist())
    assert "sse_kit/py.typed" in package
    assert any(name.endswith(".js") for name in package)
    assert {name for name in names if ".dist-info/" not in name} == package
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_sdist_holds_what_a_distributor_needs(dist: Dist) -> None:
    """Sources, tests and the files around them; nothing that a machine left behind."""
    with tarfile.open(dist.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    tops = {name.partition("/")[0] for name in names if name}
    assert tops - {"benchmarks", "examples"} == {
        *("sse_kit", "tests", "typings", "docs", ".ci", "dev.py", "pyproject.toml"),
        *("README.md", "CHANGELOG.md", "LICENSE", "PKG-INFO", ".gitignore"),
    }
    assert not any("__pycache__" in name for name in names)


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [("sse_kit.demo.metrics", "psutil", "cli"), ("sse_kit.testing", "hypothesis", "testing")],
)
def test_a_missing_extra_is_named(module: str, package: str, extra: str, consumer: Path) -> None:
    """Promise 6: the error says what to install."""
    done = run(consumer, "-c", f"import {module}", cwd=consumer.parent)
    last = done.stderr.splitlines()[-1]
    assert last == (
        f"sse_kit.errors.MissingExtra: {package!r} is not installed: pip install 'sse-kit[{extra}]'"
    )


@pytest.mark.parametrize(("option", "said"), [("--version", "0.1.0"), ("--help", "demo")])
def test_the_command_is_installed(option: str, said: str, consumer: Path) -> None:
    """``sse-kit`` answers without any extra."""
    assert said in succeed(consumer.parent / "sse-kit", option, cwd=consumer.parent)


def test_the_demo_names_its_extra(consumer: Path) -> None:
    """A command that cannot run says why in one line."""
    done = run(consumer.parent / "sse-kit", "demo", cwd=consumer.parent)
    assert done.returncode == 1
    assert done.stderr == "sse-kit: 'psutil' is not installed: pip install 'sse-kit[cli]'\n"
