"""Real servers as processes, and crowds of clients that are nothing but sockets."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
APP = "tests.servers.apps:app"
OWN = "tests.servers.own"

PATIENCE = 30.0
"""Seconds that anything may take before a test fails."""

AT_ONCE = 50
"""Clients that connect together: hypercorn's backlog is 100."""

NO_LINGER = struct.pack("ii", 1, 0)

SERVERS = {
    "uvicorn": ("uvicorn", APP, "--port", "{port}"),
    "hypercorn": ("hypercorn", APP, "--bind", "127.0.0.1:{port}"),
    "granian": ("granian", APP, "--interface", "asgi", "--port", "{port}"),
}
"""What one types, and nothing more."""


class Client:
    """A connection with one request."""

    def __init__(self, port: int, request: bytes) -> None:
        self.received = bytearray()
        self.ended = False
        self.was_reset = False
        self.sock = socket.socket()
        self.sock.settimeout(PATIENCE)
        self.sock.connect(("127.0.0.1", port))
        self.sock.sendall(request)

    def read(self) -> None:
        """Read what there is, or wait for something."""
        try:
            data = self.sock.recv(262_144)
        except ConnectionResetError:
            data, self.was_reset = b"", True
        self.received += data
        self.ended = not data

    def read_until(self, done: Callable[[Client], bool]) -> None:
        while not (self.ended or done(self)):
            self.read()

    def leave(self) -> None:
        """Close in good order, as a closed tab does."""
        self.sock.close()

    def reset(self) -> None:
        """Close by a reset, as a machine does whose network comes back."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.sock.close()

    def has_started(self) -> bool:
        """Tell whether the stream has sent its first block or event."""
        return self.received.count(b"\n\n") >= 2

    def ended_cleanly(self) -> bool:
        """Tell whether the response is complete."""
        return self.ended and self.received.endswith(b"0\r\n\r\n")


def request(path: str, *headers: bytes, method: str = "GET") -> bytes:
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: localhost", *headers, b"", b""]
    return b"\r\n".join(lines)


class Crowd:
    """Many clients, read as they come."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self._selector = selectors.DefaultSelector()

    def connect(self, port: int, paths: list[str]) -> None:
        """Connect and wait for the start of each stream, some at a time."""
        for first in range(0, len(paths), AT_ONCE):
            for path in paths[first : first + AT_ONCE]:
                self.send(port, path)
            self.read_until(Client.has_started)

    def send(self, port: int, path: str) -> None:
        """Connect one more, and wait for nothing."""
        client = Client(port, request(path))
        self.clients.append(client)
        self._selector.register(client.sock, selectors.EVENT_READ, client)

    def read_until(self, done: Callable[[Client], bool]) -> None:
        """Read until all clients are done, or have ended."""
        waiting = {client for client in self.clients if not (client.ended or done(client))}
        deadline = time.monotonic() + PATIENCE
        while waiting:
            assert time.monotonic() < deadline, f"{len(waiting)} clients still wait"
            for key, _ in self._selector.select(0.1):
                self._read(key.data)
                if key.data.ended or done(key.data):
                    waiting.discard(key.data)

    def _read(self, client: Client) -> None:
        client.read()
        if client.ended:
            self._selector.unregister(client.sock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()
        for client in self.clients:
            client.leave()


class Server:
    """A server's process, and what it wrote."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process = process
        self.port = port
        self._folder = folder

    def records(self) -> Counter[str]:
        """Count what the app wrote down."""
        return Counter((self._folder / "record").read_text().splitlines())

    def output(self) -> str:
        return (self._folder / "output").read_text()

    def call(self, path: str, *headers: bytes, method: str = "GET") -> bytes:
        """Return the body of a short response."""
        client = Client(self.port, request(path, b"Connection: close", *headers, method=method))
        client.read_until(lambda _: False)
        client.leave()
        return bytes(client.received).partition(b"\r\n\r\n")[2]

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.call("/state"))
        return state

    def wait_for(self, happened: Callable[[], bool], what: str) -> None:
        """Look until it happened: the server is another process, nothing tells us."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, f"no {what}: {self.records()}, {self.output()}"
            time.sleep(0.01)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal; return the seconds until the process has ended."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        return time.monotonic() - began

    def ctrl_c(self, times: int = 1) -> float:
        """Press Ctrl-C, which all processes of the group get; return seconds as ``stop``."""
        began = time.monotonic()
        for _ in range(times):
            os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(PATIENCE)
        return time.monotonic() - began


@contextmanager
def serving(command: tuple[str, ...], folder: Path) -> Iterator[Server]:
    """Run ``python -m command`` until the end of the block; nothing of it is left behind."""
    port = free_port()
    arguments = [part.format(port=port) for part in command]
    environment = {**os.environ, "SSE_KIT_TEST_RECORD": str(folder / "record")}
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(process, port, folder)
    try:
        server.wait_for(lambda: accepts(server), "server")
        yield server
    finally:
        # A supervisor's children are of its session: none outlives the block.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def accepts(server: Server) -> bool:
    assert server.process.poll() is None, server.output()
    try:
        socket.create_connection(("127.0.0.1", server.port)).close()
    except ConnectionRefusedError:
        return False
    return True


def within_the_promise(seconds: float, *, promise: float = 2.0) -> bool:
    """Tell whether a time is within what is promised for a machine that has nothing else to do."""
    cores = os.cpu_count() or 1
    return seconds <= promise * max(1.0, os.getloadavg()[0] / cores)
