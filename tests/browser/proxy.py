"""A network that can be made to swallow everything, or to be cut."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

CHUNK = 65536


class Proxy:
    """Forwards TCP connections to a port; while it ``swallows``, what comes is read and dropped."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._sockets: list[socket.socket] = []
        self._forwards = threading.Event()
        self._forwards.set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _shut(self._listening)
        self.cut()
        for thread in self._threads:
            thread.join()

    def swallow(self) -> None:
        """Be a black hole: nobody is told that nothing arrives."""
        self._forwards.clear()

    def forward(self) -> None:
        """Forward what comes from now on; what was swallowed is lost."""
        self._forwards.set()

    def cut(self) -> None:
        """End every connection."""
        for each in self._sockets:
            _shut(each)

    def _start(self, target: object, *arguments: socket.socket) -> None:
        thread = threading.Thread(target=target, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                here, _ = self._listening.accept()
                there = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [here, there]
                self._start(self._pump, here, there)
                self._start(self._pump, there, here)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK):
                if self._forwards.is_set():
                    sink.sendall(chunk)
        _shut(source)
        _shut(sink)


def _shut(each: socket.socket) -> None:
    """Close it, and wake whoever waits for it in another thread."""
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
