"""A real server for pages of a test's own: uvicorn in a thread, a registry, and what went in."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from sse_kit import ConnectionRegistry, last_event_id
from sse_kit.assets import assets
from sse_kit.templates import bundle
from sse_kit.templates.client import ClientConfig, ConnectionConfig, StreamConfig, block

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import Request

PROBE = (Path(__file__).parent / "probe.js").read_text()

QUICK = ConnectionConfig(base_delay=50, min_delay=10, max_delay=200, stable_after=300)
"""Settings for people in a hurry; the server's own ``retry:`` is the base all the same."""


class Asked(NamedTuple):
    """A request for a stream: what it would go on from."""

    last_event_id: str | None
    query: str


class Site:
    """Serves pages, and streams of topics under ``/events/<topic>``.

    ``before`` has, by topic, what is answered first, one request each, before there are streams.
    """

    def __init__(self) -> None:
        self.registry = ConnectionRegistry(heartbeat=0.2, retry=50)
        self.before: dict[str, list[Response]] = {}
        self.asked: dict[str, list[Asked]] = {}
        self.pages: dict[str, Response] = {}
        self.url = ""
        self._numbers = itertools.count()
        self.app = Starlette(
            lifespan=self.registry.lifespan,
            routes=[
                Mount("/sse-kit", app=assets),
                Route("/probe.js", lambda _: Response(PROBE, media_type="text/javascript")),
                Route("/events/{topic}", self._events),
                Route("/{page:path}", self._page),
            ],
        )

    async def _events(self, request: Request) -> Response:
        topic: str = request.path_params["topic"]
        asked = Asked(last_event_id(request.scope), request.url.query)
        self.asked.setdefault(topic, []).append(asked)
        if queue := self.before.get(topic):
            return queue.pop(0)
        return self.registry.stream(request, [topic], connection_type=topic)

    async def _page(self, request: Request) -> Response:
        return self.pages.get(request.path_params["page"]) or PlainTextResponse("no page", 404)

    def topic(self) -> str:
        """Return a topic that no other test has."""
        return f"topic-{next(self._numbers)}"

    def page(
        self,
        config: ClientConfig | None = None,
        body: str = "",
        *,
        script: str | None = None,
        head: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Put up a page, and return its address; ``script`` is the element that runs the kit."""
        path = f"page-{next(self._numbers)}"
        script = script or f'<script type="module" src="/sse-kit/{bundle.script_name()}"></script>'
        data = "" if config is None else block(config)
        html = (
            '<!doctype html><html lang="en"><head><title>page</title>'
            '<link rel="icon" href="data:,"><script src="/probe.js"></script>'
            f"{head}{data}{script}</head><body>{body}</body></html>"
        )
        self.pages[path] = HTMLResponse(html, headers=headers)
        return f"{self.url}/{path}"

    def live_page(self, topic: str, body: str = "", **changes: object) -> str:
        """Put up a page that follows a topic; ``changes`` are those of the connection."""
        settings = QUICK.model_copy(update=changes)
        stream = StreamConfig(url=f"/events/{topic}")
        return self.page(ClientConfig(connection=settings, streams=(stream,)), body)

    def publish(self, topic: str, *values: object, event: str | None = None) -> None:
        for value in values:
            self.registry.publish_from_thread(topic, value, event=event)

    def open_streams(self, topic: str) -> int:
        """Return how many clients the server has for a topic at this moment."""
        return len(self.registry.get_active_connections(topic))


@contextmanager
def serve(app: Starlette) -> Iterator[str]:
    """Run an app in a thread; yields its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def running_site() -> Iterator[Site]:
    """Run a site of its own."""
    made = Site()
    with serve(made.app) as made.url:
        yield made
        made.registry.close()
