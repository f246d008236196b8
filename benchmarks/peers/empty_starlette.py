"""The same floor as a Starlette route."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.peers.empty_bare import park

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send


class Parked(Response):
    """Answers, and stays."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await park(scope, receive, send)


async def events(_: Request) -> Response:
    """Stay."""
    return Parked()


app = Starlette(routes=[Route("/events", events)])
