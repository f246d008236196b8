"""sse-starlette's ``EventSourceResponse`` over a queue each."""

from __future__ import annotations

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from benchmarks.peers.publishing import publish_all
from benchmarks.peers.queues import Queues

queues: Queues[ServerSentEvent] = Queues()


async def events(_: Request) -> Response:
    """Stream a queue."""
    return EventSourceResponse(queues.follow())


async def publish(request: Request) -> Response:
    """Publish what was asked for."""
    await publish_all(
        request.query_params, lambda _, data: queues.publish(ServerSentEvent(data=data))
    )
    return PlainTextResponse("published")


app = Starlette(
    routes=[Route("/events", events), Route("/publish", publish, methods=["POST"])],
)
