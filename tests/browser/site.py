"""A real server for pages of a test's own: uvicorn in a thread, a registry, and what went in."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import uvicorn
from anyio import Event, from_thread
from anyio.lowlevel import current_token
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from sse_kit import ConnectionRegistry, last_event_id
from sse_kit.assets import assets
from sse_kit.templates import bundle
from sse_kit.templates.client import ClientConfig, ConnectionConfig, StreamConfig, block
from tests.browser.watch import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

    from starlette.requests import Request

PROBE = (Path(__file__).parent / "probe.js").read_text()

QUICK = ConnectionConfig(base_delay=50, min_delay=10, max_delay=200, stable_after=300)
"""Settings for people in a hurry; the server's own ``retry:`` is the base all the same."""


class Asked(NamedTuple):
    """A request for a stream: what it would go on from."""

    last_event_id: str | None
    query: str
    at: float


class Site:
    """Serves pages, and streams of topics under ``/events/<topic>``.

    ``before`` has, by topic, what is answered first, one request each, before there are streams.
    """

    def __init__(self) -> None:
        self.registry = ConnectionRegistry(heartbeat=0.2, retry=50)
        self.before: dict[str, list[Response]] = {}
        self.asked: dict[str, list[Asked]] = {}
        self.pages: dict[str, Response] = {}
        self.once: dict[str, list[Response]] = {}
        self.served: set[str] = set()
        self.url = ""
        self._numbers = itertools.count()
        self.app = Starlette(
            lifespan=self._lifespan,
            routes=[
                Mount("/sse-kit", app=assets),
                Route("/probe.js", lambda _: Response(PROBE, media_type="text/javascript")),
                Route("/events/{topic}", self._events),
                Route("/{page:path}", self._page),
            ],
        )

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncGenerator[None, None]:
        del app
        self._token = current_token()
        self._pages_flow = Event()
        self._pages_flow.set()
        async with self.registry:
            yield

    async def _events(self, request: Request) -> Response:
        topic: str = request.path_params["topic"]
        asked = Asked(last_event_id(request.scope), request.url.query, time.monotonic())
        self.asked.setdefault(topic, []).append(asked)
        if queue := self.before.get(topic):
            return queue.pop(0)
        return self.registry.stream(request, [topic], connection_type=topic)

    async def _page(self, request: Request) -> Response:
        self.served.add(request.url.path)
        path: str = request.path_params["page"]
        await self._pages_flow.wait()
        if queue := self.once.get(path):
            return queue.pop(0)
        return self.pages.get(path) or PlainTextResponse("no page", 404)

    def topic(self) -> str:
        """Return a topic that no other test has."""
        return f"topic-{next(self._numbers)}"

    def page(  # noqa: PLR0913  what a page can be different in
        self,
        config: ClientConfig | None = None,
        body: str = "",
        *,
        script: str | None = None,
        probe: str = '<script src="/probe.js"></script>',
        head: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Put up a page, and return its address; ``script`` is the element that runs the kit."""
        path = f"page-{next(self._numbers)}"
        script = script or f'<script type="module" src="/sse-kit/{bundle.script_name()}"></script>'
        data = "" if config is None else block(config)
        html = (
            '<!doctype html><html lang="en"><head><title>page</title>'
            f'<link rel="icon" href="data:,">{probe}'
            f"{head}{data}{script}</head><body>{body}</body></html>"
        )
        self.pages[path] = HTMLResponse(html, headers=headers)
        return f"{self.url}/{path}"

    def live_page(self, topic: str, body: str = "", **changes: object) -> str:
        """Put up a page that follows a topic; ``changes`` are those of the connection."""
        settings = QUICK.model_copy(update=changes)
        stream = StreamConfig(url=f"/events/{topic}")
        return self.page(ClientConfig(connection=settings, streams=(stream,)), body)

    def publish(self, topic: str, *values: object, event: str | None = None) -> str:
        """Publish each, and return the position of the last."""
        publish = self.registry.publish_from_thread
        *_, last = [publish(topic, value, event=event) for value in values]
        return str(last)

    def end_streams(self, topic: str) -> None:
        """End every stream of a topic, as a network that breaks does."""
        for connection in self.registry.get_connections(topic):
            remove = self.registry.remove_connection
            from_thread.run(remove, connection.connection_id, token=self._token)

    def wait_for_streams(self, topic: str, count: int) -> None:
        """Wait until the server has so many clients for a topic."""
        until(lambda: self.open_streams(topic) == count)

    def hold_pages(self) -> None:
        """Answer no page until they are released."""
        self._pages_flow = Event()

    def release_pages(self) -> None:
        """Answer pages again."""
        from_thread.run_sync(self._pages_flow.set, token=self._token)

    def wait_for_page(self, path: str) -> None:
        """Wait until a page was asked for."""
        until(lambda: path in self.served)

    def open_streams(self, topic: str) -> int:
        """Return how many clients the server has for a topic at this moment."""
        return len(self.registry.get_active_connections(topic))


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


@contextmanager
def serve(app: Starlette, port: int = 0) -> Iterator[str]:
    """Run an app in a thread; yields its address."""
    with socket.create_server(("127.0.0.1", port)) as listening:
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
