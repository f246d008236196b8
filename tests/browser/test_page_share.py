"""One connection for all tabs, and that it outlives each of them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Error

from tests.browser.raw_tab import RawTab
from tests.browser.sharing import numbers, open_tabs, shared_page
from tests.browser.watch import connected, data, states, wait, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.browser.conftest import Complaints
    from tests.browser.site import Site

MODES = pytest.mark.parametrize("mode", ["worker", "locks"])

HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""

BUSY = """(milliseconds) => setTimeout(() => {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
  window.woke = true;
})"""
"""What holds up the tab, begun when this has returned."""

LATE_HELLO = """
window.relayed = [];
const hellos = [];
window.sayHello = () => hellos.splice(0).forEach((say) => say());
globalThis.BroadcastChannel = class extends BroadcastChannel {
  postMessage(said) {
    if (said.messages && !said.to) relayed.push(...said.messages);
    if (said.type === "hello") hellos.push(() => super.postMessage(said));
    else super.postMessage(said);
  }
};
"""
"""Keeps what tabs say to the one that leads until it is asked for."""

ALL = "sseKit.channels.forEach((channel) => channel.{}())"


def crash(page: Page) -> None:
    """End the process of a page; it is told nothing of it."""
    with suppress(Error), page.expect_event("crash"):
        page.goto("chrome://crash")


@MODES
def test_eight_tabs_have_one_connection(
    site: Site, topic: str, context: BrowserContext, complaints: Complaints, mode: str
) -> None:
    """None waits for a free one, as the seventh does when each tab has its own."""
    pages = open_tabs(context, shared_page(site, topic, mode=mode), 8)
    site.wait_for_streams(topic, 1)
    site.publish(topic, *"abc")
    for page in pages:
        wait(page, "messages.length >= 3")
        assert data(page) == ["a", "b", "c"]
        assert states(page) == [
            ["connecting", "attempting", "new"],
            ["connected", "open", "opened"],
        ]
    assert len(site.asked[topic]) == 1
    assert complaints == []
    for page in pages:
        page.close()
    site.wait_for_streams(topic, 0)


@MODES
def test_tabs_that_are_opened_at_once_have_one_connection(
    site: Site, topic: str, context: BrowserContext, mode: str
) -> None:
    """Whoever is first, the others find it."""
    url = shared_page(site, topic, mode=mode)
    pages = [context.new_page() for _ in range(4)]
    for page in pages:
        page.evaluate("(url) => void (location = url)", url)
    for page in pages:
        page.wait_for_url(url)
        connected(page)
    site.wait_for_streams(topic, 1)
    site.publish(topic, "x")
    for page in pages:
        wait(page, "messages.length >= 1")
        assert data(page) == ["x"]


@MODES
@pytest.mark.parametrize("leave", ["close", "crash", "navigate"])
def test_nothing_is_lost_or_doubled_when_the_first_tab_leaves(
    site: Site, topic: str, context: BrowserContext, mode: str, leave: str
) -> None:
    """In the midst of messages; the connection is that of another tab then, or the worker's."""
    first, *others = open_tabs(context, shared_page(site, topic, mode=mode), 3)
    with numbers(site, topic) as sent:
        sent.come_to(first, *others)
        if leave == "close":
            first.close()
        elif leave == "crash":
            crash(first)
        else:
            first.goto(site.page())
        sent.come_to(*others)
        sent.are_complete(*others)
    site.wait_for_streams(topic, 1)


def test_the_tab_that_opens_a_stream_misses_nothing_of_it(
    site: Site, topic: str, context: BrowserContext
) -> None:
    """The tab that leads says hello to itself like any other, and may be slow to hear it."""
    context.add_init_script(LATE_HELLO)
    page = context.new_page()
    page.goto(shared_page(site, topic, mode="locks"))
    site.wait_for_streams(topic, 1)
    site.publish(topic, *"ab")
    wait(page, "relayed.length === 2")
    page.evaluate("sayHello()")
    site.publish(topic, "c")
    wait(page, "messages.at(-1)?.data === 'c'")
    assert data(page) == ["a", "b", "c"]


def test_each_heir_goes_on_from_its_own_cursor(
    site: Site, topic: str, context: BrowserContext
) -> None:
    """The one that led last hands over as well as the first."""
    pages = open_tabs(context, shared_page(site, topic, mode="locks"), 5)
    with numbers(site, topic) as sent:
        while len(pages) > 2:
            sent.come_to(*pages, more=10)
            pages.pop(0).close()
        sent.come_to(*pages)
        sent.are_complete(*pages)
    site.wait_for_streams(topic, 1)
    assert all(asked.last_event_id for asked in site.asked[topic][1:])


def test_a_tab_that_hangs_is_replaced(site: Site, topic: str, context: BrowserContext) -> None:
    """The others go on while it is busy; when it wakes it follows, and there is one connection."""
    first, *others = open_tabs(context, shared_page(site, topic, mode="locks", hung_after=900), 3)
    with numbers(site, topic) as sent:
        sent.come_to(first, *others)
        first.evaluate(BUSY, 4_000)
        for page in others:
            assert wait_for(page, "reconnecting", "handover")
            connected(page, 2)
        sent.come_to(*others)
        wait(first, "window.woke")
        sent.come_to(first)
        sent.are_complete(first, *others)
    site.wait_for_streams(topic, 1)
    site.publish(topic, "end")
    for page in (first, *others):
        wait(page, "messages.at(-1).data === 'end'")


def test_a_tab_that_is_busy_for_others_is_left_alone(
    site: Site, topic: str, context: BrowserContext
) -> None:
    """A follower that was held up asks before it takes over."""
    # Who is asked has a third of this for the answer.
    url = shared_page(site, topic, mode="locks", hung_after=2_100)
    first, second = open_tabs(context, url, 2)
    second.evaluate(BUSY, 4_500)
    wait(second, "window.woke")
    site.publish(topic, "x")
    wait(second, "messages.length === 1")
    assert len(site.asked[topic]) == 1
    assert len(states(first)) == 2


@MODES
def test_a_tab_that_is_frozen_hands_over(
    site: Site, topic: str, browser: Browser, mode: str
) -> None:
    """It lets go of the lock, and catches up when it is thawed."""
    url = shared_page(site, topic, mode=mode)
    first, second = RawTab(browser, url), RawTab(browser, url)
    for tab in (first, second):
        tab.wait("states.at(-1).state === 'connected'")
    site.publish(topic, "before")
    for tab in (first, second):
        tab.wait("messages.length === 1")
    first.freeze()
    site.publish(topic, "meanwhile")
    second.wait("messages.length === 2")
    first.thaw()
    first.wait("messages.length === 2 && states.at(-1).state === 'connected'")
    site.wait_for_streams(topic, 1)
    site.publish(topic, "after")
    for tab in (first, second):
        tab.wait("messages.length >= 3")
        assert tab.evaluate("messages.map(({ data }) => data).join()") == "before,meanwhile,after"
        tab.close()
    site.wait_for_streams(topic, 0)


@MODES
def test_a_tab_that_comes_late_catches_up(
    site: Site, topic: str, context: BrowserContext, mode: str
) -> None:
    """It is told what came since it was rendered, without the server being asked."""
    cursor = site.publish(topic, "in the page")
    url = shared_page(site, topic, mode=mode, cursor=cursor)
    with numbers(site, topic) as sent:
        (first,) = open_tabs(context, url, 1)
        sent.come_to(first)
        (late,) = open_tabs(context, url, 1)
        sent.come_to(late)
        sent.are_complete(first, late)
    assert len(site.asked[topic]) == 1


@MODES
def test_a_tab_that_needs_more_than_is_kept_is_told_of_a_gap(
    site: Site, topic: str, context: BrowserContext, mode: str
) -> None:
    """It is told why, and then the newest there are."""
    cursor = site.publish(topic, "in the page")
    url = shared_page(site, topic, mode=mode, cursor=cursor, replay=2)
    (first,) = open_tabs(context, url, 1)
    site.publish(topic, *"abcd")
    wait(first, "messages.length === 4")
    late = context.new_page()
    late.goto(url)
    wait(late, "messages.length === 3")
    assert data(late) == ["c", "d"]
    assert [told["reason"] for told in late.evaluate("told")] == ["trimmed"]
    assert first.evaluate("told") == []


@MODES
def test_states_reach_each_tab(site: Site, topic: str, context: BrowserContext, mode: str) -> None:
    """All see the loss, and all see it mended."""
    pages = open_tabs(context, shared_page(site, topic, mode=mode), 3)
    site.publish(topic, "before")
    for page in pages:
        wait(page, "messages.length === 1")
    site.end_streams(topic)
    for page in pages:
        connected(page, 2)
        assert [state for state, *_ in states(page)][2:] == [
            "reconnecting",
            "reconnecting",
            "connected",
        ]
    site.publish(topic, "after")
    for page in pages:
        wait(page, "messages.length >= 2")
        assert data(page) == ["before", "after"]
    assert len(site.asked[topic]) == 2


@MODES
def test_an_end_is_the_end_for_each_tab(
    site: Site, topic: str, context: BrowserContext, mode: str
) -> None:
    """Nothing is left of the stream; a tab that connects again has a new one."""
    pages = open_tabs(context, shared_page(site, topic, mode=mode), 3)
    site.publish(topic, "", event="close")
    for page in pages:
        assert wait_for(page, "disconnected", "close-event")["phase"] == "ended"
    site.wait_for_streams(topic, 0)
    pages[1].evaluate(ALL.format("reconnect"))
    connected(pages[1], 2)
    site.wait_for_streams(topic, 1)
    assert all(states(page)[-1][1] == "ended" for page in (pages[0], pages[2]))


@MODES
def test_a_page_that_back_brings_back_misses_nothing(
    site: Site, topic: str, keeping_context: BrowserContext, mode: str
) -> None:
    """The browser keeps it, since it left; another tab has the stream meanwhile."""
    pages = open_tabs(keeping_context, shared_page(site, topic, mode=mode), 2)
    first, second = pages
    first.evaluate("addEventListener('pageshow', ({ persisted }) => (window.kept = persisted))")
    with numbers(site, topic) as sent:
        sent.come_to(first, second)
        first.goto(site.page(body="elsewhere"))
        sent.come_to(second)
        first.go_back(wait_until="commit")
        connected(first, 2)
        assert first.evaluate("window.kept") is True
        sent.come_to(first, second)
        sent.are_complete(first, second)
    assert ["disconnected", "paused", "pagehide"] in states(first)
    site.wait_for_streams(topic, 1)


@MODES
def test_while_the_only_page_is_kept_there_is_no_connection(
    site: Site, topic: str, keeping_context: BrowserContext, mode: str
) -> None:
    """It comes back with its cursor."""
    (page,) = open_tabs(keeping_context, shared_page(site, topic, mode=mode), 1)
    site.publish(topic, "before")
    wait(page, "messages.length === 1")
    page.goto(site.page(body="elsewhere"))
    site.wait_for_streams(topic, 0)
    site.publish(topic, "meanwhile")
    page.go_back(wait_until="commit")
    wait(page, "messages.length >= 2")
    assert data(page) == ["before", "meanwhile"]


@MODES
def test_a_hidden_tab_lets_go_alone(
    site: Site, topic: str, context: BrowserContext, mode: str
) -> None:
    """The first one too: others go on, and it is told the rest when it is seen."""
    url = shared_page(site, topic, mode=mode, pause_hidden_after=50)
    pages = open_tabs(context, url, 2)
    first, second = pages
    with numbers(site, topic) as sent:
        sent.come_to(*pages)
        first.evaluate(HIDE, arg=True)
        wait_for(first, "disconnected", "hidden")
        heard = len(data(first))
        sent.come_to(second)
        assert len(data(first)) == heard
        first.evaluate(HIDE, arg=False)
        sent.come_to(*pages)
        sent.are_complete(*pages)
    for page in pages:
        page.evaluate(HIDE, arg=True)
    site.wait_for_streams(topic, 0)


@MODES
def test_each_stream_has_a_connection_of_its_own(
    site: Site, topic: str, context: BrowserContext, mode: str
) -> None:
    """Closing one here does not close it there, nor the other."""
    other = site.topic()
    pages = open_tabs(context, shared_page(site, topic, other, mode=mode), 2)
    for page in pages:
        connected(page, 2)
    for each in (topic, other):
        site.wait_for_streams(each, 1)
    close = f"[...sseKit.channels].find(({{ url }}) => url.endsWith('/{topic}')).close()"
    pages[0].evaluate(close)
    site.publish(topic, "one")
    site.publish(other, "two")
    wait(pages[1], "messages.length === 2")
    wait(pages[0], "messages.length === 1")
    assert data(pages[0]) == ["two"]
    pages[1].evaluate(close)
    site.wait_for_streams(topic, 0)
    site.wait_for_streams(other, 1)


@MODES
def test_two_users_of_one_browser_have_two_streams(
    site: Site, topic: str, context: BrowserContext, mode: str
) -> None:
    """The key says whose it is."""
    for key in ("ann", "bob", "ann"):
        open_tabs(context, shared_page(site, topic, mode=mode, key=key), 1)
    site.wait_for_streams(topic, 2)


def test_what_nobody_says_the_owner_of_is_not_shared(
    site: Site, topic: str, context: BrowserContext, complaints: Complaints
) -> None:
    """Each tab reads for itself, and the console says why."""
    open_tabs(context, shared_page(site, topic, key=None), 2)
    site.wait_for_streams(topic, 2)
    assert len(complaints) == 2
    assert "share.key is not set" in complaints[0]


def test_a_script_shares_what_it_connects_to(
    site: Site, topic: str, context: BrowserContext
) -> None:
    """It says so where it connects, over what the page says."""
    for _ in range(2):
        (page,) = open_tabs(context, shared_page(site, topic, mode="none"), 1)
        page.evaluate(
            """(url) => follow(sseKit.connect(url, { share: { mode: "worker", key: "ann" } }))""",
            f"/events/{topic}?shared",
        )
        connected(page, 2)
    site.wait_for_streams(topic, 3)
    assert sorted(asked.query for asked in site.asked[topic]) == ["", "", "shared"]


def test_what_is_public_has_an_empty_key(site: Site, topic: str, context: BrowserContext) -> None:
    """That is a key."""
    open_tabs(context, shared_page(site, topic, key=""), 2)
    site.wait_for_streams(topic, 1)


@MODES
def test_tabs_that_come_and_go_leave_nothing(
    site: Site, topic: str, context: BrowserContext, mode: str
) -> None:
    """Also those that are closed while they connect, and one that crashes."""
    url = shared_page(site, topic, mode=mode)
    for _ in range(4):
        pages = [context.new_page() for _ in range(3)]
        for page in pages:
            page.goto(url)
        pages[0].close()
        connected(pages[1])
        crash(pages[1])
        pages[2].close()
    site.wait_for_streams(topic, 0)


def test_a_tab_that_crashes_takes_its_streams_with_it(
    site: Site, topic: str, context: BrowserContext
) -> None:
    """The worker lives on for another tab, without what only the one that crashed had."""
    kept = site.topic()
    (first,) = open_tabs(context, shared_page(site, kept, mode="worker"), 1)
    (second,) = open_tabs(context, shared_page(site, topic, mode="worker", hung_after=300), 1)
    crash(second)
    site.wait_for_streams(topic, 0)
    site.publish(kept, "x")
    wait(first, "messages.length === 1")
    assert len(site.asked[kept]) == 1


def test_a_tab_of_another_address_shares_with_it(
    site: Site, topic: str, context: BrowserContext
) -> None:
    """What counts is the stream, not the page."""
    for _ in range(2):
        open_tabs(context, shared_page(site, topic), 1)
    site.wait_for_streams(topic, 1)
    assert len(site.asked[topic]) == 1


def test_any_tab_reconnects_for_all(site: Site, topic: str, context: BrowserContext) -> None:
    """There is one connection, and one state of it."""
    first, second = open_tabs(context, shared_page(site, topic), 2)
    second.evaluate(ALL.format("reconnect"))
    for page in (first, second):
        connected(page, 2)
    site.wait_for_streams(topic, 1)


REMOVE = "document.querySelector('#feed').remove()"


@MODES
def test_an_element_that_is_removed_closes_the_stream_of_its_tab_alone(
    site: Site, topic: str, context: BrowserContext, mode: str
) -> None:
    """The last one that is removed ends it."""
    body = '<p id="feed"></p>'
    first, second = open_tabs(
        context, shared_page(site, topic, mode=mode, element="#feed", body=body), 2
    )
    first.evaluate(REMOVE)
    assert wait_for(first, "disconnected", "removed")["phase"] == "ended"
    site.publish(topic, "x")
    wait(second, "messages.length === 1")
    assert data(first) == []
    second.evaluate(REMOVE)
    site.wait_for_streams(topic, 0)
