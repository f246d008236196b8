"""The demo as what it is for people: a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "sse_kit.cli")
PATIENCE = 20.0
"""Seconds for a process that must end by itself, on a busy machine."""


class DemoProcess:
    """``sse-kit demo`` on a free port, in a folder of its own; killed when it is left.

    ``port`` is 0 for a free one. What it says to ``stderr`` is in ``errors()``.
    """

    def __init__(self, folder: Path, *, port: int = 0, options: tuple[str, ...] = ()) -> None:
        self._stderr = folder / "stderr.txt"
        with self._stderr.open("a") as stderr:
            self.process = subprocess.Popen(
                [*COMMAND, "demo", "--port", str(port), *options],
                cwd=folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert self.process.stdout
        self.announcement = self.process.stdout.readline()
        found = re.search(r"http://\S+:(\d+)", self.announcement)
        if found is None:
            self.kill()
            raise AssertionError(self.errors())
        self.url = found[0]
        self.port = int(found[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def errors(self) -> str:
        """Return what was written to stderr."""
        return self._stderr.read_text()

    def kill(self) -> None:
        """Kill -9; what it was doing is cut off. Twice is harmless."""
        self.process.kill()
        with self.process:
            pass  # waits, and closes the pipe

    def interrupt(self, timeout: float = PATIENCE) -> int:
        """Press Ctrl-C; returns the exit code, which must be there in ``timeout`` seconds."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout)

    def wait_for(self, path: Path) -> None:
        """Wait until another process has made a file."""
        deadline = time.monotonic() + PATIENCE
        while not path.exists():
            assert time.monotonic() < deadline, f"{path.name} did not appear: {self.errors()}"
            time.sleep(0.02)

    def get(self, path: str = "") -> httpx.Response:
        """Ask for a page, from outside the browser."""
        return httpx.get(f"{self.url}/{path}", timeout=PATIENCE, trust_env=False)

    def post(self, text: str) -> httpx.Response:
        """Write a message, from outside the browser."""
        url = f"{self.url}/messages"
        return httpx.post(url, data={"text": text}, timeout=PATIENCE, trust_env=False)


def environment(**changes: str) -> dict[str, str]:
    """Return this environment; the package can be imported anywhere, warnings are errors."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **changes}


def run(*arguments: str, cwd: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run ``sse-kit`` to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        check=False,
        capture_output=True,
        cwd=cwd,
        env=environment(**changes),
        text=True,
        timeout=60,
    )
