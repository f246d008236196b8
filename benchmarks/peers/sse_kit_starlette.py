"""sse_kit in a Starlette route: the variant that counts."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from benchmarks.peers.publishing import TOPIC, publish_all
from sse_kit import ConnectionRegistry

SEND_TIMEOUT = 600.0
"""Seconds, longer than any run: the client of ``slow`` that never reads is there to its end."""

registry = ConnectionRegistry(send_timeout=SEND_TIMEOUT)


async def events(request: Request) -> Response:
    """Stream the one topic."""
    return registry.stream(request, topics=[TOPIC])


async def topics(request: Request) -> Response:
    """Stream the topics that the client asks for."""
    return registry.stream(request, topics=request.query_params.getlist("topic"))


async def publish(request: Request) -> Response:
    """Publish what was asked for."""
    await publish_all(request.query_params, registry.publish)
    return PlainTextResponse("published")


app = Starlette(
    routes=[
        Route("/events", events),
        Route("/topics", topics),
        Route("/publish", publish, methods=["POST"]),
    ],
    lifespan=registry.lifespan,
)
