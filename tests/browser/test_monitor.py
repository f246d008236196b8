"""The monitor in a real browser, mounted beside the streams that it shows."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from anyio import from_thread
from anyio.lowlevel import current_token
from playwright.sync_api import expect
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route

from sse_kit import ConnectionRegistry
from sse_kit.assets import assets
from sse_kit.monitor import monitor
from sse_kit.monitor.census import key_of
from sse_kit.templates import bundle
from sse_kit.templates.client import ClientConfig, StreamConfig, block
from tests.browser.contrast import LOW_CONTRAST
from tests.browser.site import QUICK, serve, until
from tests.browser.watch import wait

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from playwright.sync_api import BrowserContext, Locator, Page
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from tests.browser.conftest import Complaints, OpenContext
    from tests.browser.watch import OpenPage

WHO, ADMIN = "who", "admin"
"""The cookie of somebody who may watch."""

HOSTILE = "<img src=x onerror=\"document.title = 'owned'\"><b>bold</b>'\"\u2028"

TAB = (
    '<!doctype html><html lang="en"><head><title>tab</title><link rel="icon" href="data:,">'
    f'{{block}}<script type="module" src="/sse-kit/{bundle.script_name()}"></script></head></html>'
)
"""A page that follows a stream, as those of the app do."""


class App:
    """Streams at ``/events``, pages that follow them at ``/tab``, the monitor at ``/monitor``."""

    def __init__(self, *, interval: float = 0.1) -> None:
        self.registry = ConnectionRegistry(heartbeat=0.5, retry=50)
        self.orders: list[Headers] = []
        self._monitor = monitor(
            self.registry, authorise=self._is_admin, metadata=True, interval=interval, rows=5
        )
        self.app = Starlette(
            lifespan=self._lifespan,
            routes=[
                Mount("/sse-kit", app=assets),
                Mount("/monitor", app=self._note_orders),
                Route("/events", self._events),
                Route("/tab", self._tab),
            ],
        )
        self.url = ""

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncGenerator[None, None]:
        del app
        self._token = current_token()
        async with self.registry:
            yield

    async def _note_orders(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            self.orders.append(Headers(scope=scope))
        await self._monitor(scope, receive, send)

    def _is_admin(self, request: Request) -> bool:
        return request.cookies.get(WHO) == ADMIN

    async def _events(self, request: Request) -> Response:
        name = request.query_params["id"]
        return self.registry.stream(
            request, [f"to {name}"], connection_type="tab", connection_id=name
        )

    async def _tab(self, request: Request) -> Response:
        stream = StreamConfig(url=f"/events?id={request.query_params['id']}")
        config = ClientConfig(connection=QUICK, streams=(stream,))
        return HTMLResponse(TAB.format(block=block(config)))

    def add(
        self, name: str, kind: str = "user", topics: tuple[str, ...] = (), **facts: Any
    ) -> None:
        """Add a connection without a page; ``send`` gives it messages."""

        async def add() -> None:
            await self.registry.add_connection(name, kind, topics=topics, metadata=facts)

        from_thread.run(add, token=self._token)

    def send(self, name: str, count: int = 1) -> None:
        async def send() -> None:
            for _ in range(count):
                await self.registry.send(name, "x")

        from_thread.run(send, token=self._token)

    def remove_all(self) -> None:
        async def remove() -> None:
            for each in self.registry.get_connections():
                await self.registry.remove_connection(each.connection_id)

        from_thread.run(remove, token=self._token)


@contextmanager
def running(app: App, port: int = 0) -> Iterator[App]:
    with serve(app.app, port) as app.url:
        try:
            yield app
        finally:
            app.registry.close()


@pytest.fixture(scope="module")
def shared_app() -> Iterator[App]:
    with running(App()) as app:
        yield app


@pytest.fixture
def app(shared_app: App) -> Iterator[App]:
    """Return the server, without connections of other tests."""
    yield shared_app
    shared_app.orders.clear()
    shared_app.remove_all()


@pytest.fixture
def context(open_context: OpenContext, app: App) -> BrowserContext:
    """Open the profile of somebody who may watch."""
    return admin(open_context, app)


def admin(open_context: OpenContext, app: App, **options: Any) -> BrowserContext:
    context = open_context(viewport={"width": 1280, "height": 900}, **options)
    context.add_cookies([{"name": WHO, "value": ADMIN, "url": app.url}])
    return context


@pytest.fixture
def watch(open_page: OpenPage, app: App) -> Callable[..., Page]:
    """Open the monitor."""

    def opened(query: str = "") -> Page:
        page = open_page(f"{app.url}/monitor/{query}")
        expect(status(page)).to_have_text("Live")
        return page

    return opened


def status(page: Page) -> Locator:
    return page.locator("[data-sse-status]")


def ids(page: Page) -> Locator:
    return page.locator("#rows [data-part=id]")


def cell(page: Page, name: str, part: str) -> Locator:
    row = page.locator("#rows tr").filter(has=page.get_by_role("rowheader", name=name, exact=True))
    return row.locator(f"[data-part={part}]")


def test_a_tab_is_a_row_while_it_is_open(
    app: App, watch: Callable[..., Page], open_page: OpenPage, complaints: Complaints
) -> None:
    """It comes without a reload, its figures move, and it goes; nothing complains."""
    page = watch()
    expect(page.locator("#empty")).to_have_text("No connection yet.")
    tab = open_page(f"{app.url}/tab?id=ann")
    expect(ids(page)).to_have_text(["ann"])
    expect(cell(page, "ann", "state")).to_have_text("Connected")
    expect(cell(page, "ann", "topics")).to_have_text("to ann")
    expect(cell(page, "ann", "age")).to_have_text(re.compile(r"^[1-9]\d* s$"))
    expect(cell(page, "ann", "messages")).to_have_text("0")
    app.registry.publish_from_thread("to ann", "x")
    app.send("ann", 2)
    expect(cell(page, "ann", "messages")).to_have_text("3")
    expect(page.locator("#active [data-part=figure-0]")).to_have_text("1")
    expect(page.locator("#topics li [data-part=name]")).to_have_text(["to ann"])
    tab.close()
    expect(ids(page)).to_have_count(0)
    expect(page.locator("#ends li")).to_contain_text(["Client left"])
    assert complaints == []


def test_the_charts_move_and_a_later_viewer_sees_the_past(watch: Callable[..., Page]) -> None:
    """Each line is drawn again with every look; it begins with what others saw."""
    page = watch()
    for line in page.locator(".chart .line.series-0").all():
        expect(line).to_have_attribute("d", re.compile("C.*C"))
        expect(line).not_to_have_attribute("d", line.get_attribute("d") or "")
    second = watch()
    assert re.search("C.*C.*C", second.locator("#active .line").get_attribute("d") or "")
    expect(second.locator("#as-of")).to_contain_text("2 watching")


def test_the_health_of_the_transport_is_told_in_words(watch: Callable[..., Page]) -> None:
    """And by the shape of a light."""
    card = watch().locator("#transport")
    expect(card).to_contain_text("Healthy")
    expect(card).to_contain_text("MemoryTransport")
    expect(card.locator("[data-part=answer]")).to_have_text(re.compile(r"^\d+\.\d ms$"))
    expect(card.locator("[data-part=position]")).to_have_text(re.compile(r"^[\w-]+\.\d+$"))


def test_the_rows_can_be_filtered(app: App, watch: Callable[..., Page]) -> None:
    """By type, by topic, by a part of the id; the address keeps it, and it can be cleared."""
    app.add("Ann", topics=("news",))
    app.add("bert")
    app.add("job_1", "job", topics=("news",))
    page = watch()
    expect(ids(page)).to_have_text(["Ann", "bert", "job_1"])
    page.get_by_label("Topic", exact=True).fill("news")
    expect(ids(page)).to_have_text(["Ann", "job_1"])
    page.get_by_label("Type", exact=True).select_option("user")
    expect(ids(page)).to_have_text(["Ann"])
    expect(page.locator("#shown")).to_have_text("1 of 3")
    assert page.url.endswith("?type=user&topic=news")
    page.reload()
    expect(ids(page)).to_have_text(["Ann"])
    expect(page.get_by_label("Type", exact=True)).to_have_value("user")
    page.get_by_label("Id contains").fill("nobody")
    expect(page.locator("#empty")).to_have_text("No connection matches.")
    page.get_by_role("button", name="Clear").click()
    expect(ids(page)).to_have_text(["Ann", "bert", "job_1"])
    page.locator("#types").get_by_role("button", name="job").click()
    expect(ids(page)).to_have_text(["job_1"])


def test_the_rows_can_be_sorted(app: App, watch: Callable[..., Page]) -> None:
    """By the head of a column, once more for the other way round; with the keyboard too."""
    for number in range(7):
        app.add(f"c{number}")
        app.send(f"c{number}", number % 3)
    page = watch()
    expect(ids(page)).to_have_text(["c0", "c1", "c2", "c3", "c4"])
    expect(page.locator("#shown")).to_have_text("7, the first 5")
    head = page.get_by_role("columnheader", name="Messages")
    head.get_by_role("button").click()
    expect(page.locator("#rows [data-part=messages]")).to_have_text(["2", "2", "1", "1", "0"])
    expect(head).to_have_attribute("aria-sort", "descending")
    page.keyboard.press("Enter")
    expect(page.locator("#rows [data-part=messages]")).to_have_text(["0", "0", "0", "1", "1"])
    expect(head).to_have_attribute("aria-sort", "ascending")
    expect(page.locator("[aria-sort]")).to_have_count(1)


def test_another_filter_does_not_empty_the_page_meanwhile(
    app: App, watch: Callable[..., Page]
) -> None:
    """The old stream goes on until the new one has something; then one is left."""
    app.add("Ann")
    page = watch()
    expect(ids(page)).to_have_text(["Ann"])
    page.evaluate(
        """() => {
          window.least = Infinity;
          const rows = document.querySelector("#rows");
          new MutationObserver(() => { least = Math.min(least, rows.children.length); })
            .observe(rows, { childList: true, subtree: true, characterData: true });
        }"""
    )
    page.get_by_label("Type", exact=True).select_option("user")
    # The page's policy forbids what Playwright waits for a function by.
    one = "() => [...sseKit.channels].map(({ url }) => url.split('?')[1]).join() === 'type=user'"
    until(lambda: page.evaluate(one))
    until(lambda: page.evaluate("least") == 1)
    expect(page.locator("#as-of")).not_to_contain_text("watching")


def test_a_kick_ends_the_stream_of_the_other_tab(
    app: App, watch: Callable[..., Page], open_page: OpenPage, complaints: Complaints
) -> None:
    """It asks once more, and can be called off; who was kicked does not come back by itself."""
    tab = open_page(f"{app.url}/tab?id=ann")
    page = watch()
    button = page.get_by_role("button", name="Kick ann")
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="End this stream?")
    expect(dialog).to_contain_text("ann")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(button).to_be_focused()
    assert tab.evaluate("[...sseKit.channels][0].state") == "connected"
    button.click()
    dialog.get_by_role("button", name="End it").click()
    expect(page.locator("#done")).to_have_text("The stream of ann was ended.")
    expect(ids(page)).to_have_count(0)
    expect(page.locator("#ends li")).to_contain_text(["Kicked"])
    wait(tab, "[...sseKit.channels][0].detail.reason === 'close-event'")
    assert complaints == []


def test_a_stranger_sees_nothing_and_kicks_nobody(app: App, open_context: OpenContext) -> None:
    """Not even from a page of the same server, and with the name of a stream."""
    app.add("Ann")
    stranger = open_context().new_page()
    stranger.goto(f"{app.url}/monitor/")
    expect(stranger.locator("body")).to_contain_text("its authoriser said no")
    connection = app.registry.get_connection("Ann")
    assert connection is not None
    stranger.goto(f"{app.url}/tab?id=stranger")
    order = """async ([url, key]) => {
      const body = JSON.stringify({ key });
      return (await fetch(url, { method: "POST", body })).status;
    }"""
    assert stranger.evaluate(order, [f"{app.url}/monitor/kick", key_of(connection)]) == 403
    assert connection.is_active()


def test_a_page_of_another_origin_kicks_nobody(
    app: App, context: BrowserContext, watch: Callable[..., Page]
) -> None:
    """It has the cookie, since it is on the same host, and is refused all the same."""
    app.add("Ann")
    key = watch().locator("#rows tr").get_attribute("data-key")
    with running(App()) as elsewhere:
        page = context.new_page()
        page.goto(f"{elsewhere.url}/tab?id=x")
        page.evaluate(
            """([url, key]) => {
              const body = JSON.stringify({ key });
              const how = { method: "POST", mode: "no-cors", credentials: "include" };
              return fetch(url, { ...how, body }).catch(() => {});
            }""",
            [f"{app.url}/monitor/kick", key],
        )
    [headers] = app.orders
    assert (headers["cookie"], headers["sec-fetch-site"]) == (f"{WHO}={ADMIN}", "same-site")
    assert app.registry.get_connection("Ann") is not None


def test_a_kick_that_is_refused_says_why(app: App, watch: Callable[..., Page]) -> None:
    """The row stays, and the sentence is the server's."""
    app.add("Ann")
    page = watch()
    page.context.clear_cookies()
    page.get_by_role("button", name="Kick Ann").click()
    page.get_by_role("button", name="End it").click()
    expect(page.get_by_role("alert")).to_contain_text("Ann was not kicked: You may not see")
    expect(ids(page)).to_have_text(["Ann"])


def test_what_clients_call_themselves_is_text(
    app: App, watch: Callable[..., Page], complaints: Complaints
) -> None:
    """Ids, types, topics and metadata are shown as they were written, wherever they are."""
    app.add(HOSTILE, HOSTILE, topics=(HOSTILE,), **{HOSTILE: HOSTILE})
    page = watch()
    expect(ids(page)).to_have_text([HOSTILE])
    expect(cell(page, HOSTILE, "topics")).to_have_text(HOSTILE)
    expect(cell(page, HOSTILE, "metadata")).to_have_text(f"{HOSTILE}: {HOSTILE}")
    page.locator("#topics li button").click()
    expect(page.get_by_label("Topic", exact=True)).to_have_value(HOSTILE)
    page.get_by_label("Type", exact=True).select_option(HOSTILE)
    expect(page.locator("#clear")).to_be_visible()
    page.locator(".kick").click()
    expect(page.get_by_role("dialog")).to_contain_text(HOSTILE)
    page.get_by_role("button", name="End it").click()
    expect(page.locator("#done")).to_contain_text(HOSTILE)
    expect(page.locator("main :is(img, b)")).to_have_count(0)
    expect(page).to_have_title("sse_kit monitor")
    assert complaints == []


def test_it_can_be_paused(app: App, watch: Callable[..., Page]) -> None:
    """What moves by itself can be stopped, and goes on with what is true then."""
    app.add("Ann")
    page = watch()
    pause = page.get_by_role("button", name="Pause")
    pause.click()
    expect(status(page)).to_have_text("Not live")
    expect(pause).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#monitor")).to_have_attribute("data-live", "false")
    app.add("bert")
    pause.click()
    expect(status(page)).to_have_text("Live")
    expect(ids(page)).to_have_text(["Ann", "bert"])
    pause.click()
    page.get_by_label("Id contains").fill("b")  # who asks for something wants to see it
    expect(ids(page)).to_have_text(["bert"])
    expect(pause).to_have_attribute("aria-pressed", "false")


def test_it_comes_back_with_the_server(open_context: OpenContext, complaints: Complaints) -> None:
    """What was shown stays meanwhile, and is marked as not live; then it is what is true now."""
    with running(App()) as first:
        first.add("before")
        page = admin(open_context, first).new_page()
        page.goto(f"{first.url}/monitor/?sort=lag")
        expect(ids(page)).to_have_text(["before"])
    expect(status(page)).to_have_text("Reconnecting")
    expect(ids(page)).to_have_text(["before"])
    expect(page.locator("#monitor")).to_have_attribute("data-live", "false")
    with running(App(), int(first.url.rpartition(":")[2])) as second:
        second.add("after")
        expect(status(page)).to_have_text("Live")
        expect(ids(page)).to_have_text(["after"])
        page.close()
    assert complaints.but_for_the_network() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 768, 1024, 1280])
def test_the_page_fits_and_can_be_read(
    app: App, open_context: OpenContext, width: int, scheme: str
) -> None:
    """Nothing is cut off, and all text has the contrast of WCAG's level AA, live or not."""
    app.add("w" * 150, "t" * 60, topics=("topic/" + "x" * 120, "two"), user="m" * 150)
    app.add("ordinary", topics=("news",))
    context = admin(open_context, app, color_scheme=scheme)
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{app.url}/monitor/?text=o&sort=lag")
    expect(ids(page)).to_have_text(["ordinary"])
    rows = page.get_by_role("region", name="Live connections").last
    assert rows.evaluate("(region) => region.scrollHeight === region.clientHeight")
    page.get_by_role("button", name="Clear").click()
    expect(ids(page)).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(LOW_CONTRAST) == []
    page.locator(".kick").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(LOW_CONTRAST) == []
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#monitor")).to_have_attribute("data-live", "false")
    assert page.evaluate(LOW_CONTRAST) == []
