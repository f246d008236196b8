"""sse_kit in a FastAPI route."""

from __future__ import annotations

from fastapi import FastAPI, Request

from benchmarks.peers.publishing import TOPIC, publish_all
from sse_kit import ConnectionRegistry, EventSourceResponse

registry = ConnectionRegistry()
app = FastAPI(lifespan=registry.lifespan)


@app.get("/events")
async def events(request: Request) -> EventSourceResponse:
    """Stream the one topic."""
    return registry.stream(request, topics=[TOPIC])


@app.post("/publish")
async def publish(request: Request) -> str:
    """Publish what was asked for."""
    await publish_all(request.query_params, registry.publish)
    return "published"
