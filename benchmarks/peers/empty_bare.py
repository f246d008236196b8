"""A floor: a response that sends its start and a first chunk, then waits for the client to go."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]


async def park(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, and stay."""
    del scope
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b":\n\n", "more_body": True})
    while (await receive())["type"] != "http.disconnect":
        pass


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Park every stream; there is nothing to start."""
    if scope["type"] == "http":
        await park(scope, receive, send)
