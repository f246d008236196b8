"""Thousands of subscribers that are nothing but sockets, in one epoll loop.

Every payload ends with one byte that occurs nowhere else on the wire, so events are counted by
counting that byte: right also where an event is split over two reads, and cheap where one read
carries a hundred. Only some connections look at the events themselves, for their latency; or all
do, for those that come twice: the times at which they begin rise from one event to the next.
"""

from __future__ import annotations

import re
import select
import socket
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

END = b"~"
"""The last byte of a payload."""

STAMP = re.compile(rb"@(\d+)@")
"""The start of a payload: when it was published, in nanoseconds of the monotonic clock."""

LONGEST_STAMP = 24

SWEEP = 0.002
"""Seconds from the first sign of data to reading it, with all that came meanwhile.

A client that reads each packet at once has its wake-up and its acknowledgement done by the
server's ``send()``, because both are on one machine. Clients elsewhere cost a server neither.
"""

FULL_SWEEP = 1_000
"""So many sockets are worth reading without waiting for more."""

BUFFER = 1 << 18

STALLED_BUFFER = 4_096
"""Bytes that the kernel takes for a client that never reads: few, so that it stalls early."""

NO_LINGER = struct.pack("ii", 1, 0)
SUCCESS = re.compile(rb"HTTP/1\.[01] 200 ")


class Refused(Exception):
    """A server answered with something else than a stream."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(f"no event stream, but {answer[:200]!r}: look at the server's output")


class Stamps:
    """Reads the latency of each event of one stream, however it is cut, and those that come twice.

    Without ``latencies`` the latter alone.
    """

    def __init__(self, latencies: list[int] | None = None) -> None:
        self.doubled = 0
        self._latencies = latencies
        self._newest = 0
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take what was read just now."""
        now = time.monotonic_ns()
        data = self._rest + data
        end = 0
        for found in STAMP.finditer(data):
            self._take(int(found[1]), now)
            end = found.end()
        self._rest = data[max(end, len(data) - LONGEST_STAMP) :]

    def _take(self, stamp: int, now: int) -> None:
        if self._latencies is not None:
            self._latencies.append(now - stamp)
        if stamp <= self._newest:
            self.doubled += 1
        self._newest = max(self._newest, stamp)


class Crowd:
    """Subscribers of one server; every ``every``-th measures latency, all if ``checked`` order."""

    def __init__(self, port: int, *, every: int = 16, checked: bool = False) -> None:
        self.arrived = 0
        self.opened = 0
        self.latencies: list[int] = []
        self._port = port
        self._every = every
        self._checked = checked
        self._stamps: list[Stamps] = []
        self._stalled: list[socket.socket] = []
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._watched: dict[int, Callable[[bytes], None]] = {}
        self._opening: dict[int, bytes] = {}
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)

    def open(
        self, request: Callable[[int], bytes], count: int, *, parallel: int, patience: float
    ) -> None:
        """Connect ``count`` subscribers, ``parallel`` at a time; return when all have a stream.

        Or when for ``patience`` seconds nobody got one: ``opened`` says how many have.
        """
        started, seen, last = 0, self.opened, time.monotonic()
        while (started < count or self._opening) and time.monotonic() - last < patience:
            while started < count and len(self._opening) < parallel:
                self._subscribe(request(started), sampled=started % self._every == 0)
                started += 1
            self.pump(patience)
            if self.opened > seen:
                seen, last = self.opened, time.monotonic()
        self._opening.clear()

    def _subscribe(self, request: bytes, *, sampled: bool) -> None:
        stamps = self._new_stamps(sampled=sampled)
        sock = self.connect(lambda data: self._opened(sock.fileno(), data, stamps))
        self._opening[sock.fileno()] = b""
        sock.sendall(request)

    def _new_stamps(self, *, sampled: bool) -> Callable[[bytes], None] | None:
        if not (sampled or self._checked):
            return None
        stamps = Stamps(self.latencies if sampled else None)
        self._stamps.append(stamps)
        return stamps.feed

    @property
    def doubled(self) -> int:
        """How many events came to a subscriber again, or after a later one."""
        return sum(stamps.doubled for stamps in self._stamps)

    def stall(self, request: bytes) -> None:
        """Have one more client, which makes a request and never reads."""
        sock = socket.socket()
        # Before it connects: the handshake tells the window.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STALLED_BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        sock.connect(("127.0.0.1", self._port))
        sock.sendall(request)
        self._stalled.append(sock)

    def _opened(self, fd: int, data: bytes, stamps: Callable[[bytes], None] | None) -> None:
        head = self._opening[fd] = self._opening.get(fd, b"") + data
        if b"\r\n\r\n" not in head:
            return
        if not SUCCESS.match(head):
            raise Refused(head)
        del self._watched[fd]
        self._opening.pop(fd, None)
        self.opened += 1
        if stamps is not None:
            self._watched[fd] = stamps
            stamps(head)

    def connect(self, watch: Callable[[bytes], None]) -> socket.socket:
        """Return a connection of this loop; ``watch`` is given what it reads."""
        sock = socket.create_connection(("127.0.0.1", self._port), timeout=30)
        sock.setblocking(False)  # noqa: FBT003  the socket's own signature
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self._sockets[sock.fileno()] = sock
        self._watched[sock.fileno()] = watch
        self._epoll.register(sock, select.EPOLLIN)
        return sock

    def pump(self, timeout: float) -> None:
        """Read what there is, after waiting up to ``timeout`` seconds for something."""
        sockets, watched, buffer, view = self._sockets, self._watched, self._buffer, self._view
        arrived = 0
        for fd, _ in self._ready(timeout):
            try:
                size = sockets[fd].recv_into(buffer)
            except BlockingIOError:
                continue
            except OSError:
                size = 0
            if not size:
                self._drop(fd)
                continue
            arrived += buffer.count(END, 0, size)
            if fd in watched:
                watched[fd](bytes(view[:size]))
        self.arrived += arrived

    def _ready(self, timeout: float) -> list[tuple[int, int]]:
        ready = self._epoll.poll(timeout)
        if ready and len(ready) < FULL_SWEEP and not self._opening:
            time.sleep(SWEEP)
            ready = self._epoll.poll(0)
        return ready

    def pump_until(self, due: float) -> None:
        """Read until ``due`` on the monotonic clock."""
        while (left := due - time.monotonic()) > 0:
            self.pump(left)

    def wait_for(self, arrived: int, *, patience: float) -> bool:
        """Read until that many have arrived in all; give up after ``patience`` without any."""
        seen, last = self.arrived, time.monotonic()
        while self.arrived < arrived:
            self.pump(patience)
            if self.arrived > seen:
                seen, last = self.arrived, time.monotonic()
            elif time.monotonic() - last > patience:
                return False
        return True

    def _drop(self, fd: int) -> None:
        self._epoll.unregister(fd)
        self._watched.pop(fd, None)
        self._opening.pop(fd, None)
        self._sockets.pop(fd).close()

    def close(self) -> None:
        """Leave, all at once, by a reset: no port stays in TIME_WAIT."""
        for sock in (*self._sockets.values(), *self._stalled):
            sock.close()
        self._epoll.close()
