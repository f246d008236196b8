"""A network that can be made slow, silent or absent."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from sse_kit.errors import InvalidSetting
from sse_kit.testing.ports import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

CHUNK = 65_536


class FaultProxy:
    """Forwards TCP connections from a port of loopback to where a URL points.

    ``url`` is that URL with the proxy's address in it. Its threads need no event loop, so it serves
    tests of any kind. Entered, it forwards; what it is told holds for all connections, old and new,
    until ``forward()``.

    Raises:
        InvalidSetting: the URL has no host or no port.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        if parts.hostname is None or parts.port is None:
            raise InvalidSetting(
                "target", target, "has no host and port", "write scheme://host:port"
            )
        self._target = (parts.hostname, parts.port)
        self.port = free_port()
        self._listening = socket.create_server((HOST, self.port))
        user, at, _ = parts.netloc.rpartition("@")
        self.url = parts._replace(netloc=f"{user}{at}{HOST}:{self.port}").geturl()
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._network = _Network()
        self._acceptor: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.refuse()
        self.cut()
        self._network.restore()
        for link in self._open():
            link.join()

    def swallow(self) -> None:
        """Be a black hole: nobody is told that nothing arrives. What is swallowed stays lost."""
        self._network.swallows = True

    def hold(self) -> None:
        """Keep what comes, as a network does that loses every packet for a while."""
        self._network.passes.clear()

    def delay(self, seconds: float) -> None:
        """Let every chunk of at most 64 KiB wait, in both directions."""
        self._network.delay = seconds

    def refuse(self) -> None:
        """Refuse new connections; those that are open stay."""
        _shut(self._listening)
        if self._acceptor is not None:
            self._acceptor.join()
            self._acceptor = None

    def cut(self) -> None:
        """End every connection."""
        for link in self._open():
            link.shut()

    def forward(self) -> None:
        """Be a good network again: what was held goes on its way, new connections are taken.

        A connection of which something was swallowed is cut: TCP has no holes.
        """
        for link in self._open():
            if link.has_hole:
                link.shut()
        self._network.restore()
        if self._acceptor is None:
            self._listening = socket.create_server((HOST, self.port))
            self._listen()

    def _listen(self) -> None:
        self._acceptor = threading.Thread(target=self._accept, args=(self._listening,))
        self._acceptor.start()

    def _accept(self, listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                here, _ = listening.accept()
                self._connect(here)

    def _connect(self, here: socket.socket) -> None:
        try:
            there = socket.create_connection(self._target)
        except OSError:
            _reset(here)
            return
        link = _Link(here, there, self._network, self._forget)
        with self._lock:
            self._links.add(link)
        link.start()

    def _open(self) -> list[_Link]:
        with self._lock:
            return list(self._links)

    def _forget(self, link: _Link) -> None:
        with self._lock:
            self._links.discard(link)


class _Network:
    """What all connections are going through."""

    def __init__(self) -> None:
        self.passes = threading.Event()
        self.restore()

    def restore(self) -> None:
        self.swallows = False
        self.delay = 0.0
        self.passes.set()


class _Link:
    """One connection: two sockets, and a thread for each direction."""

    def __init__(
        self,
        here: socket.socket,
        there: socket.socket,
        network: _Network,
        ended: Callable[[_Link], None],
    ) -> None:
        self.has_hole = False
        self._network = network
        self._ended = ended
        self._sockets = (here, there)
        ways = ((here, there), (there, here))
        self._threads = [threading.Thread(target=self._pump, args=way) for way in ways]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def shut(self) -> None:
        for each in self._sockets:
            _shut(each)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK):
                self._pass(chunk, sink)
        self.shut()
        self._ended(self)

    def _pass(self, chunk: bytes, sink: socket.socket) -> None:
        network = self._network
        if network.swallows:
            self.has_hole = True
            return
        if network.delay:
            time.sleep(network.delay)
        network.passes.wait()
        sink.sendall(chunk)


def _shut(each: socket.socket) -> None:
    """Close it, and wake whoever waits for it in another thread."""
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


def _reset(each: socket.socket) -> None:
    """Close it as nobody who listens does."""
    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    each.close()
