"""Strict policies, and values that would like to be code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from sse_kit.templates import bundle
from sse_kit.templates.client import ClientConfig, StatusConfig, StreamConfig, block
from tests.browser.site import QUICK
from tests.browser.watch import connected, data, wait

if TYPE_CHECKING:
    from tests.browser.conftest import Complaints
    from tests.browser.site import Site
    from tests.browser.watch import OpenPage

NONCE = "q7Zr4Xw9nonce"
SELF = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src data:"
STRICT = f"default-src 'none'; script-src 'nonce-{NONCE}' 'strict-dynamic'; connect-src 'self'"
PROBE = f'<script nonce="{NONCE}" src="/probe.js"></script>'
SOURCE = f"/sse-kit/{bundle.script_name()}"
INDICATOR = "<span data-sse-status role=status><i data-sse-light></i><b data-sse-text></b></span>"

HOSTILE = [
    "</script><script>window.owned = true</script>",
    "<!--<script>",
    "'\"`\\${window.owned = true}",
    "\u2028window.owned = true\u2029",
    "]]>&lt;/script&gt;&#x3c;",
    "\x00\x7f\ud800",
]


def config_for(topic: str) -> ClientConfig:
    return ClientConfig(connection=QUICK, streams=(StreamConfig(url=f"/events/{topic}"),))


def test_a_policy_without_unsafe_inline_is_enough(
    site: Site, topic: str, open_page: OpenPage, complaints: Complaints
) -> None:
    """The module is a file, and the block is no script; no nonce is needed."""
    style = f'<link rel="stylesheet" href="/sse-kit/{bundle.style_name()}">'
    headers = {"Content-Security-Policy": SELF}
    page = open_page(site.page(config_for(topic), INDICATOR, head=style, headers=headers))
    connected(page)
    site.publish(topic, "x")
    wait(page, "messages.length === 1")
    expect(page.get_by_role("status")).to_have_text("Connected")
    light = page.locator("[data-sse-light]")
    expect(light).to_have_css("border-radius", "50%")
    assert complaints == []


@pytest.mark.parametrize("form", ["file", "inline"])
def test_a_policy_with_a_nonce_is_enough(
    site: Site, topic: str, open_page: OpenPage, complaints: Complaints, form: str
) -> None:
    """It is on the module alone, be it a file or in the page."""
    forms = {
        "file": f'<script type="module" nonce="{NONCE}" src="{SOURCE}"></script>',
        "inline": f'<script type="module" nonce="{NONCE}">{bundle.script()}</script>',
    }
    headers = {"Content-Security-Policy": f"{STRICT}; img-src data:"}
    address = site.page(
        config_for(topic), probe=PROBE, script=forms[form], headers=headers, body=INDICATOR
    )
    page = open_page(address)
    connected(page)
    site.publish(topic, "x")
    wait(page, "messages.length === 1")
    assert complaints == []


def test_the_module_starts_once_however_often_it_is_loaded(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """One file and one in the page are one runtime."""
    script = f'<script type="module" src="{SOURCE}"></script>'
    script += f'<script type="module">{bundle.script()}</script>'
    page = open_page(site.page(config_for(topic), script=script))
    connected(page)
    site.publish(topic, "x")
    wait(page, "messages.length === 1")
    assert len(site.asked[topic]) == 1


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_value_of_the_config_is_never_code(
    site: Site, topic: str, open_page: OpenPage, complaints: Complaints, text: str
) -> None:
    """It arrives as it is, is shown as text, and asked for as an address."""
    config = ClientConfig(
        connection=QUICK,
        status=StatusConfig(connected=text),
        streams=(StreamConfig(url=f"/events/{topic}?q=1", events=(text,), on_gap={"#a": text}),),
        cursor="",
    )
    page = open_page(site.page(config, INDICATOR))
    connected(page)
    assert page.evaluate("sseKit.config.status.connected") == text
    assert page.locator("[data-sse-text]").evaluate("(e) => e.textContent") == text
    assert page.evaluate("window.owned") is None
    assert page.locator("script:not([src]):not([type])").count() == 0
    assert complaints == []


def test_a_hostile_address_is_an_address(site: Site, topic: str, open_page: OpenPage) -> None:
    """Quotes and ends of scripts in it reach the server, encoded."""
    text = "'\"</script><script>window.owned=true</script>"
    stream = StreamConfig(url=f"/events/{topic}?q={text}")
    page = open_page(site.page(ClientConfig(connection=QUICK, streams=(stream,))))
    connected(page)
    assert page.evaluate("window.owned") is None
    assert "%3C/script%3E" in site.asked[topic][0].query


def test_what_a_message_says_is_data(
    site: Site, topic: str, open_page: OpenPage, complaints: Complaints
) -> None:
    """The core puts nothing of a stream into the page."""
    page = open_page(site.live_page(topic))
    connected(page)
    site.publish(topic, *HOSTILE[:5])
    wait(page, "messages.length >= 5")
    assert data(page) == HOSTILE[:5]
    assert page.evaluate("window.owned") is None
    assert complaints == []


def test_the_block_is_one_inert_element() -> None:
    """The only tags in it are its own."""
    for text in HOSTILE:
        html = block(ClientConfig(status=StatusConfig(error=text)))
        assert html.count("<") == html.count(">") == 2
        assert html.isascii()
