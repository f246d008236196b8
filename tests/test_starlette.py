"""The response over an iterator: what it sends, what it refuses, how it is left.

What a registry streams is in ``test_streaming.py``.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.routing import Route

from sse_kit import EventSourceResponse, SSEMessage, asgi
from sse_kit import starlette as subject
from sse_kit.errors import InvalidMessage
from sse_kit.starlette import StreamClosed
from sse_kit.states import CloseReason
from sse_kit.testing import ASGIProbe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from starlette.requests import Request

    from sse_kit.testing import ProbeStream

pytestmark = pytest.mark.anyio

PATIENCE = 5.0


class Failure(Exception):
    pass


class Source:
    """A generator that notes how it fares, and who is told when its stream closed."""

    def __init__(
        self, *values: object, then: Callable[[], Awaitable[object]] | None = None
    ) -> None:
        self.facts: list[object] = []
        self._values = values
        self._then = then

    async def values(self) -> AsyncIterator[object]:
        self.facts.append("started")
        try:
            for value in self._values:
                yield value
            if self._then is not None:
                await self._then()
        finally:
            self.facts.append("finally")

    def response(self, **options: Any) -> EventSourceResponse:
        return EventSourceResponse(self.values(), on_close=self.facts.append, **options)


def idle(*values: object) -> Source:
    return Source(*values, then=anyio.sleep_forever)


def probe_of(make: Callable[[], EventSourceResponse], *, spec_version: str = "2.3") -> ASGIProbe:
    async def route(_: Request) -> EventSourceResponse:
        await checkpoint()
        return make()

    app = Starlette(routes=[Route("/", route)])
    return ASGIProbe(app, spec_version=spec_version)


# What it sends ----------------------------------------------------------------------------------


async def test_the_headers_are_those_of_a_stream_and_no_more() -> None:
    """No length, nothing of the connection's."""
    async with probe_of(idle().response).get("/") as stream:
        assert stream.status == 200
        assert stream.headers == asgi.HEADERS


async def test_headers_may_be_added() -> None:
    """Names in any case; what we say of caching may be replaced."""

    def make() -> EventSourceResponse:
        return EventSourceResponse([], headers={"X-One": "1", "Cache-Control": "no-cache"})

    async with probe_of(make).get("/") as stream:
        assert stream.headers == {**asgi.HEADERS, "x-one": "1", "cache-control": "no-cache"}


async def test_a_status_may_be_given() -> None:
    """As with any response."""
    async with probe_of(lambda: EventSourceResponse([], status_code=202)).get("/") as stream:
        assert stream.status == 202


async def test_cookies_survive() -> None:
    """As with any response."""

    def make() -> EventSourceResponse:
        response = EventSourceResponse([])
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    async with probe_of(make).get("/") as stream:
        assert "a=1" in stream.headers["set-cookie"]
        assert "b=2" in stream.headers["set-cookie"]


async def test_the_first_bytes_come_before_the_first_event() -> None:
    """A reconnection time, so that middlewares which wait for a body pass the headers on (H2)."""
    async with probe_of(idle().response).get("/") as stream:
        block = await stream.next_block()
        assert block.retry is not None
        assert 2000 <= block.retry <= 3000
        assert block.data is None


async def test_the_values_are_streamed_and_then_the_close_event() -> None:
    """Messages, text, models, anything with an obvious text."""

    class Token(BaseModel):
        text: str

    source = Source("one", Token(text="two"), {"three": 3}, SSEMessage("four", event="named"))
    async with probe_of(source.response).get("/") as stream:
        _, *blocks = await stream.read_until_end()
        assert [(block.type, block.data) for block in blocks] == [
            ("message", "one"),
            ("message", '{"text":"two"}'),
            ("message", '{"three":3}'),
            ("named", "four"),
            ("close", ""),
        ]
    assert source.facts == ["started", "finally", StreamClosed(CloseReason.FINISHED)]


@pytest.mark.parametrize(("close_event", "events"), [("done", ["done"]), (None, [])])
async def test_the_close_event_may_be_named_or_left_out(
    close_event: str | None, events: list[str]
) -> None:
    """Without one the client comes back, and the content runs again."""
    make = Source().response
    async with probe_of(lambda: make(close_event=close_event)).get("/") as stream:
        _, *blocks = await stream.read_until_end()
        assert [block.type for block in blocks] == events


async def test_a_silent_stream_has_heartbeats() -> None:
    """Comments, which clients ignore."""
    make = idle().response
    async with probe_of(lambda: make(heartbeat=0.001)).get("/") as stream:
        await stream.next_block()
        for _ in range(3):
            assert (await stream.next_block()).comment == "heartbeat"


async def test_a_background_task_runs_after_the_stream() -> None:
    """As with any response, also if the client left."""
    source = idle("value")

    def make() -> EventSourceResponse:
        response = source.response()
        response.background = BackgroundTask(source.facts.append, "background")
        return response

    async with probe_of(make).get("/") as stream:
        await stream.next_event()
    assert source.facts == [
        "started",
        "finally",
        StreamClosed(CloseReason.CLIENT_LEFT),
        "background",
    ]


async def test_head_has_the_headers_and_runs_nothing() -> None:
    """But what belongs to the response is released."""
    source = idle("value")
    async with probe_of(source.response).head("/") as stream:
        assert stream.headers == asgi.HEADERS
        assert await stream.read_until_end() == []
    assert source.facts == [StreamClosed(CloseReason.FINISHED)]


# A client that leaves ---------------------------------------------------------------------------


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
async def test_a_client_that_leaves_before_the_first_byte_closes_the_stream(
    spec_version: str,
) -> None:
    """``on_close`` is called, though the generator may never have started (F7)."""
    source = idle("value")
    async with probe_of(source.response, spec_version=spec_version).open("GET", "/") as stream:
        stream.reset()
    assert source.facts[-1] == StreamClosed(CloseReason.CLIENT_LEFT)
    assert source.facts.count("finally") == source.facts.count("started")


async def before_the_body(stream: ProbeStream) -> None:
    await checkpoint()
    assert stream.status


async def while_the_generator_waits(stream: ProbeStream) -> None:
    await stream.next_event()
    await anyio.wait_all_tasks_blocked()


async def while_a_write_waits(stream: ProbeStream) -> None:
    stream.stall()
    await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("spec_version", ["2.3", "2.4"])
@pytest.mark.parametrize(
    "moment", [before_the_body, while_the_generator_waits, while_a_write_waits]
)
async def test_a_client_that_leaves_closes_the_generator(
    moment: Callable[[ProbeStream], Awaitable[None]], spec_version: str
) -> None:
    """Whenever it is: its ``finally`` runs once, then ``on_close``."""
    source = idle("value", *["x" * 10_000] * 10)
    async with probe_of(source.response, spec_version=spec_version).get("/") as stream:
        await moment(stream)
        stream.disconnect()
        await stream.finished()
        assert source.facts == ["started", "finally", StreamClosed(CloseReason.CLIENT_LEFT)]


async def test_a_client_that_leaves_does_not_wait_for_a_sync_generator() -> None:
    """One that blocks in its thread for ever, as well."""
    blocked, released = threading.Event(), threading.Event()
    closed: list[StreamClosed] = []

    def blocking() -> Iterator[str]:
        blocked.set()
        released.wait(PATIENCE)
        yield "too late"

    def make() -> EventSourceResponse:
        return EventSourceResponse(blocking(), on_close=closed.append)

    async with probe_of(make).get("/") as stream:
        while not blocked.is_set():
            await checkpoint()
        stream.disconnect()
        await stream.finished()
        assert not released.is_set()
    released.set()
    assert closed == [StreamClosed(CloseReason.CLIENT_LEFT)]


async def test_a_client_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After ``send_timeout``, and the generator is closed."""
    monkeypatch.setattr(asgi, "GRACE", 0.01)
    source = Source(*["x" * 10_000] * 100)
    make = source.response
    async with probe_of(lambda: make(send_timeout=0.01)).get("/") as stream:
        await stream.finished()
    assert source.facts == ["started", "finally", StreamClosed(CloseReason.SEND_TIMEOUT)]


# What fails -------------------------------------------------------------------------------------


async def fail() -> None:
    await anyio.wait_all_tasks_blocked()
    raise Failure


async def test_what_the_content_raises_is_raised_as_it_is() -> None:
    """After the values before it; the response stays incomplete, so that a client can tell."""
    source = Source("one", "two", then=fail)
    async with probe_of(source.response).get("/") as stream:
        events = [await stream.next_event(), await stream.next_event()]
        assert [event.data for event in events] == ["one", "two"]
        with pytest.raises(Failure):
            await stream.next_block()
    error = StreamClosed(CloseReason.ERROR, "Failure()")
    assert source.facts == ["started", "finally", error]


async def test_a_value_that_is_no_message_is_an_error_of_the_app() -> None:
    """It names the value."""
    source = Source("one", b"two")
    async with probe_of(source.response).get("/") as stream:
        assert (await stream.next_event()).data == "one"
        with pytest.raises(InvalidMessage, match="b'two'"):
            await stream.next_block()
    assert source.facts[1] == "finally"


async def test_a_finally_that_fails_is_an_error_of_the_app() -> None:
    """It is not lost because the client left."""

    async def failing() -> AsyncIterator[str]:
        try:
            yield "value"
            await anyio.sleep_forever()
        finally:
            raise Failure

    with pytest.raises(Failure):
        async with probe_of(lambda: EventSourceResponse(failing())).get("/") as stream:
            await stream.next_event()


# on_close ---------------------------------------------------------------------------------------


async def test_on_close_may_be_async() -> None:
    """It may take its time although the client left."""
    facts: list[StreamClosed] = []

    async def on_close(closed: StreamClosed) -> None:
        await anyio.wait_all_tasks_blocked()
        facts.append(closed)

    make = idle("value").values
    async with probe_of(lambda: EventSourceResponse(make(), on_close=on_close)).get("/") as stream:
        await stream.next_event()
    assert facts == [StreamClosed(CloseReason.CLIENT_LEFT)]


async def test_on_close_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never returns keeps no stream."""
    monkeypatch.setattr(subject, "CLOSE_PATIENCE", 0.01)
    facts: list[str] = []

    async def on_close(_: StreamClosed) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            facts.append("cancelled")

    async with probe_of(lambda: EventSourceResponse([], on_close=on_close)).get("/") as stream:
        await stream.read_until_end()
    assert facts == ["cancelled"]


async def test_an_on_close_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """It spoils nothing."""

    def on_close(_: StreamClosed) -> None:
        raise Failure

    async with probe_of(lambda: EventSourceResponse([], on_close=on_close)).get("/") as stream:
        assert len(await stream.read_until_end()) == 2
    (logged,) = caplog.records
    assert logged.exc_info is not None
    assert logged.exc_info[0] is Failure


async def test_on_close_is_called_when_the_server_cancels_the_request() -> None:
    """As uvicorn does after its graceful timeout; it may await all the same."""
    source = idle("value")

    async def on_close(closed: StreamClosed) -> None:
        await checkpoint()
        source.facts.append(closed)

    async def receive() -> dict[str, Any]:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(_: Any) -> None:  # noqa: ANN401  a message of ASGI
        await checkpoint()

    async with anyio.create_task_group() as tasks:
        response = EventSourceResponse(source.values(), on_close=on_close)
        tasks.start_soon(response, {"type": "http", "method": "GET"}, receive, send)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert source.facts == ["started", "finally", StreamClosed(CloseReason.SERVER_STOP)]
