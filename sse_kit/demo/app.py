"""The demo: one FastHTML app, one registry, and real input.

A page is rendered *with a cursor*: it holds the position of the log at which its state was read,
and its stream goes on from there. What falls between reading and connecting comes on the stream;
what comes twice has an id or a time by which the page knows it.

Importing this module without psutil raises ``MissingExtra``.
"""

from __future__ import annotations

import secrets
from http import HTTPStatus
from importlib import resources
from typing import TYPE_CHECKING, Any

from fasthtml.core import FastHTML
from pydantic import ValidationError
from starlette.middleware import Middleware
from starlette.requests import Request  # noqa: TC002  FastHTML reads annotations
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount

from sse_kit.demo.board import Board
from sse_kit.demo.guard import Guard
from sse_kit.demo.models import MESSAGE_LENGTH, Message, Topic
from sse_kit.demo.page import HEAD, SCRIPT, DemoConfig, page
from sse_kit.messages import SSEMessage
from sse_kit.monitor import local_only, monitor
from sse_kit.starlette import EventSourceResponse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection

    from sse_kit.transports.base import Transport

STATIC = {
    "chart.js": ("sse_kit.monitor", "text/javascript"),
    "demo.css": ("sse_kit.demo", "text/css"),
    "icon.svg": ("sse_kit.monitor", "image/svg+xml"),
    "stream.js": ("sse_kit.demo", "text/javascript"),
}
"""The files of the page and where they are, beside ``demo.js``, which is rendered."""

CLIENTS = {
    "curl/": "curl",
    "Firefox/": "Firefox",
    "Edg/": "Edge",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
}
"""What a User-Agent holds, and what the list calls it; the first that fits counts."""


def create_app(
    *, hosts: Collection[str] | None = None, transport: Transport | None = None
) -> FastHTML:
    """Return the demo as an app of its own; it leaves no file and asks no other host.

    ``hosts``: the names it answers to; None: any, for a server that is meant to be found.
    ``transport``: None for the embedded default; with a shared one its processes share messages.

    Raises:
        InvalidSetting: ``transport`` keeps no history.

    """
    board = Board(transport)
    app = FastHTML(
        default_hdrs=False,
        hdrs=HEAD,
        htmlkw={"lang": "en"},
        canonical=False,
        sess_cls=None,
        secret_key=secrets.token_hex(),  # else FastHTML writes one to a file
        middleware=[Middleware(Guard, hosts=hosts)],
        routes=[Mount("/monitor", app=monitor(board.registry, authorise=local_only))],
    )
    app.set_lifespan(board.lifespan)
    _serve_page(app, board)
    _serve_streams(app, board)
    _take_posts(app, board)
    return app


def _serve_page(app: FastHTML, board: Board) -> None:
    files = {name: (_text(package, name), kind) for name, (package, kind) in STATIC.items()}
    files["demo.js"] = (SCRIPT.render(DemoConfig()), "text/javascript")

    @app.route("/", methods="get")
    async def index(request: Request) -> tuple[Any, ...]:
        state = board.state(tab=secrets.token_urlsafe(9))
        return page(state, board.messages, origin=str(request.base_url).rstrip("/"))

    @app.route("/static/{name}", methods="get")
    async def static(request: Request) -> Response:
        text, media_type = files.get(request.path_params["name"], (None, None))
        if text is None:
            return PlainTextResponse("no such file", HTTPStatus.NOT_FOUND)
        return Response(text, media_type=media_type, headers={"Cache-Control": "no-cache"})


def _serve_streams(app: FastHTML, board: Board) -> None:
    @app.route("/events", methods="get")
    async def events(request: Request) -> Response:
        """Stream all topics, or those that ``?topic=`` names."""
        asked = request.query_params.getlist("topic") or list(Topic)
        if unknown := sorted(set(asked) - set(Topic)):
            return PlainTextResponse(f"no topics {unknown}\n", HTTPStatus.NOT_FOUND)
        tab = request.query_params.get("tab", "")
        return board.registry.stream(
            request,
            [board.topic(Topic(name)) for name in asked],
            connection_type="tab" if tab else "stream",
            metadata={"tab": tab[:32], "client": _client(request.headers.get("user-agent", ""))},
        )

    @app.route("/progress", methods="get")
    async def progress() -> EventSourceResponse:
        """Follow the job to its end, as a stream that ends: no registry is needed for that."""

        async def statuses() -> AsyncGenerator[SSEMessage, None]:
            async for status in board.job.follow():
                yield SSEMessage.of(status, event=Topic.JOB)

        return EventSourceResponse(statuses())


def _take_posts(app: FastHTML, board: Board) -> None:
    @app.route("/messages", methods="post")
    async def messages(request: Request) -> Response:
        """Take a message."""
        form = await request.form()
        try:
            message = Message.model_validate({"text": form.get("text")})
        except ValidationError:
            sentence = f"a message is text, from 1 to {MESSAGE_LENGTH} characters"
            return PlainTextResponse(sentence, HTTPStatus.UNPROCESSABLE_ENTITY)
        await board.post(message)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @app.route("/jobs", methods="post")
    async def jobs() -> Response:
        """Start the job."""
        if not board.start_job():
            return PlainTextResponse("the job is running already", HTTPStatus.CONFLICT)
        return Response(status_code=HTTPStatus.ACCEPTED)


def _text(package: str, name: str) -> str:
    return resources.files(package).joinpath("static", name).read_text("utf-8")


def _client(user_agent: str) -> str:
    return next((name for mark, name in CLIENTS.items() if mark in user_agent), "other")
