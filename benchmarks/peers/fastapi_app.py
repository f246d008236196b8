"""FastAPI's own ``fastapi.sse`` over a queue each."""

from __future__ import annotations

from collections.abc import AsyncIterable

from fastapi import FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from benchmarks.peers.publishing import publish_all
from benchmarks.peers.queues import Queues

queues: Queues[ServerSentEvent] = Queues()
app = FastAPI()


@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterable[ServerSentEvent]:
    """Stream a queue."""
    async for event in queues.follow():
        yield event


@app.post("/publish")
async def publish(request: Request) -> str:
    """Publish what was asked for."""
    await publish_all(
        request.query_params, lambda _, data: queues.publish(ServerSentEvent(raw_data=data))
    )
    return "published"
