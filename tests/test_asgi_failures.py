"""The writer of a stream, when a client does not read, or somebody fails."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sse_kit import asgi
from sse_kit.asgi import Responder
from sse_kit.states import CloseReason
from sse_kit.testing import ASGIProbe
from tests.script import BIG, NEVER, SOON, START, Script, app_of, sending

if TYPE_CHECKING:
    from sse_kit.testing.call import Message, Send


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
