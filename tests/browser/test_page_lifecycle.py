"""Leaving and returning: what a page does with its stream when it is not looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.responses import Response

from sse_kit.templates.client import ClientConfig, LifecycleConfig, StreamConfig
from tests.browser.raw_tab import RawTab
from tests.browser.site import QUICK
from tests.browser.watch import connected, data, states, wait, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

    from tests.browser.site import Site
    from tests.browser.watch import OpenPage

HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def test_a_frozen_tab_misses_nothing(site: Site, topic: str, browser: Browser) -> None:
    """It lets go when it is frozen, and goes on from its cursor when it is thawed."""
    tab = RawTab(browser, site.live_page(topic))
    tab.wait("states.at(-1).state === 'connected'")
    site.publish(topic, "before")
    tab.wait("messages.length === 1")
    tab.freeze()
    site.publish(topic, "meanwhile")
    tab.thaw()
    tab.wait("states.at(-1).state === 'connected' && states.length > 2")
    site.wait_for_streams(topic, 1)
    site.publish(topic, "after")
    tab.wait("messages.length >= 3")
    assert tab.evaluate("messages.map(({ data }) => data).join()") == "before,meanwhile,after"
    assert tab.evaluate("states.map(({ reason }) => reason).join()") == (
        "new,opened,frozen,resumed,opened"
    )
    tab.close()


def test_a_page_that_back_brings_back_misses_nothing(
    site: Site, topic: str, keeping_context: BrowserContext
) -> None:
    """While the browser keeps it, the server has no stream of it."""
    page = keeping_context.new_page()
    page.goto(site.live_page(topic))
    connected(page)
    page.evaluate("addEventListener('pageshow', ({ persisted }) => (window.kept = persisted))")
    site.publish(topic, "before")
    wait(page, "messages.length === 1")
    page.goto(site.page(body="elsewhere"))
    site.wait_for_streams(topic, 0)
    site.publish(topic, "meanwhile")
    page.go_back(wait_until="commit")
    connected(page, 2)
    assert page.evaluate("window.kept") is True
    site.publish(topic, "after")
    wait(page, "messages.length >= 3")
    assert data(page) == ["before", "meanwhile", "after"]
    assert ["disconnected", "paused", "pagehide"] in states(page)


def test_a_download_does_not_disturb_the_stream(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """A link that the page stays at fires beforeunload, and it is the same stream as before."""
    attachment = {"Content-Disposition": "attachment; filename=file.txt"}
    site.pages[f"{topic}.txt"] = Response("text", headers=attachment)
    page = open_page(site.live_page(topic, f'<a href="/{topic}.txt">file</a>'))
    connected(page)
    page.evaluate("addEventListener('beforeunload', () => (window.asked = true))")
    with page.expect_download():
        page.get_by_role("link").click()
    assert page.evaluate("window.asked") is True
    site.publish(topic, "after")
    wait(page, "messages.length === 1")
    assert len(site.asked[topic]) == 1
    assert len(states(page)) == 2


def test_a_hidden_tab_lets_go_if_it_is_told_to(site: Site, topic: str, open_page: OpenPage) -> None:
    """It comes back with its cursor as soon as it is seen."""
    config = ClientConfig(
        connection=QUICK,
        lifecycle=LifecycleConfig(pause_hidden_after=50),
        streams=(StreamConfig(url=f"/events/{topic}"),),
    )
    page = open_page(site.page(config))
    connected(page)
    page.evaluate(HIDE, arg=True)
    wait_for(page, "disconnected", "hidden")
    site.wait_for_streams(topic, 0)
    site.publish(topic, "meanwhile")
    page.evaluate(HIDE, arg=False)
    wait(page, "messages.length === 1")
    assert data(page) == ["meanwhile"]


def test_a_hidden_tab_keeps_its_stream_otherwise(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """Or what it says in its title would be old."""
    page = open_page(site.live_page(topic))
    connected(page)
    page.evaluate(HIDE, arg=True)
    site.publish(topic, "x")
    wait(page, "messages.length === 1")
    assert len(states(page)) == 2


def test_a_page_that_is_rendered_before_it_is_asked_for_holds_no_stream(
    site: Site, topic: str, context: BrowserContext
) -> None:
    """It connects when somebody looks at it, from where it was rendered."""
    page = context.new_page()
    page.add_init_script("Object.defineProperty(document, 'prerendering', { value: true })")
    page.goto(site.live_page(topic))
    assert states(page) == [["connecting", "paused", "prerendering"]]
    page.evaluate("document.dispatchEvent(new Event('prerenderingchange'))")
    connected(page)
    assert len(site.asked[topic]) == 1


REMOVALS = {
    "remove": "document.querySelector('#feed').remove()",
    "around": "document.querySelector('#around').remove()",
    "replaced": "document.querySelector('#around').replaceChildren('nothing')",
    "innerHTML": "document.body.innerHTML = ''",
}


@pytest.mark.parametrize("how", REMOVALS)
def test_an_element_that_is_removed_closes_its_stream(
    site: Site, topic: str, open_page: OpenPage, how: str
) -> None:
    """By whatever call, also on a quiet stream; the server sees it."""
    stream = StreamConfig(url=f"/events/{topic}", element="#feed")
    config = ClientConfig(connection=QUICK, streams=(stream,))
    page = open_page(site.page(config, '<div id="around"><p id="feed"></p></div>'))
    connected(page)
    site.wait_for_streams(topic, 1)
    page.evaluate(REMOVALS[how])
    site.wait_for_streams(topic, 0)
    assert wait_for(page, "disconnected", "removed")["phase"] == "ended"
    assert page.evaluate("sseKit.channels.size") == 0


def test_an_element_that_is_moved_keeps_its_stream(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """It is in the document before and after."""
    stream = StreamConfig(url=f"/events/{topic}", element="#feed")
    config = ClientConfig(connection=QUICK, streams=(stream,))
    page = open_page(site.page(config, '<div><p id="feed"></p></div>'))
    connected(page)
    page.evaluate("document.body.append(document.querySelector('#feed'))")
    site.publish(topic, "x")
    wait(page, "messages.length === 1")
    assert len(states(page)) == 2


def test_a_stream_whose_block_comes_later_is_opened(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """As when htmx brings a fragment with a block of its own."""
    page = open_page(site.page(ClientConfig(connection=QUICK)))
    page.evaluate(
        """(url) => document.body.insertAdjacentHTML("beforeend", `<div>
          <script type="application/json" data-sse-kit>${JSON.stringify({ streams: [{ url }] })}
          </script></div>`)""",
        f"/events/{topic}",
    )
    connected(page)
    site.wait_for_streams(topic, 1)


def test_a_tab_that_is_closed_leaves_nothing(site: Site, topic: str, open_page: OpenPage) -> None:
    """The server sees it at once."""
    page = open_page(site.live_page(topic))
    connected(page)
    page.close()
    site.wait_for_streams(topic, 0)
