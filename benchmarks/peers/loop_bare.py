"""The floor of a delivery: a list, and uvicorn's ``send`` called for each in it. No library."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from benchmarks.peers.publishing import publish_all

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/event-stream")],
}
everyone: set[Send] = set()


async def publish(_: str, data: str) -> None:
    """Send to everyone, and turn once: so each event is written by itself."""
    body = {"type": "http.response.body", "body": f"data: {data}\n\n".encode(), "more_body": True}
    for send in everyone:
        await send(body)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Stream at ``/events``, publish at any other path."""
    await receive()
    if scope["type"] != "http":
        return
    await send(START)
    if scope["path"] != "/events":
        await publish_all(dict(parse_qsl(scope["query_string"].decode())), publish)
        await send({"type": "http.response.body", "body": b"published"})
        return
    await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
    everyone.add(send)
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    finally:
        everyone.discard(send)
