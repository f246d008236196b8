"""The application that the tests run under real servers; it writes down what it releases."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import TYPE_CHECKING

import anyio
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sse_kit import ConnectionRegistry, EventSourceResponse, SSEConnection
from sse_kit.hooks import Closed, Hooks
from sse_kit.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from sse_kit.starlette import StreamClosed

RECORD = os.open(os.environ["SSE_KIT_TEST_RECORD"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
SEND_TIMEOUT = float(os.environ.get("SSE_KIT_TEST_SEND_TIMEOUT", "30"))


def record(fact: str) -> None:
    os.write(RECORD, f"{fact}\n".encode())


def disconnected(closed: Closed) -> None:
    record(f"disconnected {closed.reason}")


def on_close(closed: StreamClosed) -> None:
    record(f"on_close {closed.reason}")


registry = ConnectionRegistry(hooks=Hooks(disconnected=disconnected), send_timeout=SEND_TIMEOUT)


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


async def topics(request: Request) -> Response:
    return registry.stream(request, ["news"])


async def direct(request: Request) -> Response:  # noqa: ARG001
    return EventSourceResponse(idle(), on_close=on_close, send_timeout=SEND_TIMEOUT)


async def flooded(request: Request) -> Response:  # noqa: ARG001
    return EventSourceResponse(flood(), on_close=on_close, send_timeout=SEND_TIMEOUT)


async def publish(request: Request) -> Response:
    size = int(request.query_params.get("size", "1"))
    await registry.publish("news", "x" * size)
    return PlainTextResponse("published")


async def state(request: Request) -> Response:  # noqa: ARG001
    gc.collect()
    hub = registry.get_stats()["hub"]
    objects = gc.get_objects()
    return JSONResponse(
        {
            "tasks": len(asyncio.all_tasks()),
            "entries": len(registry.get_connections()),
            "subscriptions": hub["subscriptions"],
            "topics": hub["topics"],
            "descriptors": len(os.listdir("/proc/self/fd")),
            "connections": sum(type(each) is SSEConnection for each in objects),
            "follows": sum(type(each) is Subscription for each in objects),
            "rss": int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        }
    )


app = Starlette(
    lifespan=registry.lifespan,
    routes=[
        Route("/topics", topics),
        Route("/direct", direct),
        Route("/flood", flooded),
        Route("/publish", publish, methods=["POST"]),
        Route("/state", state),
    ],
)
