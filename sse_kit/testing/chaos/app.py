"""The app that is killed: ``python -m sse_kit.testing.chaos.app URL NAMESPACE PORT``.

``POST /publish`` takes a batch and answers when it is stored, ``GET /events?topic=…`` streams,
``GET /ready`` answers.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypedDict, cast

import anyio
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sse_kit.config import Retention
from sse_kit.errors import MissingExtra, SSEKitError
from sse_kit.registry import ConnectionRegistry
from sse_kit.testing.ports import HOST
from sse_kit.transports.urls import transport_from_url

if TYPE_CHECKING:
    from starlette.requests import Request

HEARTBEAT = 1.0
RETENTION = Retention(max_records=20_000, max_bytes=None)
"""More than is published while a client is away; not more, since after a lossy restart that an
engine cannot place its clients are given all of it again.
"""


class Item(TypedDict):
    """One message of a batch."""

    key: str
    topics: list[str]
    data: str


class App:
    """The routes over one registry."""

    def __init__(self, registry: ConnectionRegistry) -> None:
        self.registry = registry

    async def events(self, request: Request) -> Response:
        """Stream the topics that the query names."""
        return self.registry.stream(request, topics=request.query_params.getlist("topic"))

    async def publish(self, request: Request) -> Response:
        """Publish a batch at once; answer the position of each, or 503 if one is in doubt."""
        items = cast("list[Item]", await request.json())
        positions = [""] * len(items)

        async def one(index: int, item: Item) -> None:
            topics = tuple(item["topics"])
            position = await self.registry.publish(topics, item["data"], key=item["key"])
            positions[index] = str(position)

        doubts: list[str] = []
        try:
            async with anyio.create_task_group() as tasks:
                for index, item in enumerate(items):
                    tasks.start_soon(one, index, item)
        except* SSEKitError as errors:
            doubts += map(str, errors.exceptions)
        return JSONResponse(doubts, 503) if doubts else JSONResponse(positions)

    async def ready(self, _: Request) -> Response:
        """Answer."""
        return Response()


def make_app(url: str, namespace: str) -> Starlette:
    """Return the app over the engine at ``url``, for which it waits as long as it takes."""
    options = {"namespace": namespace, "retention": RETENTION, "connect_timeout": None}
    registry = ConnectionRegistry(transport_from_url(url, **options), heartbeat=HEARTBEAT)
    app = App(registry)
    routes = [
        Route("/events", app.events),
        Route("/publish", app.publish, methods=["POST"]),
        Route("/ready", app.ready),
    ]
    return Starlette(routes=routes, lifespan=registry.lifespan)


def main() -> None:
    """Serve until a signal."""
    try:
        import uvicorn  # noqa: PLC0415  the other modules need none
    except ImportError as error:
        raise MissingExtra("uvicorn", "cli") from error
    url, namespace, port = sys.argv[1:]
    uvicorn.run(make_app(url, namespace), host=HOST, port=int(port), log_level="warning")


if __name__ == "__main__":
    main()
