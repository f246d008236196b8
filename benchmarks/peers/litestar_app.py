"""Litestar's channels with ``ServerSentEvent``; the backend is the one in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Litestar, Request, get, post
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend
from litestar.response import ServerSentEvent

from benchmarks.peers.publishing import TOPIC, publish_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

plugin = ChannelsPlugin(MemoryChannelsBackend(), channels=[TOPIC])


async def follow() -> AsyncIterator[bytes]:
    """Iterate over a subscription of one's own."""
    async with plugin.start_subscription([TOPIC]) as subscriber:
        async for data in subscriber.iter_events():
            yield data


@get("/events")
async def events() -> ServerSentEvent:
    """Stream a subscription."""
    return ServerSentEvent(follow())


@post("/publish")
async def publish(request: Request[Any, Any, Any]) -> str:
    """Publish what was asked for."""
    await publish_all(request.query_params, lambda topic, data: plugin.wait_published(data, topic))
    return "published"


app = Litestar([events, publish], plugins=[plugin], openapi_config=None)
