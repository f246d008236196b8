"""How the generator makes a server publish: through the interface that its applications use."""

from __future__ import annotations

import socket
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.crowd import Crowd
    from benchmarks.model import Publish

SIZE = 200
"""Bytes of a payload."""

ANSWER = b"HTTP/1.1 2"


def payload(size: int = SIZE) -> str:
    """Return an event's data: its time, filled up, and the byte that ends it."""
    return f"@{time.monotonic_ns()}@".ljust(size - 1, "x") + "~"


class Publisher(ABC):
    """Makes a server publish, over one connection of the crowd's loop; answers come in order.

    Servers close a connection that was idle for some seconds; then the next request has a new one.
    """

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._sock = socket.socket()
        self._sock.close()
        self._open = 0
        self._rest = b""

    @abstractmethod
    def publish(self, count: int, *, group: int = 0, topics: int = 0, size: int = SIZE) -> None:
        """Ask for ``count`` events; returns before they were published."""

    def done(self) -> bool:
        """Tell whether every request was answered."""
        return self._open <= 0

    def _answered(self, data: bytes) -> None:
        data = self._rest + data
        self._open -= data.count(ANSWER)
        self._rest = data[1 - len(ANSWER) :]

    def _ask(self, requests: list[bytes]) -> None:
        if self._sock.fileno() < 0:
            self._sock, self._open = self._crowd.connect(self._answered), 0
        self._open += len(requests)
        self._sock.settimeout(30)  # a long pipeline may fill the socket
        self._sock.sendall(b"".join(requests))
        self._sock.setblocking(False)  # noqa: FBT003  the socket's own signature


class InProcess(Publisher):
    """One request, upon which the server itself publishes ``count`` events."""

    def publish(self, count: int, *, group: int = 0, topics: int = 0, size: int = SIZE) -> None:
        """Ask the server to publish them."""
        query = f"count={count}&group={group}&size={size}&topics={topics}"
        self._ask([_post(f"/publish?{query}", b"")])


class PerEvent(Publisher):
    """One POST for each event, pipelined."""

    def publish(self, count: int, *, group: int = 0, topics: int = 0, size: int = SIZE) -> None:
        """Post each event."""
        del group, topics  # the server has no turns that an outsider could name
        self._ask([_post("/publish", payload(size).encode()) for _ in range(count)])


class Nothing(Publisher):
    """The server has no events: a floor."""

    def publish(self, count: int, *, group: int = 0, topics: int = 0, size: int = SIZE) -> None:
        """Refuse: nobody should ask."""
        raise NotImplementedError


def _post(path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def publisher(how: Publish, crowd: Crowd) -> Publisher:
    """Return the publisher for a server."""
    kinds: dict[Publish, type[Publisher]] = {
        "in-process": InProcess,
        "per-event": PerEvent,
        "nothing": Nothing,
    }
    return kinds[how](crowd)
