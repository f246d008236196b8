"""Which wrappers around ``send`` are left out for a body: those that act on the start alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from fastapi import FastAPI
from fasthtml.core import FastHTML
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.routing import Mount, Route

from sse_kit.passthrough import innermost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from sse_kit.asgi import Message, Receive, Scope, Send
    from sse_kit.testing.call import ASGIApp

pytestmark = pytest.mark.anyio


class Peek(Response):
    """A response that notes what ``send`` it was given."""

    def __init__(self) -> None:
        self.background = None
        self.given: list[Send] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        self.given.append(send)


async def server(message: Message) -> None:
    """Stand for the server's own ``send``."""


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def given_by(app: ASGIApp, response: Peek) -> Send:
    """Return the ``send`` that an app gives to the response of its route."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/a/b",
        "raw_path": b"/a/b",
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "server": ("test", 80),
        "client": ("test", 1),
        "scheme": "http",
    }
    await app(scope, receive, server)
    (send,) = response.given
    return send


def starlette(response: Peek, *middleware: Middleware) -> ASGIApp:
    async def endpoint(request: Request) -> Response:  # noqa: ARG001
        return response

    routes = [Mount("/a", routes=[Route("/b", endpoint)])]
    return Starlette(routes=routes, middleware=middleware)


def fastapi(response: Peek) -> ASGIApp:
    app = FastAPI()

    @app.get("/a/b")
    async def endpoint() -> Response:
        return response

    return app


def fasthtml(response: Peek) -> ASGIApp:
    app = FastHTML(default_hdrs=False, secret_key="test")  # noqa: S106

    @app.route("/a/b", methods="get")
    async def endpoint() -> Response:
        return response

    return app


FRAMEWORKS = [starlette, fastapi, fasthtml]


@pytest.mark.parametrize("make", FRAMEWORKS)
async def test_the_wrappers_of_frameworks_are_left_out(make: Callable[[Peek], ASGIApp]) -> None:
    """What is inside of them is the server's own ``send``."""
    response = Peek()
    send = await given_by(make(response), response)
    assert send is not server
    assert innermost(send) is server


class Counts:
    """A middleware that counts what is sent through it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counting(message: Message) -> None:
            scope["count"] = scope.get("count", 0) + 1
            await send(message)

        await self.app(scope, receive, counting)


async def test_a_middleware_of_the_application_is_not_left_out() -> None:
    """Frameworks' wrappers inside of it are."""
    response = Peek()
    send = innermost(await given_by(starlette(response, Middleware(Counts)), response))
    assert send.__qualname__.startswith("Counts.")


def noting(send: Send) -> Send:
    """Do what Starlette does."""
    response_started = False

    async def sender(message: Message) -> None:
        nonlocal response_started
        if message["type"] == "http.response.start":
            response_started = True
        await send(message)

    return sender


def adds_a_header(send: Send) -> Send:
    """Do what a middleware for sessions does."""
    headers: list[tuple[bytes, bytes]] = []

    async def send_wrapper(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers.extend((b"x-number", b"%d" % number) for number in range(3))
            if headers:
                message["headers"] = [*message["headers"], *headers]
        await send(message)

    return send_wrapper


ON_START = [noting, adds_a_header]


@pytest.mark.parametrize("wrap", ON_START)
async def test_whatever_a_wrapper_does_at_the_start_it_is_left_out_afterwards(
    wrap: Callable[[Send], Send],
) -> None:
    """For a body it only hands on."""
    assert innermost(wrap(server)) is server


def looks_at_bodies(send: Send) -> Send:
    response_started = False

    async def sender(message: Message) -> None:
        nonlocal response_started
        if message["type"] == "http.response.body":
            response_started = True
        await send(message)

    return sender


def sends_first(send: Send) -> Send:
    response_started = False

    async def sender(message: Message) -> None:
        nonlocal response_started
        await send(message)
        if message["type"] == "http.response.start":
            response_started = True

    return sender


def catches(send: Send) -> Send:
    response_started = False

    async def sender(message: Message) -> None:
        nonlocal response_started
        try:
            if message["type"] == "http.response.start":
                response_started = True
            await send(message)
        except OSError:
            pass

    return sender


def sends_twice(send: Send) -> Send:
    response_started = False

    async def sender(message: Message) -> None:
        nonlocal response_started
        if message["type"] == "http.response.start":
            response_started = True
        await send(message)
        await send(message)

    return sender


def sends_another(send: Send) -> Send:
    response_started = False

    async def sender(message: Message) -> None:
        nonlocal response_started
        if message["type"] == "http.response.start":
            response_started = True
        await send({})

    return sender


def looks_at_others_too(send: Send) -> Send:
    seen: list[str] = []

    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            seen.append("start")
        else:
            seen.append("body")
        await send(message)

    return sender


def looks_twice(send: Send) -> Send:
    seen: list[str] = []

    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            seen.append("start")
        if message["type"] == "http.response.body":
            seen.append("body")
        await send(message)

    return sender


def waits_for_it(send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            await server(message)
        async with anyio.Lock():
            await send(message)

    return sender


def goes_on(send: Send) -> Send:
    seen: list[str] = []

    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            seen.append("start")
        await send(message)
        seen.append("sent")

    return sender


def changes_it(send: Send) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": []}
        await send({**message})

    return sender


def takes_more(send: Send) -> Send:
    async def sender(message: Message, more: bool = False) -> None:  # noqa: FBT001, FBT002, ARG001
        if message["type"] == "http.response.start":
            message["headers"] = []
        await send(message)

    return sender


def hands_on(send: Send) -> Send:
    def sender(message: Message) -> Awaitable[None]:
        return send(message)

    return sender


def under_another_name(downstream: Send) -> Send:
    response_started = False

    async def sender(message: Message) -> None:
        nonlocal response_started
        if message["type"] == "http.response.start":
            response_started = True
        await downstream(message)

    return sender


OTHERS = [
    looks_at_bodies,
    sends_first,
    catches,
    sends_twice,
    sends_another,
    looks_at_others_too,
    looks_twice,
    waits_for_it,
    goes_on,
    changes_it,
    takes_more,
    hands_on,
    under_another_name,
]


@pytest.mark.parametrize("wrap", OTHERS)
async def test_a_wrapper_that_does_anything_else_is_called(wrap: Callable[[Send], Send]) -> None:
    """However little it differs."""
    wrapped = wrap(server)
    assert innermost(wrapped) is wrapped
    assert innermost(noting(wrapped)) is wrapped


@pytest.mark.parametrize("depth", [0, 1, 2, 10])
async def test_any_number_of_them_is_left_out(depth: int) -> None:
    """None is, where there is none."""
    send: Send = server
    for _ in range(depth):
        send = noting(send)
    assert innermost(send) is server
