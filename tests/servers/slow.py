"""Applications of one topic for clients that read slowly, if at all: :mod:`test_fanout`."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import anyio
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, Router

from sse_kit import ConnectionRegistry, MemoryTransport
from sse_kit.config import Retention
from sse_kit.hooks import Hooks
from tests.servers.apps import disconnected, resident

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LONG = 30.0
"""Seconds of a timeout that no test waits for."""


# Middlewares ------------------------------------------------------------------------------------


async def asyncio_timeout(send: Send, message: Message, patience: float) -> None:
    async with asyncio.timeout(patience):
        await send(message)


async def anyio_fail_after(send: Send, message: Message, patience: float) -> None:
    with anyio.fail_after(patience):
        await send(message)


class Wrapped:
    """A middleware that wraps every ``send`` in one of the above; ``?patience=`` in seconds."""

    def __init__(
        self, app: ASGIApp, wrap: Callable[[Send, Message, float], Awaitable[None]]
    ) -> None:
        self._app = app
        self._wrap = wrap

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        patience = float(scope["query_string"].partition(b"patience=")[2] or LONG)

        async def wrapped(message: Message) -> None:
            await self._wrap(send, message, patience)

        await self._app(scope, receive, wrapped)


# Applications -----------------------------------------------------------------------------------


class Routes:
    """What a registry is asked for: its one topic, numbered events in it, and what it holds."""

    def __init__(self, registry: ConnectionRegistry) -> None:
        self._registry = registry

    async def events(self, request: Request) -> Response:
        return self._registry.stream(request, ["news"])

    async def publish(self, request: Request) -> Response:
        first, count, size = (
            int(request.query_params[each]) for each in ("first", "count", "size")
        )
        for number in range(first, first + count):
            await self._registry.publish("news", f"{number} ".ljust(size, "x"))
        return PlainTextResponse("published")

    async def held(self, request: Request) -> Response:  # noqa: ARG002  what a route passes
        """Tell what the streams hold; ``items`` and ``bytes`` are those of the fullest queue."""
        stats = self._registry.get_stats()
        followed = [each.subscription for each in self._registry.get_connections()]
        queues = [each for each in followed if each is not None]
        return JSONResponse(
            {
                "total": stats["total"],
                "catching_up": stats["hub"]["catching_up"],
                "ring_bytes": stats["hub"]["ring_bytes"],
                "items": max((len(each.queue) for each in queues), default=0),
                "bytes": max((each.queued_bytes for each in queues), default=0),
                "tasks": len(asyncio.all_tasks()),
                "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208  a count
                "memory": resident(),
            }
        )


def application(
    retention: Retention, *, ring_size: int = 4_096, send_timeout: float = LONG
) -> Starlette:
    """Return the application of a registry with such a history."""
    registry = ConnectionRegistry(
        MemoryTransport(retention=retention),
        hooks=Hooks(disconnected=disconnected),
        ring_size=ring_size,
        send_timeout=send_timeout,
    )
    routes = Routes(registry)
    streams = Router([Route("/events", routes.events)])
    return Starlette(
        lifespan=registry.lifespan,
        routes=[
            Mount("/asyncio", Wrapped(streams, asyncio_timeout)),
            Mount("/anyio", Wrapped(streams, anyio_fail_after)),
            Mount("/plain", streams),
            Route("/publish", routes.publish, methods=["POST"]),
            Route("/held", routes.held),
        ],
    )


EVERYTHING = Retention(max_records=None, max_bytes=None)

everything = application(EVERYTHING)
"""Keeps all events; in the ring only the last of them."""

little = application(Retention(max_records=500), ring_size=100)
"""Keeps so few that a client which stalls misses some."""

impatient = application(EVERYTHING, send_timeout=0.5)
"""Gives a client up that does not read."""
