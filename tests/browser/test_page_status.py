"""The status indicator: a light, and the state in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastcore.xml import to_xml
from playwright.sync_api import expect
from starlette.responses import Response

from sse_kit.fasthtml import sse_status
from sse_kit.templates import bundle
from sse_kit.templates.client import ClientConfig, StatusConfig, StreamConfig
from tests.browser.site import QUICK
from tests.browser.watch import connected, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import OpenContext
    from tests.browser.site import Site
    from tests.browser.watch import OpenPage

STYLE = f'<link rel="stylesheet" href="/sse-kit/{bundle.style_name()}">'


BOTH = '<meta name="color-scheme" content="light dark"><style>html { background: Canvas }</style>'

PALEST = """(light) => {
  for (const animation of light.getAnimations()) {
    animation.pause();
    animation.currentTime = animation.effect.getTiming().duration;
  }
  const read = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map(Number);
  const { color, opacity } = getComputedStyle(light);
  const ground = read(getComputedStyle(document.documentElement).backgroundColor);
  const shown = read(color).map((part, i) => ground[i] + opacity * (part - ground[i]));
  const luminance = (parts) => {
    const [r, g, b] = parts.map((part) => {
      const value = part / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const [dark, bright] = [shown, ground].map(luminance).sort((a, b) => a - b);
  return (bright + 0.05) / (dark + 0.05);
}"""
"""Contrast of the light to the page, at the far end of what moves."""


def shape(page: Page) -> tuple[str, bool]:
    """Return how round the light is, and whether it is filled."""
    light = page.locator("[data-sse-light]")
    round_, fill = light.evaluate(
        "(e) => [getComputedStyle(e).borderRadius, getComputedStyle(e).backgroundColor]"
    )
    return round_, fill != "rgba(0, 0, 0, 0)"


def test_the_state_is_told_in_words_and_by_a_shape(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """Colour alone says nothing; a screen reader hears of each change."""
    site.before[topic] = [Response(status_code=503, headers={"Retry-After": "600"})]
    config = ClientConfig(connection=QUICK, streams=(StreamConfig(url=f"/events/{topic}"),))
    page = open_page(site.page(config, to_xml(sse_status()), head=STYLE))
    status = page.get_by_role("status")
    expect(status).to_have_text("Reconnecting")
    expect(status).to_have_attribute("data-sse-state", "reconnecting")
    assert shape(page) == ("50%", False)
    page.evaluate("sseKit.channels.forEach((channel) => channel.reconnect())")
    expect(status).to_have_text("Connected")
    assert shape(page) == ("50%", True)
    site.before[topic] = [Response(status_code=403)]
    page.evaluate("sseKit.channels.forEach((channel) => channel.reconnect())")
    expect(status).to_have_text("Connection failed")
    assert shape(page) == ("0px", True)


@pytest.mark.parametrize(
    ("head", "colour"),
    [
        ("", "rgb(21, 128, 61)"),
        ('<meta name="color-scheme" content="light dark">', "rgb(74, 222, 128)"),
        ("<style>.own { --sse-good: rgb(1, 2, 3) }</style>", "rgb(1, 2, 3)"),
    ],
    ids=["light", "dark", "own"],
)
def test_its_colours_are_for_the_page_it_is_on(
    site: Site, topic: str, open_context: OpenContext, head: str, colour: str
) -> None:
    """One that is light is light for readers of dark ones too; its own rules win."""
    page = open_context(color_scheme="dark").new_page()
    config = ClientConfig(connection=QUICK, streams=(StreamConfig(url=f"/events/{topic}"),))
    page.goto(site.page(config, to_xml(sse_status(cls="own")), head=head + STYLE))
    expect(page.get_by_role("status")).to_have_text("Connected")
    expect(page.locator("[data-sse-light]")).to_have_css("color", colour)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("status", [None, 503, 403, 204], ids=str)
def test_the_light_is_seen_at_any_moment(
    site: Site, topic: str, open_context: OpenContext, status: int | None, scheme: str
) -> None:
    """It has 3 to 1 against the page, by WCAG's 1.4.11, also where its breath is palest."""
    if status is not None:
        site.before[topic] = [Response(status_code=status, headers={"Retry-After": "600"})]
    config = ClientConfig(connection=QUICK, streams=(StreamConfig(url=f"/events/{topic}"),))
    page = open_context(color_scheme=scheme).new_page()
    page.goto(site.page(config, to_xml(sse_status()), head=BOTH + STYLE))
    words = {None: "Connected", 503: "Reconnecting", 403: "Connection failed", 204: "Disconnected"}
    expect(page.get_by_role("status")).to_have_text(words[status])
    assert page.locator("[data-sse-light]").evaluate(PALEST) >= 3


def test_the_words_are_the_pages(site: Site, topic: str, open_page: OpenPage) -> None:
    """They may be in any language."""
    config = ClientConfig(
        connection=QUICK,
        status=StatusConfig(connected="Verbunden"),
        streams=(StreamConfig(url=f"/events/{topic}"),),
    )
    page = open_page(site.page(config, to_xml(sse_status(words=config.status))))
    expect(page.get_by_role("status")).to_have_text("Verbunden")


def test_of_several_streams_the_worst_off_is_shown(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """But an indicator may be about one of them."""
    bad = site.topic()
    site.before[bad] = [Response(status_code=404)]
    streams = (
        StreamConfig(url=f"/events/{topic}", element="#good"),
        StreamConfig(url=f"/events/{bad}", element="#bad"),
    )
    body = f'<p id="good"></p><p id="bad"></p>{to_xml(sse_status())}{to_xml(sse_status("#good"))}'
    page = open_page(site.page(ClientConfig(connection=QUICK, streams=streams), body))
    expect(page.get_by_role("status")).to_have_text(["Connection failed", "Connected"])
    expect(page.locator("#good")).to_have_attribute("data-sse-state", "connected")
    expect(page.locator("#bad")).to_have_attribute("data-sse-state", "error")


def test_a_stream_that_was_closed_is_not_counted(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """The page wanted that."""
    config = ClientConfig(connection=QUICK, streams=(StreamConfig(url=f"/events/{topic}"),))
    page = open_page(site.page(config, to_xml(sse_status())))
    connected(page)
    page.evaluate("(url) => { window.other = sseKit.connect(url); }", f"/events/{site.topic()}")
    connected(page, 2)
    page.evaluate("window.other.close()")
    wait_for(page, "disconnected", "closed")
    expect(page.get_by_role("status")).to_have_text("Connected")


def test_an_indicator_that_comes_later_shows_the_state(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """As when htmx brings it."""
    page = open_page(site.live_page(topic))
    connected(page)
    html = to_xml(sse_status())
    page.evaluate("(html) => document.body.insertAdjacentHTML('beforeend', html)", html)
    expect(page.get_by_role("status")).to_have_text("Connected")
