"""cjm-fasthtml-sse: its broadcast manager, with the ``EventStream`` that it is made for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cjm_fasthtml_sse.core import SSEBroadcastManager
from fasthtml.common import FastHTML
from fasthtml.core import EventStream
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.peers.publishing import publish_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

QUEUE = 10_000
"""Room for a burst: with its default of 100, a queue that stays full loses its client."""

manager = SSEBroadcastManager(max_queue_size=QUEUE)
app = FastHTML(default_hdrs=False, secret_key="benchmark")  # noqa: S106  nothing is secret here


async def follow() -> AsyncIterator[str]:
    """Iterate over a queue of one's own."""
    queue = await manager.register_connection()
    try:
        while True:
            yield f"data: {json.dumps(await queue.get())}\n\n"
    finally:
        await manager.unregister_connection(queue)


@app.route("/events", methods=["GET"])
async def events() -> Response:
    """Stream a queue."""
    return EventStream(follow())


@app.route("/publish", methods=["POST"])
async def publish(request: Request) -> str:
    """Publish what was asked for."""
    await publish_all(
        request.query_params, lambda topic, data: manager.broadcast(topic, {"text": data})
    )
    return "published"
