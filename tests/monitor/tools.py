"""What the tests of the monitor share: an app with a registry and its monitor, and their client."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.routing import Mount, Route

from sse_kit import ConnectionRegistry
from sse_kit.monitor import Snapshot, monitor
from sse_kit.monitor.models import History
from sse_kit.testing import ASGIProbe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request
    from starlette.responses import Response

    from sse_kit.testing.asgi import ProbeStream

QUICK = 0.02
"""Seconds between two looks, for tests that wait for some."""

OWN = {"sec-fetch-site": "same-origin", "content-type": "application/json"}


def everybody(request: Request) -> bool:
    """Let everybody in."""
    del request
    return True


class Site:
    """An app whose streams are at ``/events``, and its monitor at ``/monitor``."""

    def __init__(self, registry: ConnectionRegistry | None = None, **options: Any) -> None:
        self.registry = registry or ConnectionRegistry()
        options = {"authorise": everybody, "interval": QUICK, **options}
        self.app = Starlette(
            lifespan=self.registry.lifespan,
            routes=[
                Route("/events", self._events),
                Mount("/monitor", app=monitor(self.registry, **options)),
            ],
        )

    async def _events(self, request: Request) -> Response:
        kind = request.query_params.get("type", "user")
        name = request.query_params.get("id")
        topics = request.query_params.get("topics", "news").split(" ")
        secret = {"secret": "of a user"}
        return self.registry.stream(
            request, topics, connection_type=kind, connection_id=name, metadata=secret
        )


@asynccontextmanager
async def running(**options: Any) -> AsyncGenerator[tuple[Site, ASGIProbe], None]:
    """Run a site, and return a client of it."""
    site = Site(**options)
    async with ASGIProbe(site.app) as client:
        yield site, client


async def snapshot(stream: ProbeStream) -> Snapshot:
    """Return the next snapshot of a viewer's stream."""
    event = await stream.next_event()
    while event.type != "snapshot":
        event = await stream.next_event()
    return Snapshot.model_validate_json(event.data or "")


async def history(stream: ProbeStream) -> History:
    """Return what a viewer's stream begins with."""
    event = await stream.next_event()
    assert event.type == "history"
    return History.model_validate_json(event.data or "")


def order(key: str) -> bytes:
    """Return the body of an order to kick."""
    return json.dumps({"key": key}).encode()
