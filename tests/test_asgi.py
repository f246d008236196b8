"""The writer of a stream, driven by the bare protocol: what, when, and until the client leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
import trio
import trio.testing
from anyio.lowlevel import checkpoint

from sse_kit.asgi import HEADERS, respond_to_head
from sse_kit.config import StreamSettings
from sse_kit.states import CloseReason
from sse_kit.testing import ASGIProbe
from tests.script import START, Script, app_of, sending

if TYPE_CHECKING:
    from sse_kit.testing.call import Message, Send


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
