"""sse_kit.cli: what the command says, and how it ends."""

from __future__ import annotations

import re
import socket
from importlib import metadata
from pathlib import Path

import pytest

from sse_kit.cli import main
from tests.demo.process import DemoProcess, run

OPENED = "opened.txt"


def block(folder: Path, package: str) -> str:
    """Make a package that cannot be imported; returns the PYTHONPATH that finds it first."""
    (folder / f"{package}.py").write_text(f"raise ModuleNotFoundError({package!r})")
    return f"{folder}:{Path(__file__).resolve().parents[1]}"


def test_it_tells_its_version(tmp_path: Path) -> None:
    """The number is that of the installed distribution."""
    told = run("--version", cwd=tmp_path)
    try:
        assert told.stdout == f"sse-kit {metadata.version('sse-kit')}\n"
    except metadata.PackageNotFoundError:
        assert told.stdout == "sse-kit, not installed\n"
    assert told.returncode == 0


def test_without_a_command_it_tells_which_there_are(tmp_path: Path) -> None:
    """A misuse is the exit code 2."""
    told = run(cwd=tmp_path)
    assert told.returncode == 2
    assert "command" in told.stderr


def test_the_help_says_why_there_is_one_process(tmp_path: Path) -> None:
    """Who looks for ``--workers`` finds the reason."""
    told = run("demo", "--help", cwd=tmp_path)
    assert told.returncode == 0
    assert "no --workers" in told.stdout


@pytest.mark.parametrize("package", ["uvicorn", "psutil"])
def test_a_missing_extra_is_a_sentence(tmp_path: Path, package: str) -> None:
    """It names the package and what to install; there is no traceback."""
    told = run("demo", cwd=tmp_path, PYTHONPATH=block(tmp_path, package))
    assert told.returncode == 1
    assert told.stderr == (f"sse-kit: '{package}' is not installed: pip install 'sse-kit[cli]'\n")


def test_a_port_in_use_is_a_sentence(tmp_path: Path) -> None:
    """It names the port, and the option for another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = run("demo", "--port", str(port), cwd=tmp_path)
    assert told.returncode == 1
    assert re.fullmatch(rf"sse-kit: .*'127\.0\.0\.1', port {port} .*--port.*\n", told.stderr)


def test_a_host_that_is_none_is_a_sentence(tmp_path: Path) -> None:
    """It names what was asked for."""
    told = run("demo", "--host", "no.such.host.invalid", cwd=tmp_path)
    assert told.returncode == 1
    assert told.stderr.startswith("sse-kit: cannot listen on 'no.such.host.invalid'")
    assert told.stderr.count("\n") == 1


@pytest.mark.parametrize("port", ["65536", "-1", "http"])
def test_a_port_that_is_none_is_a_misuse(capsys: pytest.CaptureFixture[str], port: str) -> None:
    """It is refused before anything is started."""
    with pytest.raises(SystemExit, match="2"):
        main(["demo", f"--port={port}"])
    assert f"{port!r} is no port" in capsys.readouterr().err


def test_it_says_where_the_page_is(tmp_path: Path) -> None:
    """The address it prints answers, and the command for a terminal is there too."""
    with DemoProcess(tmp_path) as demo:
        assert "Ctrl-C" in demo.announcement
        assert demo.process.stdout
        assert f"curl -N '{demo.url}/events?topic=metrics'" in demo.process.stdout.readline()
        assert demo.get().status_code == 200


def test_it_listens_on_ipv6(tmp_path: Path) -> None:
    """The address is one that a browser takes."""
    with DemoProcess(tmp_path, options=("--host", "::1")) as demo:
        assert demo.url == f"http://[::1]:{demo.port}"
        assert demo.get().status_code == 200


def test_it_opens_a_browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser of the environment gets the address once the port is open."""
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {OPENED}.part; mv {OPENED}.part {OPENED}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    with DemoProcess(tmp_path, options=("--open",)) as demo:
        demo.wait_for(tmp_path / OPENED)
        assert (tmp_path / OPENED).read_text() == demo.url


def test_ctrl_c_ends_it_without_a_word(tmp_path: Path) -> None:
    """It is how a demo is meant to end."""
    with DemoProcess(tmp_path) as demo:
        assert demo.interrupt() == 0
        assert demo.errors() == ""


def test_it_leaves_no_file_behind(tmp_path: Path) -> None:
    """What is in the folder afterwards is only what the test wrote there."""
    with DemoProcess(tmp_path) as demo:
        demo.get()
        demo.interrupt()
    assert [path.name for path in tmp_path.iterdir()] == ["stderr.txt"]
