"""One client that stalls, beside one that reads: neither loses anything, and the server little."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sse_kit import StreamDecoder
from tests.servers.harness import PATIENCE, Client, request, serving

if TYPE_CHECKING:
    from collections.abc import Generator

    from sse_kit import ReceivedMessage
    from tests.servers.harness import Server

LOOPS = {
    "uvloop": ("--loop", "uvloop", "--http", "httptools"),
    "asyncio": ("--loop", "asyncio", "--http", "h11"),
}
WRAPPERS = ("plain", "asyncio", "anyio")
"""Nothing, ``asyncio.timeout`` and ``anyio.fail_after`` around each ``send``."""

MANY = 20_000
SMALL = 4_096
"""Bytes of a receive buffer that is soon full."""

AT_ONCE = 100_000
"""Bytes that are published before the live client reads: what the kernel takes for it."""

QUEUE = 100
QUEUE_BYTES = 1024 * 1024
"""What may wait for one connection: a registry's defaults."""

MEGABYTE = 1024 * 1024


class Reader(Client):
    """A client with a receive buffer of its own size, which reads numbered events."""

    def __init__(self, port: int, request: bytes, *, room: int) -> None:
        self.received = bytearray()
        self.ended = self.was_reset = False
        self.sock = socket.socket()
        self.sock.settimeout(PATIENCE)
        # Before it connects: the handshake tells the window.
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.sock.connect(("127.0.0.1", port))
        self.sock.sendall(request)

    def read_to(self, number: int) -> None:
        """Read until this event has come whole, which is the last one so far."""
        start = b"data: %d " % number

        def has_come(client: Client) -> bool:
            last = bytes(client.received[-20_000:])
            return start in last and last.endswith(b"\n\n\r\n")

        self.read_until(has_come)
        assert not self.ended, f"the stream ended before event {number}"

    def read_on(self, number: int) -> None:
        """Have room again, or the rest would come a segment at a time, and read."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MEGABYTE)
        self.read_to(number)

    def events(self) -> list[ReceivedMessage]:
        """Decode what was read."""
        body = unchunked(bytes(self.received).partition(b"\r\n\r\n")[2])
        return [message for message in StreamDecoder().feed(body) if message.data is not None]

    def numbers(self) -> list[int]:
        """Return the numbers of the events in the order in which they came."""
        return [number_of(event) for event in self.events()]


def unchunked(stream: bytes) -> bytes:
    """Take the body out of the chunks of HTTP/1.1."""
    parts: list[bytes] = []
    at = 0
    while (end := stream.find(b"\r\n", at)) >= 0:
        start, size = end + 2, int(stream[at:end], 16)
        parts.append(stream[start : start + size])
        at = start + size + 2
    return b"".join(parts)


def number_of(event: ReceivedMessage) -> int:
    """Return an event's number, with which its data begins."""
    return int((event.data or "").split()[0])


class Pair:
    """A client that reads all that comes, and beside it one that reads nothing by itself."""

    def __init__(self, server: Server, path: str) -> None:
        self.server = server
        self.published = 0
        self.before = self.held()
        self.live = Reader(server.port, request(path), room=MEGABYTE)
        server.wait_for(lambda: self.held()["total"] == 1, "live client")
        self.with_live = self.held()
        self.stalled = Reader(server.port, request(path), room=SMALL)
        server.wait_for(lambda: self.held()["total"] == 2, "stalled client")

    def held(self) -> dict[str, Any]:
        held: dict[str, Any] = json.loads(self.server.call("/held"))
        return held

    def publish(self, count: int, size: int) -> None:
        """Publish as fast as the live client reads."""
        last = self.published + count
        while self.published < last:
            some = min(max(AT_ONCE // size, 1), last - self.published)
            query = f"first={self.published}&count={some}&size={size}"
            assert self.server.call(f"/publish?{query}", method="POST").endswith(b"published")
            self.published += some
            self.live.read_to(self.published - 1)

    def leave(self) -> None:
        self.live.leave()
        self.stalled.leave()


@contextmanager
def pair(folder: pytest.TempPathFactory, application: str, loop: str, path: str) -> Generator[Pair]:
    command = ("uvicorn", f"tests.servers.slow:{application}", "--port", "{port}", *LOOPS[loop])
    with serving((*command, "--no-access-log"), folder.mktemp("server")) as server:
        both = Pair(server, path)
        yield both
        both.leave()
        assert "Traceback" not in server.output()
        assert "ERROR" not in server.output()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_client_that_stalls_and_reads_on_gets_every_event_in_order(
    loop: str, wrapper: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Promises 1 and 3; from the ring and from the history, and the one beside it all the same."""
    with pair(tmp_path_factory, "everything", loop, f"/{wrapper}/events") as both:
        both.publish(MANY, 200)
        assert both.held()["catching_up"] == 1
        both.stalled.read_on(MANY - 1)
        both.publish(10, 200)
        both.stalled.read_to(MANY + 9)
        assert both.stalled.numbers() == list(range(MANY + 10))
        assert both.live.numbers() == list(range(MANY + 10))


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_stalled_too_long_is_told_how_many_it_missed(
    loop: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Promise 1; then it goes on in order, and the one beside it has missed nothing."""
    with pair(tmp_path_factory, "little", loop, "/plain/events") as both:
        both.publish(MANY, 200)
        both.stalled.read_on(MANY - 1)
        both.publish(10, 200)
        both.stalled.read_to(MANY + 9)
        events = both.stalled.events()
        at = next(place for place, event in enumerate(events) if event.event == "gap")
        gap, after = events[at], [number_of(event) for event in events[at + 1 :]]
        assert [number_of(event) for event in events[:at]] == list(range(at))
        assert after == list(range(MANY - 500, MANY + 10))
        assert json.loads(gap.data or "") == {"reason": "trimmed", "missed": after[0] - at}
        assert (gap.id or "").partition(".")[2] == str(after[0])
        assert both.live.numbers() == list(range(MANY + 10))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("application", "path"),
    [
        ("impatient", "/plain/events"),
        ("everything", "/asyncio/events?patience=0.5"),
        ("everything", "/anyio/events?patience=0.5"),
    ],
)
def test_a_timeout_ends_the_client_that_never_reads_and_no_other(
    loop: str, application: str, path: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Promise 4; the registry's own timeout, and one that a middleware has set."""
    with pair(tmp_path_factory, application, loop, path) as both:
        both.publish(5_000, 1_000)
        ended = {"disconnected send_timeout": 1}
        both.server.wait_for(lambda: both.server.records() == ended, "end of the stalled one")
        kept = ("total", "tasks", "descriptors")
        both.server.wait_for(
            lambda: all(both.held()[each] <= both.with_live[each] for each in kept), "cleanup"
        )
        both.publish(100, 1_000)
        assert both.live.numbers() == list(range(5_100))
        assert both.server.records() == ended


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_stalls_costs_bounded_memory(
    loop: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Promise 3: in items, in bytes, and in what the process takes of 100 MB published."""
    with pair(tmp_path_factory, "little", loop, "/plain/events") as both:
        both.publish(1_000, 5_000)
        filled = both.held()
        assert filled["catching_up"] == 1
        for _ in range(19):
            both.publish(1_000, 5_000)
            held = both.held()
            assert (held["total"], held["catching_up"]) == (2, 1)
            assert held["items"] <= QUEUE
            assert held["bytes"] <= QUEUE_BYTES
            assert held["memory"] - filled["memory"] < 20 * MEGABYTE
