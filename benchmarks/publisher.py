"""How the generator makes a server publish: through the interface that its applications use."""

from __future__ import annotations

import socket
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

if TYPE_CHECKING:
    from benchmarks.crowd import Crowd
    from benchmarks.model import Publish

SIZE = 200
"""Bytes of a payload."""

ANSWER = b"HTTP/1.1 2"


def payload(size: int = SIZE) -> str:
    """Return an event's data: its time, filled up, and the byte that ends it."""
    return f"@{time.monotonic_ns()}@".ljust(size - 1, "x") + "~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """What to publish: ``count`` events of ``size`` bytes, ``times`` times.

    Every ``interval`` seconds; after each ``group`` of them the server's loop turns once (0: all in
    one turn). With ``topics`` they go round that many topics that nobody follows.
    """

    count: int
    size: int = SIZE
    group: int = 0
    topics: int = 0
    times: int = 1
    interval: float = 0.0


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
    def publish(self, events: Events) -> None:
        """Have them published; returns before they were, unless that takes several intervals."""

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
    """One request, upon which the server itself publishes all of them."""

    def publish(self, events: Events) -> None:
        """Ask the server to publish them."""
        self._ask([_post(f"/publish?{urlencode(asdict(events))}", b"")])


class PerEvent(Publisher):
    """One POST for each event, pipelined; an outsider can name no topics here, and no turns."""

    def publish(self, events: Events) -> None:
        """Post each event."""
        start = time.monotonic()
        for number in range(events.times):
            self._crowd.pump_until(start + number * events.interval)
            payloads = [payload(events.size).encode() for _ in range(events.count)]
            self._ask([_post("/publish", each) for each in payloads])


class Nothing(Publisher):
    """The server has no events: a floor."""

    def publish(self, events: Events) -> None:
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
