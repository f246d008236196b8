"""The demo's page in a real browser, against a real process."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, TypeAlias

import pytest
from playwright.sync_api import expect

from tests.browser.contrast import LOW_CONTRAST

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import BrowserContext, Locator, Page, Request, Route

    from tests.browser.conftest import Complaints, OpenContext
    from tests.demo.process import DemoProcess

OpenTab: TypeAlias = "Callable[[], Page]"
Restart: TypeAlias = "Callable[[], DemoProcess]"

HOSTILE = "<img src=x onerror=\"document.title = 'owned'\"><b>bold</b>"
PRIMES = "21,336,326 primes"
CURSOR = r'("cursor":"[^".]+)\.[0-9]+'

STOP_TIME = 2.0
"""Seconds in which Ctrl-C ends the demo, however many tabs are open."""


def light(page: Page) -> Locator:
    return page.get_by_role("status")


def messages(page: Page) -> Locator:
    return page.locator("#messages [data-part=text]")


def write(page: Page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.get_by_role("button", name="Send").click()


def reconnect(page: Page) -> None:
    """Have the page let go of its stream, and take it up again, as the back button does."""
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")


def test_the_light_tells_that_the_stream_is_live(
    context: BrowserContext, shared_demo: DemoProcess, complaints: Complaints
) -> None:
    """It is at connected, in words too, and nothing complains."""
    page = context.new_page()
    page.goto(shared_demo.url)
    expect(light(page)).to_have_text("Connected")
    expect(light(page)).to_have_attribute("data-state", "connected")
    assert complaints == []


def test_the_figures_move(context: BrowserContext, shared_demo: DemoProcess) -> None:
    """Each chart is drawn again as samples come in, and a figure stands beside it."""
    page = context.new_page()
    page.goto(shared_demo.url)
    for name in ("cpu", "memory", "network"):
        card = page.locator(f"#{name}")
        line = card.locator(".line").first
        expect(line).to_have_attribute("d", re.compile("^M"))
        expect(line).not_to_have_attribute("d", line.get_attribute("d") or "")
        expect(card.locator("[data-part=figure]")).to_have_text(re.compile(r"^[0-9.]+$"))


def test_a_tab_that_is_opened_later_begins_with_the_past(open_tab: OpenTab) -> None:
    """Its charts have the samples, and its list the messages, from before it."""
    first = open_tab()
    line = "#cpu .line"
    expect(first.locator(line)).to_have_attribute("d", re.compile("C.*C"))
    write(first, "before")
    expect(messages(first)).to_have_text(["before"])
    second = open_tab()
    expect(messages(second)).to_have_text(["before"])
    assert re.search("C.*C", second.locator(line).get_attribute("d") or "")


def test_a_message_reaches_the_other_tab_as_text(open_tab: OpenTab, complaints: Complaints) -> None:
    """What looks like HTML is shown as it was written, in both tabs, and in a tab opened later."""
    first, second = open_tab(), open_tab()
    write(first, HOSTILE)
    for page in (first, second, open_tab()):
        expect(messages(page)).to_have_text([HOSTILE])
        expect(page.locator("#messages :is(img, b)")).to_have_count(0)
        expect(page).to_have_title("sse_kit demo")
    assert complaints == []


def test_what_a_page_was_rendered_with_is_shown_once(
    context: BrowserContext, demo: DemoProcess
) -> None:
    """Its stream goes on from before its state was read, and so brings some of it again."""

    def rewind(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=re.sub(CURSOR, r"\g<1>.0", answer.text()))

    for text in ("one", "two"):
        demo.post(text)
    context.route(f"{demo.url}/", rewind)
    page = context.new_page()
    page.goto(demo.url)
    demo.post("three")
    expect(messages(page)).to_have_text(["three", "two", "one"])


def test_a_message_that_was_sent_leaves_the_field(open_tab: OpenTab) -> None:
    """The next one can be written at once."""
    page = open_tab()
    write(page, "one")
    expect(page.get_by_label("Your message")).to_have_value("")
    write(page, "two")
    expect(messages(page)).to_have_text(["two", "one"])


def test_a_message_that_is_refused_stays_in_the_field(open_tab: OpenTab) -> None:
    """The reason is told, and what was written is not lost."""
    page = open_tab()
    write(page, "   ")
    expect(page.get_by_role("alert").first).to_contain_text("a message is text")
    expect(page.get_by_label("Your message")).to_have_value("   ")


def test_a_message_that_a_server_did_not_take_stays_in_the_field(
    open_tab: OpenTab, demo: DemoProcess
) -> None:
    """Nothing that was written is lost with the server."""
    page = open_tab()
    demo.kill()
    write(page, "still here")
    expect(page.get_by_role("alert").first).to_contain_text("does not answer")
    expect(page.get_by_label("Your message")).to_have_value("still here")


def test_every_tab_is_in_the_list(open_tab: OpenTab) -> None:
    """Each tab sees all of them, and knows its own."""
    first, second = open_tab(), open_tab()
    for page in (first, second):
        rows = page.locator("#connections tbody tr")
        expect(rows).to_have_count(2)
        expect(page.locator("#connections tr[data-here=true]")).to_have_count(1)
        expect(page.locator("#connection-count")).to_have_text("2")
        expect(rows.locator("[data-part=client]")).to_have_text(["Chrome", "Chrome"])
    second.close()
    expect(first.locator("#connections tbody tr")).to_have_count(1)


def test_a_job_runs_once_to_its_end_whoever_reconnects(
    open_tab: OpenTab, context: BrowserContext
) -> None:
    """All tabs see its progress; a tab that reconnects in the middle follows the same run."""
    first, second = open_tab(), open_tab()
    posts: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            posts.append(request.url)

    context.on("request", note)
    first.get_by_role("button", name="Start").click()
    for page in (first, second):
        expect(page.locator("#result")).to_contain_text("found so far")
        expect(page.get_by_role("button", name="Start")).to_be_disabled()
    reconnect(first)
    second.reload()
    for page in (first, second):
        expect(page.locator("#result")).to_contain_text(PRIMES, timeout=60_000)
        expect(page.get_by_role("progressbar")).to_have_js_property("value", 100)
        expect(page.get_by_role("button", name="Start")).to_be_enabled()
    assert [url.rpartition("/")[2] for url in posts] == ["jobs"]


def test_a_killed_server_leaves_the_page_as_it_was(
    open_tab: OpenTab, restart: Restart, complaints: Complaints
) -> None:
    """Promise of the demo: text stays, what comes after the restart arrives once, in order."""
    page = open_tab()
    write(page, "before")
    expect(messages(page)).to_have_text(["before"])
    demo = restart()
    demo.post("while away")
    expect(light(page)).to_have_text("Connected")
    expect(messages(page)).to_have_text(["while away", "before"])
    expect(page.locator("#messages .notice")).to_contain_text("Server restarted")
    write(page, "after")
    expect(messages(page)).to_have_text(["after", "while away", "before"])
    write(page, "last")
    expect(messages(page)).to_have_text(["last", "after", "while away", "before"])
    assert complaints.but_for_the_network() == []


def test_the_light_tells_that_the_server_is_away(open_tab: OpenTab, demo: DemoProcess) -> None:
    """It is at reconnecting until somebody answers."""
    page = open_tab()
    expect(light(page)).to_have_text("Connected")
    demo.kill()
    expect(light(page)).to_have_text("Reconnecting")
    expect(light(page)).to_have_attribute("data-state", "reconnecting")


def test_a_job_that_a_restart_cut_off_says_so(open_tab: OpenTab, restart: Restart) -> None:
    """Nobody finishes it, so it can be started again."""
    page = open_tab()
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#result")).to_contain_text("found so far")
    restart()
    expect(page.locator("#result")).to_have_text("Interrupted by the restart")
    expect(page.get_by_role("button", name="Start")).to_be_enabled()


def test_an_error_of_http_does_not_end_the_stream(
    context: BrowserContext, demo: DemoProcess, complaints: Complaints
) -> None:
    """A browser's EventSource gives up at a 503 for good; the page makes a new one."""
    refused: list[str] = []

    def refuse_twice(route: Route, request: Request) -> None:
        if len(refused) < 2:
            refused.append(request.url)
            route.fulfill(status=503)
        else:
            route.continue_()

    context.route("**/events?*", refuse_twice)
    page = context.new_page()
    page.goto(demo.url)
    expect(light(page)).to_have_text("Connected")
    assert len(refused) == 2
    demo.post("after all")
    expect(messages(page)).to_have_text(["after all"])
    assert all("503" in complaint for complaint in complaints)


def test_a_stream_that_is_silent_is_replaced(context: BrowserContext, demo: DemoProcess) -> None:
    """A network that swallows everything is no error to a browser; the page notices."""
    page = context.new_page()
    page.clock.install()
    page.goto(demo.url)
    expect(light(page)).to_have_text("Connected")
    demo.process.send_signal(signal.SIGSTOP)
    page.clock.fast_forward(15_000)
    expect(light(page)).to_have_text("Reconnecting")
    demo.process.send_signal(signal.SIGCONT)
    page.clock.fast_forward(15_000)
    expect(light(page)).to_have_text("Connected")


def test_the_monitor_shows_the_tabs_and_kicks_one(
    open_tab: OpenTab, complaints: Complaints
) -> None:
    """It is mounted beside the page; who was kicked says so, and stays away."""
    kicked, other = open_tab(), open_tab()
    expect(kicked.locator("#connection-count")).to_have_text("2")
    kicked_id = kicked.locator("#connections tr[data-here=true] [data-part=id]").inner_text()
    monitor = open_tab()
    monitor.get_by_role("link", name="Monitor").click()
    rows = monitor.locator("#rows tr")
    expect(rows).to_have_count(2)
    monitor.get_by_role("button", name=f"Kick {kicked_id}").click()
    monitor.get_by_role("button", name="End it").click()
    expect(rows).to_have_count(1)
    expect(light(kicked)).to_have_text("Disconnected")
    expect(light(other)).to_have_text("Connected")
    assert complaints == []


def test_ctrl_c_ends_it_under_open_tabs(open_tab: OpenTab, demo: DemoProcess) -> None:
    """Open streams hold up nothing, and there is no traceback."""
    for page in [open_tab() for _ in range(3)]:
        expect(light(page)).to_have_text("Connected")
    assert demo.interrupt(STOP_TIME) == 0
    assert demo.errors() == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_and_can_be_read(
    open_context: OpenContext, shared_demo: DemoProcess, width: int, scheme: str
) -> None:
    """Nothing is wider than the screen, and all text has the contrast of WCAG's level AA."""
    context = open_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.goto(shared_demo.url)
    for text in (HOSTILE, "x" * 500):
        write(page, text)
        expect(messages(page).first).to_have_text(text)
    expect(page.locator("#connections tr[data-here=true]")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(LOW_CONTRAST) == []


def test_who_wants_no_motion_gets_none(open_context: OpenContext, shared_demo: DemoProcess) -> None:
    """The charts jump instead of sliding, and nothing turns or fades."""
    page = open_context(reduced_motion="reduce").new_page()
    page.goto(shared_demo.url)
    expect(page.locator("#cpu .line")).to_have_attribute("d", re.compile("^M"))
    moving = page.evaluate(
        """document.getAnimations()
          .map((animation) => animation.effect.getKeyframes().map(({ transform }) => transform))
          .filter(([from, to]) => from !== to)"""
    )
    assert moving == []
