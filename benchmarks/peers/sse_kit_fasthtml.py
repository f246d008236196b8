"""sse_kit in a FastHTML route."""

from __future__ import annotations

from fasthtml.common import FastHTML
from starlette.requests import Request

from benchmarks.peers.publishing import TOPIC, publish_all
from sse_kit import ConnectionRegistry, EventSourceResponse

registry = ConnectionRegistry()
app = FastHTML(lifespan=registry.lifespan, default_hdrs=False, secret_key="benchmark")  # noqa: S106


@app.route("/events", methods=["GET"])
async def events(request: Request) -> EventSourceResponse:
    """Stream the one topic."""
    return registry.stream(request, topics=[TOPIC])


@app.route("/publish", methods=["POST"])
async def publish(request: Request) -> str:
    """Publish what was asked for."""
    await publish_all(request.query_params, registry.publish)
    return "published"
