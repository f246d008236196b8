"""htmx 2 and htmx 4, as released: their elements show streams, whose connections are the kit's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from starlette.responses import HTMLResponse, Response

from sse_kit.templates import bundle
from tests.browser.flavours import ALL, HTMX_2, HTMX_4, NEWEST, HtmxSite, module
from tests.browser.watch import connected, wait, wait_for, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Complaints
    from tests.browser.flavours import Flavour
    from tests.browser.site import Site
    from tests.browser.watch import OpenPage

every = pytest.mark.parametrize("flavour", ALL, ids=lambda each: each.name)
each_version = pytest.mark.parametrize("flavour", NEWEST, ids=lambda each: each.name)
only_htmx_2 = pytest.mark.parametrize("flavour", [HTMX_2], ids=["2"])
only_htmx_4 = pytest.mark.parametrize("flavour", [HTMX_4], ids=["4"])


@pytest.fixture
def htmx(site: Site, topic: str, flavour: Flavour) -> HtmxSite:
    return HtmxSite(site, topic, flavour)


def ended(page: Page) -> None:
    wait(page, "states.some(({ phase }) => phase === 'ended')")


@every
def test_what_comes_is_shown(htmx: HtmxSite, open_page: OpenPage, complaints: Complaints) -> None:
    """By one call for each version, over one connection, whose state the element has."""
    page = open_page(htmx.page(htmx.element()))
    feed = page.locator("#feed")
    expect(feed).to_have_attribute("data-sse-state", "connected")
    htmx.publish("<b>one</b>")
    expect(feed.locator("b")).to_have_text("one")
    htmx.publish("not for it", event="other")
    htmx.publish("<b>two</b>")
    expect(feed).to_have_text("two")
    assert page.evaluate("sseKit.channels.size") == 1
    assert len(htmx.site.asked[htmx.topic]) == 1
    assert complaints == []


@every
def test_an_element_shows_several_events(htmx: HtmxSite, open_page: OpenPage) -> None:
    """Those that it names, in their order, and no others; htmx 4 alone swaps none with a name."""
    page = open_page(htmx.page(htmx.element("price, news", hx_swap="beforeend")))
    connected(page)
    for event in ("price", None, "news", "other", "price"):
        htmx.publish(f"<b>{event}</b>", event=event)
    expect(page.locator("#feed b")).to_have_text(["price", "news", "price"])


@every
def test_a_style_of_htmx_is_how_the_nameless_are_shown(htmx: HtmxSite, open_page: OpenPage) -> None:
    """As the origin's parameter is called."""
    page = open_page(htmx.page(htmx.element("beforeend")))
    connected(page)
    htmx.publish("<b>1</b>", "<b>2</b>")
    expect(page.locator("#feed b")).to_have_text(["1", "2"])


@every
def test_nothing_is_lost_and_nothing_twice_over_errors(htmx: HtmxSite, open_page: OpenPage) -> None:
    """The last id goes with every attempt, after an HTTP error too."""
    page = open_page(htmx.page(htmx.element("beforeend")))
    connected(page)
    last = htmx.publish("<b>1</b>", "<b>2</b>")
    expect(page.locator("#feed b")).to_have_text(["1", "2"])
    htmx.site.before[htmx.topic] = [Response(status_code=503), Response("<i>oops</i>", 500)]
    htmx.site.end_streams(htmx.topic)
    htmx.publish("<b>3</b>")
    connected(page, 2)
    htmx.publish("<b>4</b>")
    expect(page.locator("#feed b")).to_have_text(["1", "2", "3", "4"])
    asked = [each.last_event_id for each in htmx.site.asked[htmx.topic]]
    assert asked == [None, last, last, last]
    assert page.locator("i").count() == 0


@each_version
def test_a_server_that_is_not_there_yet_is_asked_again(htmx: HtmxSite, open_page: OpenPage) -> None:
    """Also the first time, and what it answers is not shown."""
    htmx.site.before[htmx.topic] = [HTMLResponse("<i>oops</i>", 500) for _ in range(3)]
    page = open_page(htmx.page(htmx.element()))
    connected(page)
    htmx.publish("<b>1</b>")
    expect(page.locator("#feed")).to_have_text("1")
    assert len(htmx.site.asked[htmx.topic]) == 4


@each_version
def test_a_refusal_is_the_end_until_somebody_asks(htmx: HtmxSite, open_page: OpenPage) -> None:
    """No loop of htmx begins; a new attempt goes on in the same element."""
    htmx.site.before[htmx.topic] = [Response(status_code=403)]
    page = open_page(htmx.page(htmx.element("beforeend")))
    wait_for(page, "error", "http")
    expect(page.locator("#feed")).to_have_attribute("data-sse-state", "error")
    if htmx.flavour.version == 2:
        inside = "document.querySelector('#feed')['htmx-internal-data'].sseEventSource.readyState"
        assert page.evaluate(inside) == 0
    page.evaluate("sseKit.channels.forEach((channel) => channel.reconnect())")
    connected(page)
    htmx.publish("<b>1</b>")
    expect(page.locator("#feed b")).to_have_text(["1"])
    assert len(htmx.site.asked[htmx.topic]) == 2


@every
def test_the_close_event_ends_it(htmx: HtmxSite, open_page: OpenPage) -> None:
    """It is told of as htmx tells of its own, and nobody connects again."""
    page = open_page(htmx.page(htmx.element()))
    connected(page)
    page.evaluate(
        """(type) => {
          window.closings = 0;
          document.addEventListener(type, () => (window.closings += 1));
        }""",
        htmx.flavour.closed(),
    )
    htmx.publish("bye", event="close")
    ended(page)
    wait(page, "closings === 1")
    expect(page.locator("#feed")).to_have_attribute("data-sse-state", "disconnected")
    htmx.site.wait_for_streams(htmx.topic, 0)
    assert len(htmx.site.asked[htmx.topic]) == 1


@each_version
def test_no_content_is_the_end(htmx: HtmxSite, open_page: OpenPage) -> None:
    """The server says 204, as it says to an EventSource."""
    htmx.site.before[htmx.topic] = [Response(status_code=204)]
    page = open_page(htmx.page(htmx.element()))
    wait_for(page, "disconnected", "no-content")
    assert len(htmx.site.asked[htmx.topic]) == 1


@each_version
@pytest.mark.parametrize("way", ["remove()", "parentElement.replaceChildren()"])
def test_an_element_that_is_removed_closes_its_stream(
    htmx: HtmxSite, open_page: OpenPage, way: str
) -> None:
    """By calls that htmx knows nothing of, on a stream that says nothing."""
    page = open_page(htmx.page(f"<main>{htmx.element()}</main>"))
    htmx.site.wait_for_streams(htmx.topic, 1)
    page.evaluate(f"document.querySelector('#feed').{way}")
    htmx.site.wait_for_streams(htmx.topic, 0)
    ended(page)


@each_version
def test_an_element_that_htmx_replaces_closes_its_stream(
    htmx: HtmxSite, open_page: OpenPage
) -> None:
    """And what comes in its place connects anew, from where it is rendered."""
    again = HtmxSite(htmx.site, htmx.site.topic(), htmx.flavour)
    path = f"part-{htmx.topic}"
    htmx.site.pages[path] = HTMLResponse(again.element(element_id="again"))
    button = f'<button hx-get="/{path}" hx-target="main">next</button>'
    page = open_page(htmx.page(f"<main>{htmx.element()}</main>{button}"))
    htmx.site.wait_for_streams(htmx.topic, 1)
    page.get_by_role("button").click()
    htmx.site.wait_for_streams(htmx.topic, 0)
    htmx.site.wait_for_streams(again.topic, 1)
    again.publish("<b>1</b>")
    expect(page.locator("#again b")).to_have_text("1")


# htmx 4 itself asks for an order: it does not wait for an extension that is deferred.
@only_htmx_2
def test_the_kit_may_be_there_before_htmx(htmx: HtmxSite, open_page: OpenPage) -> None:
    """It joins whatever is loaded, when it begins."""
    kit = module(bundle.htmx_name()) + module(bundle.script_name())
    head = htmx.flavour.head(htmx.site).replace("<script ", "<script defer ")
    page = open_page(htmx.page(htmx.element(), script=kit, head=kit, probe=kit + head))
    feed = page.locator("#feed")
    expect(feed).to_have_attribute("data-sse-state", "connected")
    htmx.publish("<b>1</b>")
    expect(feed.locator("b")).to_have_text("1")


@each_version
def test_without_the_kit_htmx_connects_by_itself(htmx: HtmxSite, open_page: OpenPage) -> None:
    """The element is htmx's own, and nothing in it needs the kit."""
    page = open_page(htmx.page(htmx.element(), script="<i></i>"))
    htmx.site.wait_for_streams(htmx.topic, 1)
    htmx.publish("<b>1</b>")
    expect(page.locator("#feed b")).to_have_text("1")


@each_version
def test_an_element_goes_on_from_where_it_was_rendered(htmx: HtmxSite, open_page: OpenPage) -> None:
    """Nothing is lost between the query and the connection."""
    cursor = htmx.publish("<b>shown</b>")
    htmx.publish("<b>between</b>")
    page = open_page(htmx.page(htmx.element("beforeend", cursor=cursor)))
    expect(page.locator("#feed b")).to_have_text(["between"])


@each_version
def test_a_page_that_is_left_and_kept_comes_back(htmx: HtmxSite, open_page: OpenPage) -> None:
    """It holds no stream meanwhile, and what it missed is shown when it is back."""
    page = open_page(htmx.page(htmx.element("beforeend")))
    connected(page)
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    htmx.site.wait_for_streams(htmx.topic, 0)
    htmx.publish("<b>1</b>")
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    connected(page, 2)
    htmx.publish("<b>2</b>")
    expect(page.locator("#feed b")).to_have_text(["1", "2"])


# Targets ------------------------------------------------------------------------------------------

TARGETS = '<p id="a">a</p><p id="b">b</p><p id="rest">rest</p>'
BOTH = '<p id="a" hx-swap-oob="true">A</p><p hx-swap-oob="innerHTML:#b">B</p>'


@every
def test_one_message_changes_several_targets(
    htmx: HtmxSite, open_page: OpenPage, complaints: Complaints
) -> None:
    """Out-of-band swaps work on every release, inside of the element."""
    page = open_page(htmx.page(htmx.element("none", children=TARGETS)))
    connected(page)
    htmx.publish(BOTH)
    expect(page.locator("#feed p")).to_have_text(["A", "B", "rest"])
    assert complaints == []


@each_version
def test_rows_of_a_table_are_targets_too(htmx: HtmxSite, open_page: OpenPage) -> None:
    """Which cannot stand alone in HTML."""
    table = "<table><tbody><tr id='row'><td>old</td></tr></tbody></table>"
    page = open_page(htmx.page(htmx.element("none", children=table)))
    connected(page)
    htmx.publish("<tr id='row' hx-swap-oob='true'><td>new</td></tr>")
    expect(page.locator("#feed td")).to_have_text(["new"])


@each_version
def test_targets_outside_are_changed_if_the_element_names_them(
    htmx: HtmxSite, open_page: OpenPage
) -> None:
    """The others are left alone, whatever selector is written, and not shown inside either."""
    element = htmx.element("beforeend", targets=["#a"])
    page = open_page(htmx.page(f"<main>{TARGETS}</main>{element}"))
    connected(page)
    htmx.publish(
        BOTH,
        '<i hx-swap-oob="innerHTML:p">x</i>',
        '<i hx-swap-oob="innerHTML:#a, #b">x</i>',
        '<i hx-swap-oob="delete:main">x</i>',
        '<i hx-swap-oob="innerHTML target:#b">x</i>',
        '<i data-hx-swap-oob="innerHTML:#b">x</i>',
        '<i id="rest" hx-swap-oob=":#a">x</i>',
        "<b>last</b>",
    )
    expect(page.locator("#feed b")).to_have_text(["last"])
    expect(page.locator("main p")).to_have_text(["A", "b", "rest"])


@only_htmx_4
def test_what_htmx_4_calls_a_partial_needs_trust(htmx: HtmxSite, open_page: OpenPage) -> None:
    """Its target is not looked at; so its text is shown where the message belongs."""
    message = '<hx-partial hx-target="#a"><b>A</b></hx-partial>'
    trusted = HtmxSite(htmx.site, htmx.site.topic(), htmx.flavour)
    elements = htmx.element() + trusted.element(element_id="other", trusted=True)
    page = open_page(htmx.page(f"<main>{TARGETS}</main>{elements}"))
    connected(page, 2)
    htmx.publish(message)
    expect(page.locator("#feed b")).to_have_text(["A"])
    expect(page.locator("#a")).to_have_text("a")
    trusted.publish(message)
    expect(page.locator("#a b")).to_have_text(["A"])


# htmx 2 -------------------------------------------------------------------------------------------


@only_htmx_2
def test_children_show_events_of_their_own(htmx: HtmxSite, open_page: OpenPage) -> None:
    """One connection feeds all that are in its element, later ones too."""
    children = '<p id="a" sse-swap="a"></p><p id="b" sse-swap="b,c"></p>'
    page = open_page(htmx.page(htmx.element(children=children, sse_swap=None)))
    connected(page)
    for event in "abc":
        htmx.publish(event, event=event)
    expect(page.locator("#feed p")).to_have_text(["a", "c"])
    page.evaluate(
        """() => {
          const later = document.createElement("p");
          later.setAttribute("sse-swap", "d");
          document.querySelector("#feed").append(later);
          htmx.process(later);
        }"""
    )
    htmx.publish("d", event="d")
    expect(page.locator("#feed p")).to_have_text(["a", "c", "d"])
    assert len(htmx.site.asked[htmx.topic]) == 1


@only_htmx_2
def test_an_element_that_is_processed_again_keeps_its_stream(
    htmx: HtmxSite, open_page: OpenPage
) -> None:
    """One connection, each message once, in it and in its children; htmx alone leaks the first."""
    children = '<p sse-swap="a" hx-swap="beforeend"></p>'
    page = open_page(htmx.page(htmx.element("b", hx_swap="beforeend", children=children)))
    connected(page)
    for number in range(3):
        page.evaluate(
            """(number) => {
              const feed = document.querySelector("#feed");
              feed.setAttribute("data-number", number);
              htmx.process(feed);
              if (number) feed.firstElementChild.setAttribute("data-number", number);
              htmx.process(document.body);
            }""",
            number,
        )
    htmx.publish("<b>a</b>", event="a")
    htmx.publish("<i>b</i>", event="b")
    expect(page.locator("#feed > i")).to_have_text(["b"])
    assert page.locator("#feed p b").all_text_contents() == ["a"]
    assert page.evaluate("sseKit.channels.size") == 1
    assert len(htmx.site.asked[htmx.topic]) == 1


@only_htmx_2
def test_an_element_may_be_led_to_another_stream(htmx: HtmxSite, open_page: OpenPage) -> None:
    """The first is closed, and the children follow."""
    other = HtmxSite(htmx.site, htmx.site.topic(), htmx.flavour)
    page = open_page(htmx.page(htmx.element(children='<p sse-swap="a"></p>', sse_swap=None)))
    htmx.site.wait_for_streams(htmx.topic, 1)
    page.evaluate(
        """(url) => {
          const feed = document.querySelector("#feed");
          feed.setAttribute("sse-connect", url);
          htmx.process(feed);
        }""",
        f"/events/{other.topic}",
    )
    htmx.site.wait_for_streams(htmx.topic, 0)
    htmx.site.wait_for_streams(other.topic, 1)
    other.publish("there", event="a")
    expect(page.locator("#feed p")).to_have_text("there")


@only_htmx_2
def test_an_event_triggers_a_request(htmx: HtmxSite, open_page: OpenPage) -> None:
    """``hx-trigger="sse:…"`` gets the message, as it was sent."""
    path = f"part-{htmx.topic}"
    htmx.site.pages[path] = HTMLResponse("<b>fetched</b>")
    child = f'<p hx-get="/{path}" hx-trigger="sse:tick"></p>'
    page = open_page(htmx.page(htmx.element(children=child, sse_swap=None)))
    connected(page)
    page.evaluate(
        "document.addEventListener('sse:tick', ({ detail }) => (window.tick = detail.data))"
    )
    htmx.publish("<script>1 < 2</script>", event="tick")
    expect(page.locator("#feed p b")).to_have_text("fetched")
    assert page.evaluate("tick") == "<script>1 < 2</script>"


@only_htmx_2
def test_text_is_swapped_as_text(htmx: HtmxSite, open_page: OpenPage) -> None:
    """What is not parsed as HTML is not changed."""
    page = open_page(htmx.page(htmx.element("textContent")))
    connected(page)
    htmx.publish("1 < 2 & <b>3</b>")
    expect(page.locator("#feed")).to_have_text("1 < 2 & <b>3</b>")


@only_htmx_2
def test_htmx_is_told_of_connections_as_by_an_eventsource(
    htmx: HtmxSite, open_page: OpenPage, complaints: Complaints
) -> None:
    """Each loss is an error of the source, which is connecting, and each return an opening."""
    page = open_page(htmx.page(htmx.element()))
    connected(page)
    page.evaluate(
        """() => {
          window.log = [];
          for (const type of ["htmx:sseOpen", "htmx:sseError"]) {
            document.addEventListener(type, ({ detail: { source } }) =>
              log.push(`${type} ${source.readyState}`),
            );
          }
        }"""
    )
    htmx.site.end_streams(htmx.topic)
    wait(page, "log.length === 2")
    assert page.evaluate("log") == ["htmx:sseError 0", "htmx:sseOpen 1"]
    assert complaints == ["[object Event]"]  # htmx logs each error so


# htmx 4 -------------------------------------------------------------------------------------------


@only_htmx_4
def test_named_events_are_events_of_the_page(htmx: HtmxSite, open_page: OpenPage) -> None:
    """With their data and id as they were sent; they may trigger a request."""
    path = f"part-{htmx.topic}"
    htmx.site.pages[path] = HTMLResponse("<b>fetched</b>")
    other = f'<p hx-get="/{path}" hx-trigger="tick from:#feed"></p>'
    page = open_page(htmx.page(htmx.element() + other))
    connected(page)
    page.evaluate("document.addEventListener('tick', ({ detail }) => (window.tick = detail))")
    position = htmx.publish("<script>\n1 < 2\n</script>", event="tick")
    expect(page.locator("p b")).to_have_text("fetched")
    assert page.evaluate("tick") == {"data": "<script>\n1 < 2\n</script>", "id": position}


@only_htmx_4
def test_other_requests_are_left_alone(htmx: HtmxSite, open_page: OpenPage) -> None:
    """Only what connects is the kit's; a request that answers with a stream is htmx's own."""
    button = f'<button hx-get="/events/{htmx.topic}" hx-target="#feed">go</button>'
    page = open_page(htmx.page(f'<div id="feed"></div>{button}'))
    page.get_by_role("button").click()
    htmx.site.wait_for_streams(htmx.topic, 1)
    htmx.publish("<b>1</b>")
    expect(page.locator("#feed b")).to_have_text("1")
    assert page.evaluate("sseKit.channels.size") == 0


@only_htmx_4
def test_headers_of_the_element_go_with_the_stream(htmx: HtmxSite, open_page: OpenPage) -> None:
    """Those that ``hx-headers`` adds; htmx's own differ from tab to tab."""
    headers: list[dict[str, str]] = []
    page = open_page(htmx.page(""))
    page.on("request", lambda request: headers.append(request.headers))
    page.evaluate(
        """(html) => {
          document.body.innerHTML = html;
          htmx.process(document.body);
        }""",
        htmx.element(**{"hx-headers": '{"X-Token": "abc"}'}),
    )
    htmx.site.wait_for_streams(htmx.topic, 1)
    wait_until(page, lambda: headers)
    sent = headers[-1]
    assert sent["x-token"] == "abc"
    assert "hx-request" not in sent
    assert sent["accept"] == "text/event-stream"


@only_htmx_4
@pytest.mark.parametrize("config", ["", '{"sse":{"reconnect":true},"timeout":9000}', "timeout:9s"])
def test_connections_are_not_those_of_the_extension(
    htmx: HtmxSite, open_page: OpenPage, config: str
) -> None:
    """It would let go of them in hidden tabs, and begin its own; what else is configured stays."""
    page = open_page(htmx.page(htmx.element(hx_config=config)))
    connected(page)
    for hidden in (True, False):
        page.evaluate(
            """(hidden) => {
              Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
              document.dispatchEvent(new Event("visibilitychange"));
            }""",
            hidden,
        )
    htmx.publish("<b>1</b>")
    expect(page.locator("#feed b")).to_have_text("1")
    htmx.publish("bye", event="close")
    ended(page)
    htmx.site.wait_for_streams(htmx.topic, 0)
    assert len(htmx.site.asked[htmx.topic]) == 1
    attribute = page.locator("#feed").get_attribute("hx-config") or ""
    assert ("timeout" in attribute) == ("timeout" in config)
