"""Numbers of the registry in the page: asked for at an interval, or brought by its stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from starlette.responses import JSONResponse, Response

from sse_kit.templates.client import ClientConfig, StatsConfig, StreamConfig
from tests.browser.site import QUICK
from tests.browser.watch import PATIENCE, connected, stop_clock, wait, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request

    from tests.browser.conftest import Complaints
    from tests.browser.site import Site
    from tests.browser.watch import OpenPage

SHOWN = """
<b data-sse-stats="total"></b><b data-sse-stats="by_type.user"></b>
<b data-sse-stats="by_type.a.b"></b><b data-sse-stats="by_type.gone">3</b>
<b data-sse-stats="by_type">kept</b><b data-sse-stats="hub.nothing">kept</b>
<b data-sse-stats="no_such">kept</b><b data-sse-stats="name"></b>
"""
STATS = {
    "total": 7,
    "by_type": {"user": 5, "a.b": 2},
    "hub": None,
    "name": "</b><script>window.owned = 1</script>",
}
FOLLOW = """
window.heard = [];
document.addEventListener("sse:stats", ({ detail }) => heard.push(detail));
"""


@pytest.fixture
def endpoint(topic: str) -> str:
    return f"stats-{topic}"


def stats_page(site: Site, endpoint: str, *, interval: int = 100, timeout: int = PATIENCE) -> str:
    stats = StatsConfig(endpoint=f"/{endpoint}", interval=interval, timeout=timeout)
    return site.page(ClientConfig(stats=stats), SHOWN, head=f"<script>{FOLLOW}</script>")


def requests_for(page: Page, endpoint: str) -> list[Request]:
    """Return the requests for the statistics, as they are made."""
    made: list[Request] = []

    def note(request: Request) -> None:
        if request.url.endswith(endpoint):
            made.append(request)

    page.on("request", note)
    return made


def hide(page: Page, *, hidden: bool) -> None:
    page.evaluate(
        """(hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_numbers_are_shown_by_their_paths(
    site: Site, endpoint: str, open_page: OpenPage, complaints: Complaints
) -> None:
    """As text; what is no number or text, or not there, is left as it is; a missing count is 0."""
    site.pages[endpoint] = JSONResponse(STATS)
    page = open_page(stats_page(site, endpoint))
    wait(page, "heard.length >= 1")
    shown = page.locator("b").all_text_contents()
    assert shown == ["7", "5", "2", "0", "kept", "kept", "kept", STATS["name"]]
    assert page.evaluate("heard[0]") == STATS
    assert page.evaluate("window.owned") is None
    assert complaints == []


def test_they_are_asked_for_at_an_interval(site: Site, endpoint: str, open_page: OpenPage) -> None:
    """And the newest are shown."""
    site.pages[endpoint] = JSONResponse({"total": 1})
    page = open_page(stats_page(site, endpoint))
    expect(page.locator("b").first).to_have_text("1")
    site.pages[endpoint] = JSONResponse({"total": 2})
    expect(page.locator("b").first).to_have_text("2")


@pytest.mark.parametrize(
    "answer",
    [Response(status_code=500), Response("<html>"), Response(status_code=404)],
    ids=["500", "no JSON", "404"],
)
def test_an_endpoint_that_fails_is_asked_less_often(
    site: Site, endpoint: str, open_page: OpenPage, answer: Response
) -> None:
    """What was shown stays; once it answers again, that is shown."""
    site.pages[endpoint] = JSONResponse({"total": 1})
    page = open_page("about:blank")
    stop_clock(page)
    page.add_init_script("Math.random = () => 1")  # the longest of the delays there may be
    made = requests_for(page, endpoint)
    page.goto(stats_page(site, endpoint))
    page.clock.run_for(10)
    expect(page.locator("b").first).to_have_text("1")
    site.pages[endpoint] = answer
    page.evaluate("heard.length = 0")
    counts = []
    for _ in range(4):
        before = len(made)
        for _ in range(16):
            page.clock.run_for(100)
            page.evaluate("fetch('/probe.js').then((answer) => answer.text())")
            for request in made:
                request.response()
        counts.append(len(made) - before)
    assert counts[0] >= 3
    assert counts[-1] <= 2
    assert page.evaluate("heard.length") == 0
    expect(page.locator("b").first).to_have_text("1")
    site.pages[endpoint] = JSONResponse({"total": 2})
    page.clock.run_for(1_700)
    expect(page.locator("b").first).to_have_text("2")


def test_a_page_that_nobody_sees_asks_for_nothing(
    site: Site, endpoint: str, open_page: OpenPage
) -> None:
    """Hidden, or left; it goes on at once when it is seen again."""
    site.pages[endpoint] = JSONResponse({"total": 1})
    page = open_page("about:blank")
    stop_clock(page)
    made = requests_for(page, endpoint)
    page.goto(stats_page(site, endpoint, interval=60_000))
    page.clock.run_for(10)
    expect(page.locator("b").first).to_have_text("1")
    hide(page, hidden=True)
    page.clock.run_for(600_000)
    assert len(made) == 1
    site.pages[endpoint] = JSONResponse({"total": 2})
    hide(page, hidden=False)
    page.clock.run_for(10)
    expect(page.locator("b").first).to_have_text("2")


def test_an_answer_that_does_not_come_is_given_up(
    site: Site, endpoint: str, open_page: OpenPage
) -> None:
    """The next may come."""
    site.pages[endpoint] = JSONResponse({"total": 1})
    page = open_page("about:blank")
    aborted: list[str] = []
    page.on("requestfailed", lambda request: aborted.append(request.url))
    page.route(f"**/{endpoint}", lambda _: None)
    page.goto(stats_page(site, endpoint, timeout=300))
    wait_until(page, lambda: aborted)
    page.unroute_all(behavior="ignoreErrors")
    expect(page.locator("b").first).to_have_text("1")


def test_a_stream_that_opens_is_a_reason_to_ask(
    site: Site, topic: str, endpoint: str, open_page: OpenPage
) -> None:
    """So a page shows itself soon."""
    site.pages[endpoint] = JSONResponse({"total": 1})
    page = open_page(stats_page(site, endpoint, interval=600_000))
    expect(page.locator("b").first).to_have_text("1")
    site.pages[endpoint] = JSONResponse({"total": 2})
    page.evaluate("(url) => sseKit.connect(url)", f"/events/{topic}")
    expect(page.locator("b").first).to_have_text("2")


def test_the_stream_itself_may_bring_them(
    site: Site, topic: str, open_page: OpenPage, complaints: Complaints
) -> None:
    """By an event of the name that the config says; one that is no JSON is reported."""
    stats = StatsConfig(event="stats")
    streams = (StreamConfig(url=f"/events/{topic}"),)
    config = ClientConfig(connection=QUICK, stats=stats, streams=streams)
    page = open_page(site.page(config, SHOWN, head=f"<script>{FOLLOW}</script>"))
    connected(page)
    site.publish(topic, "{no JSON", event="stats")
    site.publish(topic, json.dumps(STATS), event="stats")
    expect(page.locator("b").nth(1)).to_have_text("5")
    assert page.evaluate("heard") == [STATS]
    assert len(complaints) == 1


def test_a_block_that_comes_later_begins_it(site: Site, endpoint: str, open_page: OpenPage) -> None:
    """As one in a fragment."""
    site.pages[endpoint] = JSONResponse({"total": 1})
    page = open_page(site.page(None, SHOWN))
    page.evaluate(
        """(json) => {
          const block = document.createElement("script");
          block.type = "application/json";
          block.dataset.sseKit = "";
          block.textContent = json;
          document.body.append(block);
        }""",
        json.dumps({"stats": {"endpoint": f"/{endpoint}"}}),
    )
    expect(page.locator("b").first).to_have_text("1")
