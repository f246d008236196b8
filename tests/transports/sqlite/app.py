"""An application over a database file, for several workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sse_kit import ConnectionRegistry
from sse_kit.transports.sqlite import SqliteTransport

if TYPE_CHECKING:
    from starlette.requests import Request

registry = ConnectionRegistry(
    SqliteTransport(Path(os.environ["SSE_KIT_TEST_RECORD"]).with_name("log.db"))
)


async def stream(request: Request) -> Response:
    response = registry.stream(request, ["news"])
    response.headers["X-Process"] = str(os.getpid())
    return response


async def publish(request: Request) -> Response:
    position = await registry.publish("news", request.query_params["text"])
    return PlainTextResponse(f"{os.getpid()} {position}")


app = Starlette(
    lifespan=registry.lifespan,
    routes=[Route("/stream", stream), Route("/publish", publish, methods=["POST"])],
)
