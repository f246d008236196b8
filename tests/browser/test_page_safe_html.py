"""What users wrote is shown, and does nothing, whatever it looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from starlette.responses import HTMLResponse

from sse_kit.templates import bundle
from tests.browser.flavours import ALL, NEWEST, HtmxSite
from tests.browser.watch import connected, wait

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Complaints
    from tests.browser.flavours import Flavour
    from tests.browser.site import Site
    from tests.browser.watch import OpenPage

every = pytest.mark.parametrize("flavour", ALL, ids=lambda each: each.name)
each_version = pytest.mark.parametrize("flavour", NEWEST, ids=lambda each: each.name)

SELF = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src data:"
RUN = "window.owned = (window.owned || 0) + 1"
IMG = f"img src=x: onerror={RUN.replace(' ', '')}"

ATTACKS = [
    f"<script>{RUN}</script>",
    f"<svg><script>{RUN}</script></svg>",
    f'<img src="x:" onerror="{RUN}">',
    f'<svg onload="{RUN}"></svg>',
    f'<details open ontoggle="{RUN}"><summary>s</summary></details>',
    f'<input autofocus onfocus="{RUN}">',
    f'<p hx-on:click="{RUN}" hx-on::load="{RUN}" hx-on="load -> {RUN}">p</p>',
    f'<p hx-on-click="{RUN}" hx-on--after-process="{RUN}" data-hx-on:load="{RUN}">p</p>',
    f'<a class="click" href="javascript:{RUN}">a</a>',
    f'<a class="click" href=" java\tscript:{RUN}">a</a>',
    f'<a class="click" href="&#1;javascript:{RUN}">a</a>',
    f'<svg><a class="click" xlink:href="javascript:{RUN}"><text y="9">a</text></a></svg>',
    f'<svg><a class="click"><animate attributeName="href" to="javascript:{RUN}"/>a</a></svg>',
    f'<form action="javascript:{RUN}"><button class="click">b</button></form>',
    f'<form id="f"></form><button class="click" form="f" formaction="javascript:{RUN}">b</button>',
    f'<form><input name="remove"><input name="attributes"><img src="x:" onerror="{RUN}"></form>',
    f'<iframe srcdoc="&lt;script&gt;parent.{RUN}&lt;/script&gt;"></iframe>',
    f'<iframe src="javascript:parent.{RUN}"></iframe>',
    f'<object data="javascript:{RUN}"></object><embed src="javascript:{RUN}">',
    '<p hx-get="/never" hx-trigger="load">p</p>',
    '<p data-hx-get="/never" data-hx-trigger="load">p</p>',
    '<p hx-ext="sse" sse-connect="/never" sse-swap="message">p</p>',
    '<p hx-sse:connect="/never" hx-sse-connect="/never">p</p>',
    '<p data-sse-on-gap="/never" data-sse-trusted>p</p>',
    '<script type="application/json" data-sse-kit>{"streams":[{"url":"/never"}]}</script>',
    '<meta http-equiv="refresh" content="0;url=/never"><base href="/never/">',
    '<link rel="stylesheet" href="/never"><style>@import "/never";</style>',
    '<hx-partial hx-target="body"><b>taken</b></hx-partial>',
    '<template hx type="partial" hx-target="body"><b>taken</b></template>',
    "<title>taken</title>",
    '<p hx-preserve id="safe"></p>',
    f'<div><template shadowrootmode="open"><img src="x:" onerror="{RUN}"></template></div>',
    f'<template><img src="x:" onerror="{RUN}"></template>',
    f'<x-y onclick="{RUN}" is="z"><img src="x:" onerror="{RUN}"></x-y>',
    f'<body onload="{RUN}" hx-on:click="{RUN}"><p>p</p></body>',
    f'<html hx-on:click="{RUN}"><body hx-get="/never" hx-trigger="load"><p>p</p></body></html>',
    f"<p title='<head>'>p</p><p title='</head><img src=x: onerror=\"{RUN}\">'>p</p>",
    f"<p title='<hx-x>'>p</p><p title='</hx-x><img src=x: onerror=\"{RUN}\">'>p</p>",
    f"<scr<head></head>ipt>{RUN}</scr<head></head>ipt>",
    f'</template><img src="x:" onerror="{RUN}"><template>',
    f'<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;{IMG}&gt;">',
    f'<svg></p><style><a id="</style><{IMG}>">',
    f'<noscript><p title="</noscript><{IMG}>"></noscript>',
    f'<textarea><img title="</textarea><{IMG}>"></textarea>',
    f'<xmp><p title="</xmp><{IMG}>"></xmp>',
    f'<select><template><img src="x:" onerror="{RUN}"></template></select>',
    f'<p _="on load {RUN}" x-data x-init="{RUN}" @click="{RUN}" data-on-load="{RUN}">p</p>',
    f"<!--><img src='x:' onerror='{RUN}'>-->",
    f"<![CDATA[><img src='x:' onerror='{RUN}'>]]>",
]


@pytest.fixture
def htmx(site: Site, topic: str, flavour: Flavour) -> HtmxSite:
    return HtmxSite(site, topic, flavour)


def click_all(page: Page) -> None:
    """Do what a user may do with what is shown."""
    page.evaluate(
        """() => document.querySelectorAll("#feed *").forEach((element) => {
          element.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
        })"""
    )


SUSPECTS = """() => [...document.querySelectorAll("#feed *")].flatMap((element) => [
  ...(/^(script|style|iframe|object|embed|form|base|meta|link|title)$/i.test(element.localName)
    ? [element.localName] : []),
  ...element.getAttributeNames().filter((name) =>
    /^(on|hx-(?!swap-oob)|data-(?!htmx-powered)|sse-|_|@|x-)|^is$|srcdoc|action/.test(name)),
])"""


@every
def test_no_attack_does_anything(
    htmx: HtmxSite, open_page: OpenPage, complaints: Complaints
) -> None:
    """Nothing runs, no address is asked, nothing else in the page changes."""
    body = f"<b id=safe>safe</b>{htmx.element('beforeend')}"
    page = open_page(htmx.page(body))
    connected(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for attack in ATTACKS:
        htmx.publish(attack, "<hr>")
    expect(page.locator("#feed > hr")).to_have_count(len(ATTACKS))
    click_all(page)
    htmx.publish("<u>end</u>")
    expect(page.locator("#feed > u")).to_have_count(1)
    assert page.evaluate(SUSPECTS) == []
    assert page.evaluate("window.owned") is None
    assert page.title() == "page"
    assert page.locator("body > #safe").text_content() == "safe"
    assert [url for url in asked if "never" in url] == []
    assert [text for text in complaints if "x:" not in text] == []


@each_version
def test_the_attacks_are_such(htmx: HtmxSite, open_page: OpenPage) -> None:
    """Where the element trusts its stream, they do what they are for."""
    page = open_page(htmx.page(htmx.element("beforeend", trusted=True)))
    connected(page)
    for attack in ATTACKS[:8]:
        htmx.publish(attack)
    wait(page, "window.owned >= 4")
    assert page.evaluate(SUSPECTS)


@each_version
def test_what_is_harmless_stays(htmx: HtmxSite, open_page: OpenPage) -> None:
    """Text, tables, pictures, links, controls, drawings and styles, as they were written."""
    html = (
        '<article class="a b" id="x" lang="en" dir="ltr" aria-label="l" style="color:red">'
        '<h2>h</h2><p>1 &lt; 2 &amp; "3"</p><a href="/x?a=1&amp;b=2#c" target="_blank">a</a>'
        '<a href="mailto:a@b.c">m</a><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=" alt="i">'
        '<table><tbody><tr><td colspan="2">t</td></tr></tbody></table>'
        '<progress value="1" max="2"></progress><input type="checkbox" checked="">'
        '<svg viewBox="0 0 9 9" fill="none"><path d="M0 0h9" stroke-width="2"></path></svg>'
        "</article>"
    )
    page = open_page(htmx.page(htmx.element()))
    connected(page)
    htmx.publish(html)
    article = page.locator("#feed article")
    expect(article).to_be_attached()
    shown = page.evaluate("document.querySelector('#feed').innerHTML")
    assert shown.replace(' data-htmx-powered="true"', "") == html


@each_version
def test_of_what_is_unknown_the_text_stays(htmx: HtmxSite, open_page: OpenPage) -> None:
    """An element of a library is what it holds."""
    page = open_page(htmx.page(htmx.element()))
    connected(page)
    htmx.publish("<my-card data-x=1><b>text</b></my-card>")
    expect(page.locator("#feed > b")).to_have_text("text")


@each_version
def test_a_message_in_doubt_is_text(htmx: HtmxSite, open_page: OpenPage) -> None:
    """Where htmx would find other HTML than a parser does, none is shown."""
    page = open_page(htmx.page(htmx.element()))
    connected(page)
    htmx.publish("<pre>" + "\n" * 3 + "kept</pre>", "<b>1</b>")
    expect(page.locator("#feed b")).to_have_text("1")
    page.evaluate(
        """() => {
          const inner = Object.getOwnPropertyDescriptor(Element.prototype, "innerHTML");
          Object.defineProperty(Element.prototype, "innerHTML", {
            ...inner,
            get() { return inner.get.call(this).replace("LATER", "LATER<b onclick=1></b>"); },
          });
        }"""
    )
    htmx.publish("<i>LATER</i>")
    expect(page.locator("#feed")).to_have_text("<i>LATER</i>")


@each_version
def test_what_is_trusted_acts(htmx: HtmxSite, open_page: OpenPage) -> None:
    """The element says that no user wrote it, or that it is escaped."""
    path = f"part-{htmx.topic}"
    htmx.site.pages[path] = HTMLResponse("<b>fetched</b>")
    page = open_page(htmx.page(htmx.element(trusted=True)))
    connected(page)
    htmx.publish(f'<script>{RUN}</script><p hx-get="/{path}" hx-trigger="load"></p>')
    expect(page.locator("#feed p b")).to_have_text("fetched")
    assert page.evaluate("window.owned") == 1


@each_version
def test_a_strict_policy_is_enough(
    htmx: HtmxSite, open_page: OpenPage, complaints: Complaints
) -> None:
    """Without ``unsafe-inline`` and without a nonce, once htmx puts no style into the page."""
    setting = {2: "includeIndicatorStyles", 4: "includeIndicatorCSS"}[htmx.flavour.version]
    head = htmx.flavour.head(htmx.site, **{setting: False})
    policy = (
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src data:"
    )
    headers = {"Content-Security-Policy": policy}
    page = open_page(htmx.page(htmx.element("a,b"), head=head, headers=headers))
    feed = page.locator("#feed")
    expect(feed).to_have_attribute("data-sse-state", "connected")
    htmx.publish("<b>1</b>", event="b")
    expect(feed.locator("b")).to_have_text("1")
    assert complaints == []


@pytest.mark.parametrize("text", ["'\"</script><b id=owned>", "\u2028\u2029", "a b&c;d", "日本"])
@each_version
def test_every_parameter_is_an_attribute(htmx: HtmxSite, open_page: OpenPage, text: str) -> None:
    """It arrives in the page as it was given, and is nothing else there."""
    element = htmx.element(
        f"x{text}y",
        element_id=text,
        close_event=text,
        cursor=text,
        targets=[text],
        data_mine=text,
        class_=text,
    )
    page = open_page(htmx.page(element, script="<i></i>", head=" "))
    found = page.evaluate(
        """() => Object.fromEntries([...document.querySelector("body > div").attributes]
          .map(({ name, value }) => [name, value]))"""
    )
    assert page.locator("#owned").count() == 0
    assert {found["id"], found["class"], found["data-mine"], found["data-sse-cursor"]} == {text}
    assert found["data-sse-targets"] == text
    names = {2: ("sse-swap", "sse-close"), 4: ("data-sse-swap", "hx-sse:close")}
    swap, close = names[htmx.flavour.version]
    assert found[swap] == f"x{text}y"
    assert found[close] == text


def test_the_runtime_has_no_sink_of_html_but_inert_ones() -> None:
    """HTML is parsed into templates only, where nothing loads or runs."""
    script = bundle.htmx_script()
    assert "insertAdjacentHTML" not in script
    assert "outerHTML =" not in script
    assert "eval(" not in script
    assert script.count(".innerHTML = ") == script.count("template.innerHTML = ")


@each_version
def test_it_is_told_what_was_taken_out(htmx: HtmxSite, open_page: OpenPage) -> None:
    """An event at the element says which."""
    page = open_page(htmx.page(htmx.element()))
    connected(page)
    page.evaluate(
        """document.addEventListener("sse:cleaned", ({ target, detail }) => {
          window.cleaned = [target.id, ...detail.taken];
        })"""
    )
    htmx.publish('<b onclick="1">1</b><script></script>')
    wait(page, "window.cleaned")
    assert page.evaluate("cleaned") == ["feed", "script", "onclick"]
