"""A server that can be killed: its log is a file, one record a line, so it survives.

``python log_server.py PORT LOG`` serves the files of this folder, and the log as a stream whose ids
are ``log.<line>``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Mount, Route

from sse_kit import EventSourceResponse, SSEMessage, last_event_id
from sse_kit.assets import assets

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request
    from starlette.responses import Response

PORT, LOG = int(sys.argv[1]), Path(sys.argv[2])


def written() -> list[str]:
    """Return the records; a line that is not at its end yet is none."""
    *lines, _half = LOG.read_text().split("\n")
    return lines


async def events(request: Request) -> Response:
    start = int((last_event_id(request.scope) or "log.0").removeprefix("log."))

    async def records() -> AsyncGenerator[SSEMessage, None]:
        sent = start
        while True:
            for text in written()[sent:]:
                sent += 1
                yield SSEMessage(text, id=f"log.{sent}")
            await anyio.sleep(0.005)

    return EventSourceResponse(records(), retry=50)


async def file(request: Request) -> Response:
    return FileResponse(LOG.parent / request.path_params["name"])


app = Starlette(
    routes=[
        Mount("/sse-kit", app=assets),
        Route("/events", events),
        Route("/{name}", file),
    ]
)
uvicorn.run(app, port=PORT, log_level="error")
