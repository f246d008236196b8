"""FastHTML's own ``EventStream`` over a queue each; every event is encoded once, at the publish."""

from __future__ import annotations

from fasthtml.common import FastHTML
from fasthtml.components import sse_message
from fasthtml.core import EventStream
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.publishing import publish_all
from benchmarks.peers.queues import Queues

queues: Queues[str] = Queues()
app = FastHTML(default_hdrs=False, secret_key="benchmark")  # noqa: S106  nothing is secret here


@app.route("/events", methods=["GET"])
async def events() -> Response:
    """Stream a queue."""
    return EventStream(queues.follow())


@app.route("/publish", methods=["POST"])
async def publish(request: Request) -> str:
    """Publish what was asked for."""
    await publish_all(request.query_params, lambda _, data: queues.publish(sse_message(data)))
    return "published"
