"""What was missed is made right, and what falls between rendering and connecting is not missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from starlette.responses import HTMLResponse, Response

from sse_kit.templates.client import ClientConfig, StreamConfig
from tests.browser.site import QUICK
from tests.browser.watch import connected, data, wait

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Complaints
    from tests.browser.site import Site
    from tests.browser.watch import OpenPage

LOST = "another-log.7"
"""A position that the server knows nothing of."""

BOARD = '<section id="feed"><ul id="board"><li>stale</li></ul></section>'

APPEND = """() => [...sseKit.channels][0].addEventListener("item", ({ data }) => {
  const item = document.createElement("li");
  item.textContent = data;
  document.querySelector("#board").append(item);
})"""


def board(page: Page) -> list[str]:
    return page.locator("#board li").all_text_contents()


def gap_page(site: Site, topic: str, body: str = BOARD, **stream: object) -> str:
    """Put up a page whose cursor is of a log that is gone."""
    source = StreamConfig.model_validate(
        {"url": f"/events/{topic}", "cursor": LOST, "element": "#feed", **stream}
    )
    return site.page(ClientConfig(connection=QUICK, streams=(source,)), body)


def test_a_gap_is_told(site: Site, topic: str, open_page: OpenPage) -> None:
    """The event bubbles from the element, and says why and how much."""
    page = open_page(gap_page(site, topic))
    wait(page, "told.length === 1")
    told = page.evaluate("told[0]")
    assert (told["type"], told["reason"]) == ("sse:gap", "epoch")
    assert told["missed"] is None
    assert told["lastEventId"]


def test_a_gap_fetches_the_fragment_that_it_concerns(
    site: Site, topic: str, open_page: OpenPage, complaints: Complaints
) -> None:
    """What is shown is right again; the rest of the page is left alone."""
    site.pages[f"{topic}/board"] = HTMLResponse("<li>right</li><script>window.owned = 1</script>")
    page = open_page(
        gap_page(site, topic, BOARD + "<p>kept</p>", on_gap={"#board": f"/{topic}/board"})
    )
    expect(page.locator("#board li")).to_have_text(["right"])
    wait(page, "told.some(({ type, healed }) => type === 'sse:healed' && healed)")
    assert page.locator("p").text_content() == "kept"
    assert page.evaluate("window.owned") is None
    assert complaints == []


def test_an_element_says_itself_where_its_content_is(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """Of a whole page, the element with its id is taken."""
    site.pages[f"{topic}/all"] = HTMLResponse(
        "<!doctype html><title>t</title><h1>h</h1><ul id=board><li>right</li></ul>"
    )
    body = BOARD.replace('id="board"', f'id="board" data-sse-on-gap="/{topic}/all"')
    page = open_page(gap_page(site, topic, body))
    expect(page.locator("#board li")).to_have_text(["right"])
    assert page.locator("h1").count() == 0


def test_an_empty_address_is_that_of_the_page(site: Site, topic: str, open_page: OpenPage) -> None:
    """A page that renders its state needs no other route."""
    body = BOARD.replace('id="board"', 'id="board" data-sse-on-gap')
    address = gap_page(site, topic, body)
    page = open_page(address)
    path = address.removeprefix(f"{site.url}/")
    page.evaluate("document.querySelector('#board').replaceChildren()")
    wait(page, "told.some(({ type }) => type === 'sse:healed')")
    page.evaluate("document.querySelector('#board').replaceChildren()")
    site.pages[path] = HTMLResponse("<ul id=board><li>fresh</li></ul>")
    page.evaluate(
        """(id) => sseKit.channels.forEach((channel) => {
          channel.moveTo(id);
          channel.reconnect();
        })""",
        LOST,
    )
    expect(page.locator("#board li")).to_have_text(["fresh"])


def test_what_comes_while_a_gap_heals_comes_after_it_and_once(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """The fragment tells its cursor: what it holds already is not told again."""
    address = gap_page(site, topic, on_gap={"#board": f"/{topic}/board"})
    page = open_page(address)
    connected(page)
    page.evaluate(APPEND)
    wait(page, "told.some(({ type }) => type === 'sse:healed')")
    site.hold_pages()
    page.evaluate(
        """(id) => sseKit.channels.forEach((channel) => {
          channel.moveTo(id);
          channel.reconnect();
        })""",
        LOST,
    )
    connected(page, 2)
    wait(page, "told.filter(({ type }) => type === 'sse:gap').length === 2")
    cursor = site.publish(topic, "in the fragment", event="item")
    site.pages[f"{topic}/board"] = HTMLResponse(
        "<li>in the fragment</li>", headers={"SSE-Cursor": cursor}
    )
    last = site.publish(topic, "after it", event="item")
    wait(page, f"[...sseKit.channels][0].lastEventId === '{last}'")
    assert "after it" not in board(page)
    site.release_pages()
    expect(page.locator("#board li")).to_have_text(["in the fragment", "after it"])
    site.publish(topic, "later", event="item")
    expect(page.locator("#board li")).to_have_text(["in the fragment", "after it", "later"])


def test_a_fragment_that_cannot_be_had_does_not_stop_the_stream(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """After some attempts the page goes on with what it has, and says so."""
    page = open_page(gap_page(site, topic, on_gap={"#board": f"/{topic}/nothing"}))
    connected(page)
    site.publish(topic, "x")
    wait(page, "told.some(({ type, healed }) => type === 'sse:healed' && !healed)")
    wait(page, "messages.some(({ data }) => data === 'x')")
    assert board(page) == ["stale"]


def test_a_fragment_is_asked_for_until_it_is_there(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """A server that has just come back may not be quite there."""
    site.once[f"{topic}/board"] = [Response(status_code=503)]
    site.pages[f"{topic}/board"] = HTMLResponse("<li>right</li>")
    page = open_page(gap_page(site, topic, on_gap={"#board": f"/{topic}/board"}))
    expect(page.locator("#board li")).to_have_text(["right"])


@pytest.mark.parametrize("place", ["page", "stream", "element"])
def test_nothing_between_rendering_and_connecting_is_lost(
    site: Site, topic: str, open_page: OpenPage, place: str
) -> None:
    """The page was rendered at a position, and goes on from there."""
    cursor = site.publish(topic, "in the page")
    url = f"/events/{topic}"
    if place == "page":
        config = ClientConfig(connection=QUICK, streams=(StreamConfig(url=url),), cursor=cursor)
        address = site.page(config)
    elif place == "stream":
        stream = StreamConfig(url=url, cursor=cursor)
        address = site.page(ClientConfig(connection=QUICK, streams=(stream,), cursor=LOST))
    else:
        stream = StreamConfig(url=url, element="#feed")
        body = f'<div data-sse-cursor="{cursor}"><p id="feed"></p></div>'
        address = site.page(ClientConfig(connection=QUICK, streams=(stream,)), body)
    site.publish(topic, *"abc")
    page = open_page(address)
    wait(page, "messages.length >= 3")
    site.publish(topic, "d")
    wait(page, "messages.length >= 4")
    assert data(page) == ["a", "b", "c", "d"]
    assert page.evaluate("told") == []


def test_a_stream_that_is_opened_after_the_page_was_loaded_begins_now(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """The page's cursor is that of what it was loaded with."""
    cursor = site.publish(topic, "in the page")
    page = open_page(site.page(ClientConfig(connection=QUICK, cursor=cursor)))
    site.publish(topic, "before")
    page.evaluate("(url) => follow(sseKit.connect(url))", f"/events/{topic}")
    connected(page)
    site.publish(topic, "after")
    wait(page, "messages.length >= 1")
    assert data(page) == ["after"]
