"""The writer of a stream, driven by the bare protocol: what, for how long, and how it ends."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
import trio.testing
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from sse_kit import asgi
from sse_kit.asgi import HEADERS, Responder, last_event_id, respond_to_head
from sse_kit.config import StreamSettings
from sse_kit.states import CloseReason
from sse_kit.testing import ASGIProbe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sse_kit.testing.call import ASGIApp, Message, Receive, Scope, Send

START: Message = {"type": "http.response.start", "status": 200, "headers": []}
NEVER = StreamSettings(heartbeat=3600, send_timeout=3600)
SOON = StreamSettings(heartbeat=3600, send_timeout=0.01)
BIG = b"x" * 100_000
"""More than a client's window takes: the next write waits until it reads."""


class Script:
    """A session that the test fills by hand."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.ended: list[tuple[CloseReason, str | None]] = []
        self.beats = 0
        self._changed = anyio.Event()
        self._cut: Callable[[], None] | None = None

    def write(self, chunk: bytes) -> None:
        self.chunks.append(chunk)
        self._changed.set()

    def opening(self) -> bytes:
        return b"[opening]"

    async def wait(self) -> None:
        while not self.chunks and not self.is_over():
            self._changed = anyio.Event()
            await self._changed.wait()

    def take(self) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""

    def heartbeat(self) -> bytes:
        self.beats += 1
        return b"[beat]"

    def is_over(self) -> bool:
        return bool(self.ended)

    def farewell(self) -> bytes:
        return b"[farewell]"

    def on_end(self, callback: Callable[[], None]) -> None:
        self._cut = callback
        if self.ended:
            callback()

    def end(self, reason: CloseReason, *, error: str | None = None) -> None:
        if self.ended:
            return
        self.ended.append((reason, error))
        self._changed.set()
        if self._cut is not None:
            self._cut()

    @property
    def reason(self) -> CloseReason:
        ((reason, _),) = self.ended
        return reason


def app_of(
    session: Script,
    settings: StreamSettings = NEVER,
    *,
    feed: Callable[[], Awaitable[None]] | None = None,
) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Responder(session, settings=settings, feed=feed).run(
            scope, receive, send, start=dict(START)
        )

    return app


def sending(app: ASGIApp, wrap: Callable[[Send], Send]) -> ASGIApp:
    """Return ``app`` behind a middleware around ``send``."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, wrap(send))

    return wrapped


# What is written --------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_first_bytes_come_at_once() -> None:
    """Before the session has anything to say."""
    session = Script()
    async with ASGIProbe(app_of(session)).get("/") as stream:
        await anyio.wait_all_tasks_blocked()
        assert stream.raw == b"[opening]"


@pytest.mark.anyio
async def test_what_the_session_has_is_written_in_order() -> None:
    """What was there before, and what comes later."""
    session = Script(b"1", b"2")
    async with ASGIProbe(app_of(session)).get("/") as stream:
        await anyio.wait_all_tasks_blocked()
        assert stream.raw == b"[opening]12"
        session.write(b"3")
        await anyio.wait_all_tasks_blocked()
        assert stream.raw == b"[opening]123"


@pytest.mark.anyio
async def test_an_ended_session_is_written_to_its_end() -> None:
    """The rest, the farewell, and a complete response."""
    session = Script()
    async with ASGIProbe(app_of(session)).get("/") as stream:
        await anyio.wait_all_tasks_blocked()
        session.chunks += [b"1", b"2"]
        session.end(CloseReason.DRAINED)
        await stream.read_until_end()
        assert stream.raw == b"[opening]12[farewell]"
    assert session.reason is CloseReason.DRAINED


@pytest.mark.anyio
async def test_a_session_that_was_over_before_is_written_all_the_same() -> None:
    """So one who is refused is told in-band: a status other than 200 ends EventSource for ever."""
    session = Script()
    session.end(CloseReason.LIMIT)
    async with ASGIProbe(app_of(session)).get("/") as stream:
        await stream.read_until_end()
        assert stream.raw == b"[opening][farewell]"


@pytest.mark.anyio
async def test_head_has_the_start_and_an_empty_body() -> None:
    """The response is complete."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        await checkpoint()
        sent.append(message)

    await respond_to_head(send, START)
    assert sent == [START, {"type": "http.response.body", "body": b"", "more_body": False}]


def test_the_headers_are_these() -> None:
    """Not stored, not buffered, not rewritten; nothing that HTTP/2 forbids, no length."""
    assert HEADERS == {
        "content-type": "text/event-stream; charset=utf-8",
        "cache-control": "no-store, no-transform",
        "x-accel-buffering": "no",
    }


# Heartbeats -------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_silent_stream_has_heartbeats() -> None:
    """One after the other, for as long as it is silent."""
    settings = StreamSettings(heartbeat=0.001, send_timeout=3600)
    session = Script()
    async with ASGIProbe(app_of(session, settings)).get("/") as stream:
        await stream.until(lambda: session.beats >= 3, "three heartbeats")
        session.end(CloseReason.CLOSED)
        await stream.read_until_end()
        assert stream.raw == b"[opening]" + b"[beat]" * session.beats + b"[farewell]"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [("trio", {"clock": trio.testing.MockClock()})])
async def test_a_heartbeat_comes_only_after_silence() -> None:
    """Every write puts it off."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    session = Script()
    settings = StreamSettings(heartbeat=15, send_timeout=3600)
    async with ASGIProbe(app_of(session, settings), timeout=3600).get("/"):
        for beats, seconds in [(0, 14), (0, 14), (1, 16), (1, 14), (2, 2)]:
            if seconds == 14:
                session.write(b"x")
            await anyio.wait_all_tasks_blocked()
            clock.jump(seconds)
            await anyio.wait_all_tasks_blocked()
            assert session.beats == beats


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [("trio", {"clock": trio.testing.MockClock()})])
async def test_silence_is_not_a_client_that_does_not_read() -> None:
    """The patience is for each write, not for the time in between."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    session = Script()
    settings = StreamSettings(heartbeat=3600, send_timeout=1)
    async with ASGIProbe(app_of(session, settings), timeout=3600).get("/") as stream:
        await anyio.wait_all_tasks_blocked()
        clock.jump(10)
        await anyio.wait_all_tasks_blocked()
        session.write(b"x")
        await anyio.wait_all_tasks_blocked()
        assert stream.raw == b"[opening]x"


# A client that leaves ---------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_a_client_may_leave_before_the_start(spec_version: str) -> None:
    """The session ends all the same, and nothing is raised (F7)."""
    session = Script()
    probe = ASGIProbe(app_of(session), spec_version=spec_version)
    async with probe.open("GET", "/") as stream:
        stream.disconnect()
    assert session.reason is CloseReason.CLIENT_LEFT


@pytest.mark.anyio
@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_a_client_may_leave_before_the_body(spec_version: str) -> None:
    """After the headers."""
    session = Script()
    probe = ASGIProbe(app_of(session), spec_version=spec_version)
    async with probe.get("/") as stream:
        stream.reset()
    assert session.reason is CloseReason.CLIENT_LEFT


@pytest.mark.anyio
async def test_a_client_may_leave_while_nothing_happens() -> None:
    """The session ends without anything being written."""
    session = Script()
    async with ASGIProbe(app_of(session)).get("/") as stream:
        await anyio.wait_all_tasks_blocked()
        stream.disconnect()
        await stream.finished()
    assert session.reason is CloseReason.CLIENT_LEFT


@pytest.mark.anyio
async def test_a_client_may_leave_while_a_write_waits_for_it() -> None:
    """A server may never wake that write again (F10): it is cancelled."""
    left = anyio.Event()

    def stuck(send: Send) -> Send:
        async def wrapped(message: Message) -> None:
            await send(message)
            if message.get("body") == b"x":
                left.set()
                await anyio.sleep_forever()

        return wrapped

    session = Script(b"x")
    async with ASGIProbe(sending(app_of(session), stuck)).get("/") as stream:
        await left.wait()
        stream.disconnect()
        await stream.finished()
    assert session.reason is CloseReason.CLIENT_LEFT


@pytest.mark.anyio
async def test_the_rest_of_the_last_write_is_not_cancelled() -> None:
    """Hypercorn says "disconnect" in the middle of it, and closes the connection afterwards."""
    completed: list[str] = []
    disconnect = anyio.Event()

    async def receive() -> Message:
        await disconnect.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        await checkpoint()
        if message.get("more_body") is False:
            disconnect.set()
            await anyio.wait_all_tasks_blocked()
            completed.append("closed the connection")

    session = Script()
    session.end(CloseReason.DRAINED)
    await app_of(session)({"type": "http"}, receive, send)
    assert completed == ["closed the connection"]


@pytest.mark.anyio
async def test_a_send_that_raises_oserror_is_a_client_that_left() -> None:
    """As servers of the specification's version 2.4 do; it is no error."""

    def broken(_: Send) -> Send:
        async def wrapped(_: Message) -> None:
            await checkpoint()
            raise BrokenPipeError

        return wrapped

    session = Script()
    async with ASGIProbe(sending(app_of(session), broken)).open("GET", "/") as stream:
        await stream.finished()
    assert session.reason is CloseReason.CLIENT_LEFT


# A client that does not read --------------------------------------------------------------------


@pytest.fixture
def grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less for what cannot happen in process."""
    monkeypatch.setattr(asgi, "GRACE", 0.01)


@pytest.mark.anyio
@pytest.mark.usefixtures("grace")
async def test_a_client_that_takes_no_start_is_given_up() -> None:
    """The very first write has the same patience."""
    session = Script()
    async with ASGIProbe(app_of(session, SOON)).open("GET", "/") as stream:
        stream.stall()
        await stream.finished()
    assert session.reason is CloseReason.SEND_TIMEOUT


@pytest.mark.anyio
@pytest.mark.usefixtures("grace")
async def test_a_client_that_stops_reading_is_given_up() -> None:
    """After ``send_timeout``; nothing is written any more, not even the farewell."""
    session = Script(BIG, b"never")
    async with ASGIProbe(app_of(session, SOON)).get("/") as stream:
        await stream.finished()
        assert stream.raw == b"[opening]" + BIG
    assert session.reason is CloseReason.SEND_TIMEOUT


@pytest.mark.anyio
@pytest.mark.usefixtures("grace")
async def test_a_client_that_does_not_take_the_end_is_given_up() -> None:
    """The session keeps the reason it ended for."""
    session = Script(BIG)
    async with ASGIProbe(app_of(session, SOON)).get("/") as stream:
        session.end(CloseReason.FINISHED)
        await stream.finished()
    assert session.reason is CloseReason.FINISHED


@pytest.mark.anyio
@pytest.mark.usefixtures("grace")
async def test_a_stop_does_not_wait_for_a_client_that_does_not_read() -> None:
    """The write under way gets a grace, not the whole ``send_timeout``."""
    session = Script(BIG, b"waits")
    async with ASGIProbe(app_of(session)).get("/") as stream:
        await anyio.wait_all_tasks_blocked()
        session.end(CloseReason.SERVER_STOP)
        await stream.finished()
        assert stream.raw == b"[opening]" + BIG
    assert session.reason is CloseReason.SERVER_STOP


@pytest.mark.anyio
@pytest.mark.usefixtures("grace")
async def test_one_who_is_sent_away_and_does_not_read_is_given_up_soon() -> None:
    """Every write to a session that is over has the grace, not the ``send_timeout``."""
    session = Script()
    session.end(CloseReason.LIMIT)
    async with ASGIProbe(app_of(session)).open("GET", "/") as stream:
        stream.stall()
        await stream.finished()
    assert session.reason is CloseReason.LIMIT


@pytest.mark.anyio
async def test_a_client_that_reads_in_time_gets_all() -> None:
    """A slow client is no special case."""
    session = Script(BIG, BIG, b"last")
    async with ASGIProbe(app_of(session)).get("/") as stream:
        await anyio.wait_all_tasks_blocked()
        assert stream.raw == b"[opening]" + BIG
        session.end(CloseReason.DRAINED)
        await stream.read_until_end()
        assert stream.raw == b"[opening]" + BIG + BIG + b"last[farewell]"


@pytest.mark.anyio
@pytest.mark.usefixtures("grace")
async def test_a_middleware_s_timeout_is_a_client_that_does_not_read() -> None:
    """Its ``TimeoutError`` is no error of the app."""

    def impatient(send: Send) -> Send:
        async def wrapped(message: Message) -> None:
            with anyio.fail_after(0.01):
                await send(message)

        return wrapped

    session = Script(BIG, b"waits")
    async with ASGIProbe(sending(app_of(session), impatient)).get("/") as stream:
        await stream.finished()
    assert session.reason is CloseReason.SEND_TIMEOUT


# Failures ---------------------------------------------------------------------------------------


class Failure(Exception):
    pass


@pytest.mark.anyio
async def test_what_the_feed_raises_is_raised_as_it_is() -> None:
    """No group; the session knows, and what was there before was written."""
    session = Script()

    async def feed() -> None:
        await anyio.wait_all_tasks_blocked()
        session.chunks.append(b"before")
        raise Failure

    async with ASGIProbe(app_of(session, feed=feed)).get("/") as stream:
        with pytest.raises(Failure):
            await stream.read_until_end()
        assert stream.raw == b"[opening]before"
    assert session.ended == [(CloseReason.ERROR, "Failure()")]


@pytest.mark.anyio
async def test_what_send_raises_is_raised_as_it_is() -> None:
    """If it is no ``OSError``, it is a mistake of somebody's."""

    def failing(_: Send) -> Send:
        async def wrapped(_: Message) -> None:
            await checkpoint()
            raise Failure

        return wrapped

    session = Script()
    probe = ASGIProbe(sending(app_of(session), failing))
    with pytest.raises(Failure):
        async with probe.open("GET", "/") as stream:
            await stream.finished()
    assert session.reason is CloseReason.ERROR


@pytest.mark.anyio
async def test_what_receive_raises_is_raised_as_it_is() -> None:
    """It ends the stream: without it nobody knows when the client leaves."""
    session = Script()

    async def receive() -> Message:
        await anyio.wait_all_tasks_blocked()
        raise Failure

    async def send(_: Message) -> None:
        await checkpoint()

    with pytest.raises(Failure):
        await app_of(session)({"type": "http"}, receive, send)
    assert session.reason is CloseReason.ERROR


@pytest.mark.anyio
async def test_the_feed_is_cancelled_when_the_stream_is_over() -> None:
    """Whoever ends it."""
    cancelled: list[str] = []

    async def feed() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append("feed")

    session = Script()
    async with ASGIProbe(app_of(session, feed=feed)).get("/") as stream:
        await anyio.wait_all_tasks_blocked()
        session.end(CloseReason.DRAINED)
        await stream.read_until_end()
    assert cancelled == ["feed"]


@pytest.mark.anyio
async def test_a_server_that_cancels_the_request_ends_the_session() -> None:
    """As uvicorn does after its graceful timeout."""
    session = Script()

    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(_: Message) -> None:
        await checkpoint()

    async with anyio.create_task_group() as tasks:
        responder = Responder(session, settings=NEVER)
        tasks.start_soon(partial(responder.run, {"type": "http"}, receive, send, start=START))
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert session.reason is CloseReason.SERVER_STOP


# Last-Event-ID ----------------------------------------------------------------------------------


def scope_of(header: bytes | None = None, query: bytes = b"") -> Scope:
    headers = [] if header is None else [(b"last-event-id", header)]
    return {"headers": [(b"host", b"x"), *headers], "query_string": query}


@pytest.mark.parametrize(
    ("header", "query", "expected"),
    [
        (None, b"", None),
        (b"e.7", b"", "e.7"),
        (b"\xc3\xa9", b"", "é"),
        (b"\xe2\x80\xa6", b"", "…"),
        (b"\xff", b"", "\ufffd"),
        (b"", b"", None),
        (None, b"last_event_id=e.7", "e.7"),
        (None, b"a=1&last_event_id=%C3%A9&b=2", "é"),
        (None, "last_event_id=é".encode(), "é"),
        (None, b"last_event_id=%ff", "\ufffd"),
        (None, b"last_event_id=", None),
        (None, b"Last-Event-ID=e.7", None),
        (None, b"q=%C3%A9&r=\xff", None),
        (b"e.7", b"last_event_id=e.3", "e.7"),
        (b"", b"last_event_id=e.3", None),
    ],
)
def test_the_last_event_id_is_read(
    header: bytes | None, query: bytes, expected: str | None
) -> None:
    """UTF-8 from the header, else from the query; empty or absent is none (E8)."""
    assert last_event_id(scope_of(header, query)) == expected


def test_a_scope_may_lack_what_the_specification_calls_optional() -> None:
    """No headers, no query string: no id."""
    assert last_event_id({"type": "http"}) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_id_comes_back_as_it_was_sent(sent: str) -> None:
    """A browser sends the bytes of its UTF-8 form."""
    assert last_event_id(scope_of(sent.encode())) == sent


@given(st.none() | st.binary(), st.binary())
def test_no_bytes_of_a_client_raise(header: bytes | None, query: bytes) -> None:
    """Whatever it sends is an id or none."""
    found: Any = last_event_id(scope_of(header, query))
    assert found is None or (isinstance(found, str) and found)
