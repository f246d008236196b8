"""The probe: an HTTP client for endless streams, in process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest
from anyio import lowlevel
from starlette.applications import Starlette
from starlette.responses import StreamingResponse
from starlette.routing import Route

from sse_kit.testing import (
    AppStillRunning,
    ASGIProbe,
    NotStarted,
    ProbeError,
    Silence,
    StreamEnded,
    WrongMessage,
)
from sse_kit.testing.asgi import WINDOW

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request

    from sse_kit.testing.call import Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio

START = {"type": "http.response.start", "status": 200, "headers": [(b"X-One", b"1")]}
END: dict[str, Any] = {"type": "http.response.body"}
SHORT = 0.2


def body(data: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": True}


class Streaming:
    """Sends its chunks and waits for the client to leave; notes what happened."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.scopes: list[Scope] = []
        self.left = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        await send(dict(START))
        for chunk in self.chunks:
            await send(body(chunk))
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left += 1

    def header(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.scopes[-1]["headers"] if key == name]


async def finite(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
    await send(dict(START))
    await send(body(b"data: 1\n\ndata: 2\n\ndata: cut"))
    await send(END)


async def test_a_response_has_status_and_headers() -> None:
    """Entering the block waits for the start of the response."""
    async with ASGIProbe(Streaming()).get("/x") as stream:
        assert stream.status == 200
        assert stream.headers == {"x-one": "1"}


async def test_headers_that_come_twice_are_joined() -> None:
    """Like a browser's ``Headers``."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        headers = [(b"vary", b"a"), (b"Vary", b"b")]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send(END)

    async with ASGIProbe(app).get("/") as stream:
        assert stream.headers == {"vary": "a, b"}


async def test_there_is_no_status_before_the_start() -> None:
    """``open`` doesn't wait, so what is not there yet is an error that says so."""
    async with ASGIProbe(Streaming()).open("GET", "/x") as stream:
        with pytest.raises(NotStarted, match=r"GET /x: .* await stream.start"):
            _ = stream.status
        await stream.start()
        assert stream.status == 200


async def test_an_event_is_a_block_with_data() -> None:
    """``next_event`` passes over a retry, an id and a comment; ``next_block`` does not."""
    app = Streaming(b"retry: 5\n\nid: 1\n\n: hi\n\ndata: a\n\n", b"id: 2\nda", b"ta: b\n\n")
    async with ASGIProbe(app).get("/") as stream:
        event = await stream.next_event()
        assert (event.data, event.last_event_id) == ("a", "1")
        assert (await stream.next_event()).data == "b"
    async with ASGIProbe(app).get("/") as stream:
        assert (await stream.next_block()).retry == 5
        assert (await stream.next_block()).id == "1"
        assert (await stream.next_block()).comment == "hi"


async def test_raw_is_all_that_has_arrived() -> None:
    """Also what is no block yet."""
    async with ASGIProbe(Streaming(b"data: a\n\n", b"data: b")).get("/") as stream:
        await stream.next_event()
        await anyio.wait_all_tasks_blocked()
        assert stream.raw == b"data: a\n\ndata: b"


async def test_the_last_event_id_is_that_of_the_last_block_handed_out() -> None:
    """What has arrived but was not read is asked for again."""
    async with ASGIProbe(Streaming(b"id: 1\ndata: a\n\nid: 2\ndata: b\n\n")).get("/") as stream:
        assert stream.last_event_id == ""
        await stream.next_event()
        assert stream.last_event_id == "1"


async def test_a_reconnect_sends_the_last_event_id_as_utf8() -> None:
    """With the same path, query and headers as the first time."""
    app = Streaming("id: \u00e9\ndata: a\n\n".encode())
    probe = ASGIProbe(app)
    async with probe.get("/p", headers={"X-A": "b"}, query={"q": "1"}) as stream:
        assert app.header(b"last-event-id") == []
        await stream.next_event()
    async with stream.reconnect() as again:
        assert app.header(b"last-event-id") == [b"\xc3\xa9"]
        assert app.header(b"x-a") == [b"b"]
        assert (app.scopes[1]["path"], app.scopes[1]["query_string"]) == ("/p", b"q=1")
        assert again.last_event_id == "\u00e9"


async def test_a_header_may_be_bytes() -> None:
    """What no browser sends can be sent all the same."""
    app = Streaming()
    async with ASGIProbe(app).get("/", headers={"last-event-id": b"\xff"}):
        assert app.header(b"last-event-id") == [b"\xff"]


async def test_leaving_the_block_is_a_disconnect() -> None:
    """The app is told, and has returned when the block is left."""
    app = Streaming(b"data: a\n\n")
    async with ASGIProbe(app).get("/"):
        assert app.left == 0
    assert app.left == 1


async def test_an_app_that_does_not_return_is_an_error_and_is_cancelled() -> None:
    """The error names the call, and no task is left behind."""
    cancelled = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        nonlocal cancelled
        try:
            await anyio.sleep_forever()
        finally:
            cancelled = True

    with pytest.raises(AppStillRunning, match=r"GET /zombie: .* still running 0.2 s"):
        async with ASGIProbe(app, timeout=SHORT).open("GET", "/zombie"):
            pass
    assert cancelled


async def test_an_app_that_floods_a_client_that_left_is_cancelled_too() -> None:
    """``send`` lets others run, so that not even a busy loop hangs the test."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send(dict(START))
        while True:
            await send(body(b"data: x\n\n"))

    with pytest.raises(AppStillRunning):
        async with ASGIProbe(app, timeout=SHORT).open("GET", "/"):
            pass


async def test_silence_is_an_error() -> None:
    """A wait ends after the timeout and says what it waited for."""
    async with ASGIProbe(Streaming(b": hi\n\n"), timeout=SHORT).open("GET", "/quiet") as stream:
        with pytest.raises(Silence, match=r"GET /quiet: no block came within 0.2 s"):
            await stream.next_event()


async def test_a_stalled_client_holds_the_app() -> None:
    """``send`` waits from ``stall`` to ``resume``."""
    sent: list[int] = []
    go = anyio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send(dict(START))
        await go.wait()
        for number in range(3):
            await send(body(b"data: %d\n\n" % number))
            sent.append(number)
        await send(END)

    async with ASGIProbe(app).get("/") as stream:
        stream.stall()
        go.set()
        await anyio.wait_all_tasks_blocked()
        assert sent == []
        stream.resume()
        assert [event.data for event in await stream.read_until_end()] == ["0", "1", "2"]


async def test_leaving_frees_an_app_that_a_stalled_client_holds() -> None:
    """As a server's ``send`` returns when the connection is lost."""
    app = Streaming(b"data: a\n\n")
    async with ASGIProbe(app).open("GET", "/") as stream:
        stream.stall()
        await anyio.wait_all_tasks_blocked()
    assert app.left == 1


async def test_an_endless_producer_is_held_at_the_window() -> None:
    """What is not read costs bounded memory."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send(dict(START))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flood, send)
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

    async def flood(send: Send) -> None:
        while True:
            await send(body(b"data: " + bytes(1000).replace(b"\0", b"x") + b"\n\n"))

    async with ASGIProbe(app).get("/") as stream:
        await anyio.wait_all_tasks_blocked()
        first = len(stream.raw)
        assert WINDOW < first < WINDOW + 2000
        for _ in range(10):
            await stream.next_event()
        await anyio.wait_all_tasks_blocked()
        assert len(stream.raw) > first


async def test_a_reset_makes_send_raise() -> None:
    """The error of the app surfaces like any other."""
    app = Streaming(b"data: a\n\n")
    with pytest.raises(ConnectionResetError):
        async with ASGIProbe(app).open("GET", "/") as stream:
            stream.reset()
    assert app.left == 0


async def test_a_client_may_leave_before_the_first_byte() -> None:
    """What the app sends is dropped, and the next thing it receives is the disconnect."""
    received: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        received.append(await receive())
        await send(dict(START))
        await send(body(b"data: a\n\n"))
        received.extend([await receive(), await receive()])

    async with ASGIProbe(app).open("GET", "/") as stream:
        stream.disconnect()
    assert [message["type"] for message in received] == [
        "http.request",
        "http.disconnect",
        "http.disconnect",
    ]
    assert stream.raw == b""


async def test_from_asgi_2_4_send_raises_when_the_client_left() -> None:
    """The app is told the version, and the probe keeps to it."""
    raised: list[OSError] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["asgi"] == {"version": "3.0", "spec_version": "2.4"}
        await send(dict(START))
        await receive()
        await receive()
        try:
            await send(body(b"data: a\n\n"))
        except OSError as error:
            raised.append(error)

    async with ASGIProbe(app, spec_version="2.4").get("/"):
        pass
    assert len(raised) == 1


async def test_head_has_headers_and_an_end() -> None:
    """The method reaches the app; a body would be in ``raw``."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        assert scope["method"] == "HEAD"
        await send(dict(START))
        await send(END)

    async with ASGIProbe(app).head("/") as stream:
        assert stream.status == 200
        assert await stream.read_until_end() == []
        assert stream.raw == b""


async def test_a_response_is_read_to_its_end() -> None:
    """What is not ended by an empty line is no block; after the end there is no event."""
    async with ASGIProbe(finite).get("/") as stream:
        await stream.next_event()
        assert [event.data for event in await stream.read_until_end()] == ["2"]
        with pytest.raises(StreamEnded, match="data: cut"):
            await stream.next_event()


async def test_a_response_without_an_end_is_an_error() -> None:
    """An app that returns in the middle of its response is told from one that ends it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send(dict(START))
        await send(body(b"data: a\n\n"))

    async with ASGIProbe(app).get("/") as stream:
        with pytest.raises(StreamEnded, match="returned before block"):
            await stream.read_until_end()


async def test_an_app_without_a_response_is_an_error() -> None:
    """An app that returns before it has said anything."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    with pytest.raises(StreamEnded, match="returned before response"):
        async with ASGIProbe(app).get("/"):
            pass


@pytest.mark.parametrize("messages", [[END], [START, START], [START, END, END], [{"type": "x"}]])
async def test_what_may_not_be_sent_is_refused(messages: list[dict[str, Any]]) -> None:
    """A body before the start, a second start, anything after the end, another type."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        for message in messages:
            await send(message)

    with pytest.raises(WrongMessage):
        async with ASGIProbe(app).open("GET", "/"):
            await anyio.wait_all_tasks_blocked()


async def test_a_complete_response_is_followed_by_the_disconnect() -> None:
    """As servers do it: whoever listens for the client's end hears it."""
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await finite(scope, receive, send)
        heard.append(await receive())

    async with ASGIProbe(app).get("/") as stream:
        await stream.read_until_end()
        await anyio.wait_all_tasks_blocked()
        assert heard == [{"type": "http.disconnect"}]


async def test_what_the_app_raises_surfaces_where_the_test_waits() -> None:
    """The very exception, out of groups of one, and only once."""
    boom = ValueError("boom")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await send(dict(START))
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [boom])])

    async with ASGIProbe(app).get("/") as stream:
        with pytest.raises(ValueError, match="boom") as caught:
            await stream.next_event()
    assert caught.value is boom


async def test_what_the_app_raises_in_the_end_surfaces_when_the_block_is_left() -> None:
    """A cleanup that fails is not lost; a group of two stays one."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Streaming()(scope, receive, send)
        raise ExceptionGroup("two", [ValueError(), KeyError()])

    with pytest.raises(ExceptionGroup, match="two"):
        async with ASGIProbe(app).get("/"):
            pass


class Outcome(BaseException):
    """What ``pytest.skip`` raises is no Exception either."""


@pytest.mark.parametrize("kind", [ZeroDivisionError, Outcome])
async def test_an_error_of_the_block_leaves_as_it_is(kind: type[BaseException]) -> None:
    """Not wrapped; what the app did wrong besides is a note on it."""
    error = kind()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Streaming()(scope, receive, send)
        raise ValueError("too")

    with pytest.raises(kind) as caught:
        async with ASGIProbe(app).get("/"):
            raise error
    assert caught.value is error
    assert caught.value.__notes__ == ["and then: ValueError('too')"]


async def test_cancelling_the_test_cancels_the_app() -> None:
    """A timeout around the block works as usual."""
    app = Streaming()
    with anyio.move_on_after(10) as scope:
        async with ASGIProbe(app).get("/"):
            scope.cancel()
            await lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert app.left == 0


class Living:
    """An app with a lifespan; fails where it is told to."""

    def __init__(self, fails: str = "", *, says_so: bool = False) -> None:
        self.fails = fails
        self.says_so = says_so
        self.log: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.log.append(scope["state"]["pool"])
            await finite(scope, receive, send)
            return
        for phase in ("startup", "shutdown"):
            assert await receive() == {"type": f"lifespan.{phase}"}
            self.log.append(phase)
            scope["state"]["pool"] = "a pool"
            await self._end(phase, send)

    async def _end(self, phase: str, send: Send) -> None:
        if self.fails != phase:
            await send({"type": f"lifespan.{phase}.complete"})
            return
        if self.says_so:
            await send({"type": f"lifespan.{phase}.failed", "message": "no pool"})
            await anyio.lowlevel.checkpoint()
        raise ValueError(phase)


async def test_the_lifespan_surrounds_the_requests() -> None:
    """Its state is in their scopes; it can be run again."""
    app = Living()
    probe = ASGIProbe(app)
    for _ in range(2):
        async with probe, probe.get("/") as stream:
            assert len(await stream.read_until_end()) == 2
    assert app.log == ["startup", "a pool", "shutdown"] * 2


@pytest.mark.parametrize("says_so", [False, True])
@pytest.mark.parametrize("phase", ["startup", "shutdown"])
async def test_a_lifespan_that_fails_fails_the_test(phase: str, says_so: bool) -> None:  # noqa: FBT001
    """With the exception of the app, whether it also says that it failed or not."""
    with pytest.raises(ValueError, match=phase):
        async with ASGIProbe(Living(phase, says_so=says_so)):
            pass


async def test_a_lifespan_that_only_says_that_it_failed_fails_the_test() -> None:
    """With what it said."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no pool"})

    with pytest.raises(ProbeError, match=r"lifespan: lifespan.startup.failed: no pool"):
        async with ASGIProbe(app):
            pass


async def test_an_error_in_a_lifespan_leaves_as_it_is() -> None:
    """The probe's block wraps nothing either."""
    app = Living()
    with pytest.raises(ZeroDivisionError):
        async with ASGIProbe(app):
            raise ZeroDivisionError
    assert app.log == ["startup", "shutdown"]


async def test_an_endless_response_of_starlette_is_read_and_left() -> None:
    """What httpx's ASGITransport and Starlette's TestClient buffer for ever (F16)."""
    closed = anyio.Event()

    async def numbers() -> AsyncGenerator[str]:
        try:
            for number in range(1_000_000):
                yield f"data: {number}\n\n"
                await anyio.sleep(0.001)
        finally:
            closed.set()

    async def endless(request: Request) -> StreamingResponse:  # noqa: ARG001
        return StreamingResponse(numbers(), media_type="text/event-stream")

    async with (
        ASGIProbe(Starlette(routes=[Route("/", endless)])) as probe,
        probe.get("/") as stream,
    ):
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert [(await stream.next_event()).data for _ in range(3)] == ["0", "1", "2"]
    assert stream.status == 200
