"""The application that the tests run under real servers; it writes down what it releases."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, Router

from sse_kit import ConnectionRegistry, EventSourceResponse, SSEConnection
from sse_kit.hooks import Closed, Hooks
from sse_kit.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sse_kit.iterate import Content
    from sse_kit.starlette import StreamClosed

RECORD = os.open(os.environ["SSE_KIT_TEST_RECORD"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
SECONDS_OF_A_LONG_CALL = 3600


def record(fact: str) -> None:
    os.write(RECORD, f"{fact}\n".encode())


def disconnected(closed: Closed) -> None:
    record(f"disconnected {closed.reason}")


def on_close(closed: StreamClosed) -> None:
    record(f"on_close {closed.reason}")


registry = ConnectionRegistry(hooks=Hooks(disconnected=disconnected))


# Content ----------------------------------------------------------------------------------------


async def idle() -> AsyncIterator[str]:
    try:
        yield "first"
        await anyio.sleep_forever()
    finally:
        record("finally")


async def flood() -> AsyncIterator[str]:
    try:
        while True:
            yield "x" * 65_536
    finally:
        record("finally")


async def brim(request: Request) -> AsyncIterator[str]:
    """Fill the socket until uvicorn keeps some bytes itself, but not so many that it waits."""
    transport = request.receive.__self__.transport  # type: ignore[attr-defined]  # uvicorn's own
    try:
        while not transport.get_write_buffer_size():
            yield "x" * 10_000
            await checkpoint()
        record("full to the brim")
        await anyio.sleep_forever()
    finally:
        record("finally")


def blocking() -> Iterator[str]:
    yield "first"
    threading.Event().wait(SECONDS_OF_A_LONG_CALL)


CONTENT: dict[str, Callable[[], Content]] = {"idle": idle, "flood": flood, "blocking": blocking}


# Routes -----------------------------------------------------------------------------------------


async def topics(request: Request) -> Response:
    record("asked")
    return registry.stream(request, ["news"])


async def direct(request: Request) -> Response:
    record("asked")
    content = CONTENT[request.path_params["content"]]
    patience = float(request.query_params.get("send_timeout", "30"))
    return EventSourceResponse(content(), on_close=on_close, send_timeout=patience)


async def slow(request: Request) -> Response:
    record("asked")
    await anyio.sleep(0.3)
    return await direct(request)


async def brimming(request: Request) -> Response:
    return EventSourceResponse(brim(request), on_close=on_close)


async def publish(request: Request) -> Response:
    size = int(request.query_params["size"])
    await registry.publish("news", "x" * size)
    return PlainTextResponse("published")


async def process(request: Request) -> Response:  # noqa: ARG001  what a route passes
    return PlainTextResponse(str(os.getpid()))


async def state(request: Request) -> Response:  # noqa: ARG001  what a route passes
    """Tell all that a stream may hold; the resident memory in bytes."""
    gc.collect()
    objects = gc.get_objects()
    hub = registry.get_stats()["hub"]
    return JSONResponse(
        {
            "tasks": len(asyncio.all_tasks()),
            "entries": len(registry.get_connections()),
            "subscriptions": hub["subscriptions"],
            "topics": hub["topics"],
            "connections": sum(type(each) is SSEConnection for each in objects),
            "queues": sum(type(each) is Subscription for each in objects),
            "threads": threading.active_count(),
            "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208  a count
            "handlers": [repr(signal.getsignal(number)) for number in (2, 15)],
            "memory": resident(),
        }
    )


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Wrapped:
    """A middleware that hides the server's ``receive`` in a function of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def wrapped() -> Message:
            return await receive()

        await self._app(scope, wrapped, send)


app = Starlette(
    lifespan=registry.lifespan,
    routes=[
        Mount("/wrapped", Wrapped(Router([Route("/direct/{content}", direct)]))),
        Route("/topics", topics),
        Route("/brim", brimming),
        Route("/slow/{content}", slow),
        Route("/direct/{content}", direct),
        Route("/publish", publish, methods=["POST"]),
        Route("/process", process),
        Route("/state", state),
    ],
)
