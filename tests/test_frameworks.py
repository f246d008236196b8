"""Streams in real frameworks, and behind the middlewares that people put around them."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
import sniffio
import trio
from fastapi import APIRouter, FastAPI
from fasthtml.common import FastHTML
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request  # noqa: TC002  FastAPI reads the annotations
from starlette.responses import Response  # noqa: TC002
from starlette.routing import Mount, Route

from sse_kit import ConnectionRegistry, EventSourceResponse, asgi
from sse_kit.starlette import StreamClosed
from sse_kit.states import CloseReason
from sse_kit.testing import ASGIProbe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from starlette.middleware.base import RequestResponseEndpoint

    from sse_kit.testing import ProbeStream
    from sse_kit.testing.call import ASGIApp, Message, Receive, Scope, Send

pytestmark = pytest.mark.anyio

LEFT = StreamClosed(CloseReason.CLIENT_LEFT)


class Streams:
    """Two streams, one of each kind, and what became of them."""

    def __init__(self) -> None:
        self.registry = ConnectionRegistry()
        self.facts: list[object] = []

    async def topics(self, request: Request) -> EventSourceResponse:
        await anyio.lowlevel.checkpoint()
        return self.registry.stream(request, ["news"])

    async def direct(self, _: Request) -> EventSourceResponse:
        await anyio.lowlevel.checkpoint()
        return EventSourceResponse(self.values(), on_close=self.facts.append)

    async def values(self) -> AsyncIterator[str]:
        try:
            yield "value"
            await anyio.sleep_forever()
        finally:
            self.facts.append("finally")

    def routes(self) -> list[Route]:
        return [
            Route("/topics", self.topics),
            Route("/direct", self.direct),
            Route("/stats", self.registry.stats_endpoint),
        ]


# Frameworks -------------------------------------------------------------------------------------


def starlette(streams: Streams) -> ASGIApp:
    return Starlette(routes=streams.routes(), lifespan=streams.registry.lifespan)


def fastapi(streams: Streams) -> ASGIApp:
    """Make the routes as its users do: annotated, and with the handlers it is given."""
    app = FastAPI(lifespan=streams.registry.lifespan)

    @app.get("/topics")
    async def topics(request: Request) -> EventSourceResponse:
        return await streams.topics(request)

    @app.get("/direct", response_class=EventSourceResponse)
    async def direct(request: Request) -> Response:
        return await streams.direct(request)

    app.get("/stats")(streams.registry.stats_endpoint)
    assert app.openapi()["paths"].keys() == {"/topics", "/direct", "/stats"}
    return app


def fastapi_router(streams: Streams) -> ASGIApp:
    """Make the routes in a router, without annotations of what they return."""
    router = APIRouter()
    router.add_api_route("/topics", streams.topics, response_model=None)
    router.add_api_route("/stats", streams.registry.stats_endpoint)

    @router.get("/direct")
    async def direct(request: Request):  # type: ignore[no-untyped-def]  # noqa: ANN202  as many do
        return await streams.direct(request)

    app = FastAPI(lifespan=streams.registry.lifespan)
    app.include_router(router)
    return app


def fasthtml(streams: Streams) -> ASGIApp:
    """Make the routes as its users do; its lifespan is iterated over."""
    app = FastHTML(lifespan=streams.registry.lifespan)

    @app.route("/topics")
    async def topics(request: Request) -> EventSourceResponse:
        return await streams.topics(request)

    @app.route("/direct")
    async def direct(request: Request) -> EventSourceResponse:
        return await streams.direct(request)

    app.route("/stats")(streams.registry.stats_endpoint)
    return app


def mounted(streams: Streams) -> ASGIApp:
    """Mount an app in another; the lifespan is the outer one's."""
    inner = Starlette(routes=streams.routes())
    return Starlette(routes=[Mount("/", inner)], lifespan=streams.registry.lifespan)


def fastapi_mounted(streams: Streams) -> ASGIApp:
    app = FastAPI(lifespan=streams.registry.lifespan)
    app.mount("/", Starlette(routes=streams.routes()))
    return app


# Middlewares ------------------------------------------------------------------------------------


async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
    return await call_next(request)


@asynccontextmanager
async def native_timeout() -> AsyncGenerator[None]:
    """Bound what is done inside in the event loop's own manner."""
    if sniffio.current_async_library() == "asyncio":
        async with asyncio.timeout(5):
            yield
    else:
        with trio.fail_after(5):
            yield


@asynccontextmanager
async def anyio_timeout() -> AsyncGenerator[None]:
    with anyio.fail_after(5):
        yield


class Patience:
    """A pure ASGI middleware that bounds every ``send``."""

    def __init__(
        self, app: ASGIApp, timeout: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        self._app = app
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def bounded(message: Message) -> None:
            async with self._timeout():
                await send(message)

        await self._app(scope, receive, bounded)


def behind(*middlewares: Middleware) -> Callable[[Streams], ASGIApp]:
    def make(streams: Streams) -> ASGIApp:
        lifespan = streams.registry.lifespan
        return Starlette(routes=streams.routes(), lifespan=lifespan, middleware=middlewares)

    return make


def fastapi_middleware(streams: Streams) -> ASGIApp:
    app = FastAPI(lifespan=streams.registry.lifespan, routes=list(streams.routes()))
    app.middleware("http")(pass_on)
    return app


BASE = Middleware(BaseHTTPMiddleware, dispatch=pass_on)
SESSION = Middleware(SessionMiddleware, secret_key=secrets.token_hex())
FRAMEWORKS: dict[str, Callable[[Streams], ASGIApp]] = {
    "starlette": starlette,
    "fastapi": fastapi,
    "fastapi-router": fastapi_router,
    "fasthtml": fasthtml,
    "mounted": mounted,
    "fastapi-mounted": fastapi_mounted,
}
MIDDLEWARES: dict[str, Callable[[Streams], ASGIApp]] = {
    "base": behind(BASE),
    "base-in-base": behind(BASE, BASE),
    "fastapi-base": fastapi_middleware,
    "gzip": behind(Middleware(GZipMiddleware, minimum_size=1)),
    "gzip-in-base": behind(BASE, Middleware(GZipMiddleware, minimum_size=1)),
    "cors": behind(Middleware(CORSMiddleware, allow_origins=["*"])),
    "session": behind(SESSION),
    "anyio-timeout": behind(Middleware(Patience, timeout=anyio_timeout)),
    "native-timeout": behind(Middleware(Patience, timeout=native_timeout)),
    "all": behind(
        Middleware(CORSMiddleware, allow_origins=["*"]),
        Middleware(GZipMiddleware, minimum_size=1),
        Middleware(Patience, timeout=anyio_timeout),
        BASE,
        SESSION,
    ),
}

HEADERS = {"accept-encoding": "gzip", "origin": "https://elsewhere.example"}


EVERYWHERE = {**FRAMEWORKS, **MIDDLEWARES}


@pytest.fixture(params=EVERYWHERE)
def app(request: pytest.FixtureRequest) -> tuple[Streams, ASGIProbe]:
    streams = Streams()
    return streams, ASGIProbe(EVERYWHERE[request.param](streams))


@pytest.fixture(params=FRAMEWORKS)
def probe(request: pytest.FixtureRequest) -> ASGIProbe:
    return ASGIProbe(FRAMEWORKS[request.param](Streams()))


async def leave(stream: ProbeStream) -> None:
    """Leave an idle stream, and wait until the app has noticed."""
    await anyio.wait_all_tasks_blocked()
    stream.disconnect()
    await stream.finished()


async def test_messages_come_as_they_are_published(app: tuple[Streams, ASGIProbe]) -> None:
    """Nothing in between holds them back, or the opening."""
    streams, probe = app
    async with probe, probe.get("/topics", headers=HEADERS) as stream:
        assert (await stream.next_block()).retry is not None
        assert (await stream.next_block()).id == str(streams.registry.position())
        for text in ("one", "two"):
            await streams.registry.publish("news", text)
            assert (await stream.next_event()).data == text


async def test_values_come_as_they_are_made(app: tuple[Streams, ASGIProbe]) -> None:
    """Nothing in between waits for more."""
    _, probe = app
    async with probe, probe.get("/direct", headers=HEADERS) as stream:
        assert (await stream.next_event()).data == "value"


async def test_the_headers_pass_unchanged(app: tuple[Streams, ASGIProbe]) -> None:
    """Neither compressed nor with a length; others may add theirs."""
    _, probe = app
    async with probe, probe.get("/topics", headers=HEADERS) as stream:
        assert stream.headers.items() >= asgi.HEADERS.items()
        assert stream.headers.keys().isdisjoint(
            {"connection", "content-encoding", "content-length", "transfer-encoding"}
        )


async def test_a_client_that_leaves_leaves_no_entry(app: tuple[Streams, ASGIProbe]) -> None:
    """However many middlewares stand before it (F8)."""
    streams, probe = app
    async with probe, probe.get("/topics", headers=HEADERS) as stream:
        assert streams.registry.get_stats()["total"] == 1
        await leave(stream)
        assert streams.registry.get_stats()["total"] == 0


async def test_a_client_that_leaves_closes_the_generator(app: tuple[Streams, ASGIProbe]) -> None:
    """In its own task; then ``on_close`` is told."""
    streams, probe = app
    async with probe, probe.get("/direct", headers=HEADERS) as stream:
        await leave(stream)
        assert streams.facts == ["finally", LEFT]


async def test_the_end_of_a_stream_is_the_end_of_the_response(
    app: tuple[Streams, ASGIProbe],
) -> None:
    """The goodbye passes, and the app returns."""
    streams, probe = app
    async with probe, probe.get("/topics", headers=HEADERS) as stream:
        await anyio.wait_all_tasks_blocked()
        streams.registry.close()
        assert (await stream.read_until_end())[-1].event == "bye"
        await stream.finished()


async def test_head_returns(probe: ASGIProbe) -> None:
    """Where the framework lets it through: FastAPI answers 405 unless it is asked for."""
    async with probe, probe.head("/topics") as stream:
        assert stream.status in {200, 405}
        await stream.read_until_end()
        await stream.finished()


async def test_the_statistics_are_a_route(probe: ASGIProbe) -> None:
    """JSON, not stored; the same handler in every framework."""
    async with probe, probe.get("/stats") as response:
        assert response.status == 200
        assert response.headers["content-type"] == "application/json"
        assert response.headers["cache-control"] == "no-store"


async def test_what_the_content_raises_passes_through_a_middleware(
    app: tuple[Streams, ASGIProbe], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To whoever logs it, and it is the exception itself."""
    streams, probe = app

    async def failing() -> AsyncIterator[str]:
        yield "value"
        await anyio.wait_all_tasks_blocked()
        raise ZeroDivisionError

    monkeypatch.setattr(streams, "values", failing)
    with pytest.raises(ZeroDivisionError):
        async with probe, probe.get("/direct") as stream:
            await stream.read_until_end()
    assert streams.facts == [StreamClosed(CloseReason.ERROR, "ZeroDivisionError()")]
