"""Real servers as processes, and crowds of clients that are nothing but sockets."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def request_bytes(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


class Client:
    def __init__(self, port: int, path: str) -> None:
        self.received = bytearray()
        self.ended = False
        self.reset = False
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.sendall(request_bytes(path))
        self.sock.setblocking(False)

    def read(self) -> None:
        try:
            data = self.sock.recv(65_536)
        except ConnectionError:
            data, self.reset = b"", True
        self.received += data
        self.ended = not data


class Crowd:
    def __init__(self, port: int, paths: list[str]) -> None:
        self.clients = [Client(port, path) for path in paths]
        self._selector = selectors.DefaultSelector()
        for client in self.clients:
            self._selector.register(client.sock, selectors.EVENT_READ, client)

    def read_until(self, done: Callable[[Client], bool], seconds: float = PATIENCE) -> bool:
        waiting = {client for client in self.clients if not done(client)}
        deadline = time.monotonic() + seconds
        while waiting and time.monotonic() < deadline:
            for key, _ in self._selector.select(0.1):
                client: Client = key.data
                client.read()
                if client.ended:
                    self._selector.unregister(client.sock)
                if client.ended or done(client):
                    waiting.discard(client)
        return not waiting

    def close(self) -> None:
        self._selector.close()
        for client in self.clients:
            client.sock.close()


class Server:
    def __init__(self, process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
        self.process = process
        self.port = port
        self.folder = folder

    def records(self) -> list[str]:
        return (self.folder / "record").read_text().splitlines()

    def output(self) -> str:
        return (self.folder / "output").read_text()

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float) -> float:
        began = time.monotonic()
        self.process.wait(seconds)
        return time.monotonic() - began


COMMANDS = {
    "uvicorn": ("uvicorn", "{app}", "--port", "{port}"),
    "hypercorn": ("hypercorn", "{app}", "--bind", "127.0.0.1:{port}"),
    "granian": ("granian", "--interface", "asgi", "--port", "{port}", "{app}"),
}


@contextmanager
def serve(command: tuple[str, ...], folder: Path, app="tests.servers.apps:app", **environment: str) -> Iterator[Server]:
    port = free_port()
    arguments = [part.format(app=app, port=port) for part in command]
    env = {**os.environ, **environment, "SSE_KIT_TEST_RECORD": str(folder / "record")}
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=ROOT, env=env, stdout=output, stderr=output,
            start_new_session=True,
        )
    server = Server(process, port, folder)
    try:
        _wait_for_port(server)
        yield server
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_for_port(server: Server) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", server.port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(server.output())
