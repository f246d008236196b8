"""Starting and ending servers, each in a process group of its own and on one core."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[1]

START = 30.0
"""Seconds that a server may take until it answers."""

Process: TypeAlias = "subprocess.Popen[bytes]"


class NotStarted(Exception):
    """A server ended, or did not answer in time."""

    def __init__(self, command: Sequence[str], output: str) -> None:
        last = output.strip().splitlines()[-1:] or ["it printed nothing"]
        super().__init__(f"{' '.join(command)} did not start: {last[0]}")


def cores() -> tuple[int | None, int | None]:
    """Return the core of the server and that of the generator; None where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[-1]) if len(usable) > 1 else (None, None)


@contextmanager
def pinned(core: int | None) -> Iterator[None]:
    """Run on one core meanwhile: a process that is started then stays there."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port() -> int:
    """Return a port of loopback that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def running(command: Sequence[str], *, port: int, core: int | None, log: Path) -> Iterator[Process]:
    """Run a server that answers on ``port``; its whole process group is gone afterwards.

    Raises:
        NotStarted: it ended, or did not answer in time.

    """
    with log.open("wb") as output, pinned(core):
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us alone: we end it
        )
    try:
        _wait_until_it_answers(process, command, port=port, log=log)
        yield process
    finally:
        end(process)


def _wait_until_it_answers(
    process: Process, command: Sequence[str], *, port: int, log: Path
) -> None:
    last = time.monotonic() + START
    while time.monotonic() < last and process.poll() is None:
        if answers(port):
            return
        time.sleep(0.02)
    raise NotStarted(command, log.read_text(errors="replace"))


def answers(port: int) -> bool:
    """Tell whether a request is answered: a master may listen before its worker is there."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=START) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
        return sock.recv(1) != b""
    return False


def end(process: Process) -> None:
    """Kill the process and all that it started: nothing of theirs is worth a goodbye."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
