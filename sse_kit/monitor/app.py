"""The monitor's app: a page, its stream, the order to kick, and the files of the page."""

from __future__ import annotations

import logging
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from pydantic import ValidationError
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, Router

from sse_kit.assets import Assets
from sse_kit.config import Count, Seconds, Settings
from sse_kit.monitor.census import key_of
from sse_kit.monitor.feed import Feed
from sse_kit.monitor.files import files
from sse_kit.monitor.guard import Guard, allows
from sse_kit.monitor.models import Kick, View
from sse_kit.monitor.page import page
from sse_kit.starlette import EventSourceResponse
from sse_kit.states import CloseReason

if TYPE_CHECKING:
    from starlette.requests import Request

    from sse_kit.connection import SSEConnection
    from sse_kit.monitor.guard import Authorise
    from sse_kit.registry import ConnectionRegistry

logger = logging.getLogger(__name__)

MAX_VIEWERS = 50
"""Streams of one monitor; more are asked to come later."""

MAX_ORDER = 256
"""Bytes of an order to kick."""


class MonitorSettings(Settings):
    """``interval`` in seconds between two looks; ``rows`` of connections that a viewer is sent."""

    interval: Seconds = 1.0
    rows: Count = 100
    metadata: bool = False


def monitor(
    registry: ConnectionRegistry,
    *,
    authorise: Authorise | None = None,
    metadata: bool = False,
    interval: float = 1.0,
    rows: int = 100,
) -> Guard:
    """Return the monitor of a registry as an app to mount, wherever: all its URLs are relative.

    ``authorise`` is asked about every request, and again about a stream that goes on; a kick is
    the one that is a POST. None: nobody is served, and told why. ``metadata``: whether that of
    connections is shown, which may be private. ``interval`` in seconds; ``rows`` is how many
    connections a page lists, the rest is counted.

    Raises:
        InvalidSetting: an interval that is not above 0, less than one row.

    """
    settings = MonitorSettings(metadata=metadata, interval=interval, rows=rows)
    feed = Feed(registry, **settings.model_dump())
    orders = _Orders(registry)
    html = page(metadata=metadata)

    async def show(request: Request) -> Response:  # noqa: ARG001  what a route passes
        return HTMLResponse(html, headers={"Cache-Control": "no-cache"})

    async def events(request: Request) -> Response:
        return _stream(feed, request, authorise)

    # No app of its own: what an authoriser finds in its request is of the app around.
    routes = Router(
        [
            Route("/", show),
            Route("/events", events),
            Route("/kick", orders.kick, methods=["POST"]),
            Mount("/static", app=Assets(files)),
        ]
    )
    return Guard(routes, authorise=authorise)


def _stream(feed: Feed, request: Request, authorise: Authorise | None) -> Response:
    said = {name: value for name, value in request.query_params.items() if value}
    try:
        view = View.model_validate(said)
    except ValidationError as error:
        return PlainTextResponse(f"no such view: {error}\n", HTTPStatus.UNPROCESSABLE_ENTITY)
    if feed.viewers >= MAX_VIEWERS:
        sentence = f"{MAX_VIEWERS} are watching already\n"
        return PlainTextResponse(sentence, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "10"})
    assert authorise is not None, "the guard lets nobody in without one"  # noqa: S101
    follow = feed.follow(view, partial(allows, authorise, request))
    return EventSourceResponse(follow, close_event=None)


class _Orders:
    """Ends connections, by order of a page."""

    def __init__(self, registry: ConnectionRegistry) -> None:
        self._registry = registry

    async def kick(self, request: Request) -> Response:
        """End one connection, that very one: not a later one of its id."""
        length = request.headers.get("content-length", "")
        if not length.isdecimal() or len(length) > len(str(MAX_ORDER)) or int(length) > MAX_ORDER:
            sentence = f"an order has at most {MAX_ORDER} bytes, and says how many\n"
            return PlainTextResponse(sentence, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        try:
            order = Kick.model_validate_json(await request.body())
        except ValidationError as error:
            return PlainTextResponse(f"no order: {error}\n", HTTPStatus.UNPROCESSABLE_ENTITY)
        connection = self._find(order.key)
        if connection is None:
            return PlainTextResponse("It has ended already.\n", HTTPStatus.NOT_FOUND)
        await self._registry.remove_connection(connection.connection_id, CloseReason.KICKED)
        logger.info("kicked", extra={"connection_id": connection.connection_id})
        return Response(status_code=HTTPStatus.NO_CONTENT)

    def _find(self, key: str) -> SSEConnection | None:
        everyone = self._registry.get_connections()
        return next((each for each in everyone if key_of(each) == key), None)
