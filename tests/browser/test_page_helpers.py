"""The origin's four on FastHTML's pages as they are by default: each alone, and all together."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
from anyio import from_thread
from anyio.lowlevel import current_token
from fasthtml.components import Div, Li, Link, P, Span, Ul
from fasthtml.core import FastHTML
from playwright.sync_api import expect
from starlette.requests import Request  # noqa: TC002  FastHTML reads annotations
from starlette.responses import Response

from sse_kit import (
    ConnectionRegistry,
    cleanup_sse_on_unload,
    create_connection_manager_script,
    create_reconnection_script,
    create_sse_element,
)
from sse_kit.fasthtml import HTMX_2_EXTENSION, install_sse, sse_status
from tests.browser.flavours import stand_in
from tests.browser.site import serve, until
from tests.browser.watch import wait

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from fastcore.xml import FT
    from playwright.sync_api import BrowserContext, Page

    from sse_kit.templates.htmx import HtmxVersion
    from tests.browser.conftest import Complaints
    from tests.browser.watch import OpenPage

KEY = secrets.token_hex()
"""Else FastHTML writes one to a file."""

ICON = Link(rel="icon", href="data:,")


@pytest.fixture
def context(context: BrowserContext) -> BrowserContext:
    stand_in(context)
    return context


class App:
    """A FastHTML app with a stream, whose pages are by default what FastHTML makes them."""

    def __init__(self, *headers: FT, **options: Any) -> None:
        self.registry = ConnectionRegistry(retry=50, heartbeat=0.2)
        self.app = FastHTML(secret_key=KEY, hdrs=(ICON, *headers), **options)
        self.app.set_lifespan(self._lifespan)
        self.app.route("/sse/connections")(self.registry.stats_endpoint)
        self.before: list[Response] = []
        self.asked: list[str | None] = []
        self.url = ""

        @self.app.route("/events")
        def events(request: Request) -> Response:
            self.asked.append(request.headers.get("last-event-id"))
            if self.before:
                return self.before.pop(0)
            return self.registry.stream(request, ["news"], connection_type="user")

    async def _lifespan(self, app: FastHTML) -> AsyncGenerator[None, None]:
        del app
        self._token = current_token()
        async with self.registry:
            yield

    def page(self, *content: object) -> None:
        @self.app.route("/")
        def index() -> tuple[object, ...]:
            return content

    def publish(self, value: object, event: str | None = None) -> None:
        self.registry.publish_from_thread("news", value, event=event)

    def end_streams(self) -> None:
        """End every stream, as a network that breaks does."""
        for connection in self.registry.get_connections():
            remove = self.registry.remove_connection
            from_thread.run(remove, connection.connection_id, token=self._token)

    def wait_for_streams(self, count: int) -> None:
        until(lambda: len(self.registry.get_active_connections()) == count)


@pytest.fixture
def run() -> Iterator[Callable[[App], App]]:
    """Serve apps until the test is over."""
    running: list[Any] = []

    def started(app: App) -> App:
        server = serve(app.app)
        running.append((app, server))
        app.url = server.__enter__()
        return app

    yield started
    for app, server in running:
        app.registry.close()
        server.__exit__(None, None, None)


FEED = create_sse_element("/events", "feed", "beforeend")


# FastHTML's default pages -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "version"),
    [({}, 2), ({"htmx4": True, "exts": "sse4"}, 4), ({"htmx4": True}, 4)],
    ids=["htmx 2", "htmx 4", "htmx 4 without its extension"],
)
def test_a_default_page_of_fasthtml_shows_a_stream(
    run: Callable[[App], App],
    open_page: OpenPage,
    complaints: Complaints,
    options: dict[str, Any],
    version: HtmxVersion,
) -> None:
    """One call on the app adds what its htmx lacks; the connection is the kit's."""
    app = App(**options)
    install_sse(app.app)
    feed = create_sse_element("/events", "feed", "a,message", htmx=version)
    app.page(sse_status(), feed(P("old")))
    page = open_page(f"{run(app).url}/")
    expect(page.get_by_role("status")).to_have_text("Connected")
    expect(page.locator("#feed")).to_have_attribute("data-sse-state", "connected")
    app.publish(P("named"), event="a")
    expect(page.locator("#feed p")).to_have_text(["named"])
    app.publish(Div(P("<b>escaped</b>"), P("x")))
    expect(page.locator("#feed p")).to_have_text(["<b>escaped</b>", "x"])
    assert page.evaluate("sseKit.channels.size") == 1
    assert complaints == []


def test_the_extension_is_the_one_that_was_checked(
    run: Callable[[App], App], open_page: OpenPage, context: BrowserContext, complaints: Complaints
) -> None:
    """Its address comes with a hash: another file is not run."""
    app = App()
    install_sse(app.app)
    app.page(FEED)
    context.route(
        HTMX_2_EXTENSION,
        lambda route: route.fulfill(
            body="window.owned = true",
            headers={"Access-Control-Allow-Origin": "*", "Content-Type": "text/javascript"},
        ),
    )
    page = open_page(f"{run(app).url}/")
    wait(page, "window.sseKit")
    assert page.evaluate("window.owned") is None
    assert "integrity" in complaints[0]


# The four -----------------------------------------------------------------------------------------

HTMX_2 = install_sse(FastHTML(secret_key=KEY))[0]
"""The extension that FastHTML's htmx 2 lacks, alone."""


def test_the_reconnection_script_alone_brings_streams_back(
    run: Callable[[App], App], open_page: OpenPage
) -> None:
    """After an HTTP error, which an EventSource does not survive, and with the last id."""
    app = App(HTMX_2, create_reconnection_script(check_interval=100))
    app.page(FEED)
    page = open_page(f"{run(app).url}/")
    app.wait_for_streams(1)
    app.publish(P("1"))
    expect(page.locator("#feed p")).to_have_text(["1"])
    app.before = [Response(status_code=500), Response(status_code=503)]
    app.end_streams()
    app.publish(P("2"))
    expect(page.locator("#feed p")).to_have_text(["1", "2"])
    assert len(app.asked) == 4
    assert None not in app.asked[1:]


def test_the_reconnection_script_gives_up_as_it_was_told(
    run: Callable[[App], App], open_page: OpenPage
) -> None:
    """After so many attempts in a row; who comes back to the page begins a new count."""
    app = App(HTMX_2, create_reconnection_script(check_interval=50, max_retries=2, debug=True))
    app.page(FEED)
    app.before = [Response(status_code=500) for _ in range(3)]
    log: list[str] = []
    page = open_page("about:blank")
    page.on("console", lambda message: log.append(message.text))
    page.goto(f"{run(app).url}/")
    feed = page.locator("#feed")
    expect(feed).to_have_attribute("data-sse-state", "error")
    assert len(app.asked) == 3
    assert any("max-retries" in line for line in log)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(feed).to_have_attribute("data-sse-state", "connected")


def test_the_cleanup_script_alone_closes_streams_when_a_page_is_left(
    run: Callable[[App], App], open_page: OpenPage
) -> None:
    """A download leaves them alone; an element that is removed closes its own."""
    app = App(HTMX_2, cleanup_sse_on_unload())
    app.page(FEED)

    @app.app.route("/file")
    def file() -> Response:
        return Response("x", headers={"Content-Disposition": "attachment"})

    page = open_page(f"{run(app).url}/")
    app.wait_for_streams(1)
    with page.expect_download():
        page.evaluate("location.href = '/file'")
    app.publish(P("1"))
    expect(page.locator("#feed p")).to_have_text(["1"])
    assert len(app.asked) == 1
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    app.wait_for_streams(0)
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    app.wait_for_streams(1)
    page.evaluate("document.querySelector('#feed').remove()")
    app.wait_for_streams(0)


def test_the_manager_script_alone_shows_the_numbers_of_the_registry(
    run: Callable[[App], App], open_page: OpenPage, complaints: Complaints
) -> None:
    """It is in the head, where there is no body yet; the registry has the default address."""
    app = App(HTMX_2, create_connection_manager_script(update_interval=100))
    app.page(FEED, Span(data_sse_stats="total"), Span(data_sse_stats="by_type.user"))
    page = open_page("about:blank")
    page.goto(f"{run(app).url}/")
    expect(page.locator("span")).to_have_text(["1", "1"])
    page.evaluate("document.querySelector('#feed').remove()")
    expect(page.locator("span")).to_have_text(["0", "0"])
    assert complaints == []


def all_four() -> tuple[FT, ...]:
    return (
        cleanup_sse_on_unload(),
        create_reconnection_script(check_interval=200, max_retries=50),
        create_connection_manager_script(update_interval=100),
    )


def works(app: App, page: Page) -> None:
    """See that the page does what each of the four is for."""
    app.wait_for_streams(1)
    app.publish(P("1"))
    expect(page.locator("#feed p")).to_have_text(["1"])
    expect(page.locator("span")).to_have_text(["1"])
    app.before = [Response(status_code=500)]
    app.end_streams()
    app.publish(P("2"))
    expect(page.locator("#feed p")).to_have_text(["1", "2"])
    assert page.evaluate("sseKit.channels.size") == 1
    assert page.evaluate("sseKit.config.connection.maxRetries") == 50
    page.goto("about:blank")
    app.wait_for_streams(0)


def test_all_four_together_are_one_runtime(run: Callable[[App], App], open_page: OpenPage) -> None:
    """Each adds what it sets; none undoes another's."""
    app = App(HTMX_2, *all_four())
    app.page(FEED, Span(data_sse_stats="total"))
    works(app, open_page(f"{run(app).url}/"))


def test_the_four_go_with_an_app_that_serves_the_runtime(
    run: Callable[[App], App], open_page: OpenPage
) -> None:
    """Then their blocks are enough; in a page's body they work as well."""
    app = App()
    install_sse(app.app)
    app.page(FEED, Span(data_sse_stats="total"), *all_four())
    works(app, open_page(f"{run(app).url}/"))


HOSTILE = "/sse/connections?q='\"</script><script>window.owned=1</script>\u2028&"


def test_a_hostile_endpoint_is_an_address(
    run: Callable[[App], App], open_page: OpenPage, complaints: Complaints
) -> None:
    """In each of the four that takes one."""
    app = App(HTMX_2, create_connection_manager_script(HOSTILE, 100))
    feed = create_sse_element(f"/events?q={HOSTILE}", "feed")
    app.page(feed, Span(data_sse_stats="total"), Ul(Li("x")))
    page = open_page(f"{run(app).url}/")
    expect(page.locator("span")).to_have_text(["1"])
    assert page.evaluate("window.owned") is None
    assert complaints == []
