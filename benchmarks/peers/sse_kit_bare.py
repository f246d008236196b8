"""sse_kit as a bare ASGI app: no framework between the server and the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.peers.publishing import TOPIC
from benchmarks.peers.sse_kit_starlette import app as starlette
from benchmarks.peers.sse_kit_starlette import registry

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class Request:
    """What ``stream`` needs of a request."""

    __slots__ = ("scope",)

    def __init__(self, scope: Scope) -> None:
        self.scope = scope


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Stream ``/events``; the rest is the Starlette app's."""
    if scope["type"] == "http" and scope["path"] == "/events":
        await registry.stream(Request(scope), topics=[TOPIC])(scope, receive, send)
    else:
        await starlette(scope, receive, send)
