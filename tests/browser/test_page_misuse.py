"""In debug mode a page says what in it cannot work, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sse_kit.templates import bundle
from sse_kit.templates.client import ClientConfig
from tests.browser.flavours import HTMX_2, HTMX_4, NEWEST, HtmxSite, module, put_up
from tests.browser.watch import connected, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import BrowserContext

    from tests.browser.conftest import Complaints
    from tests.browser.flavours import Flavour
    from tests.browser.site import Site
    from tests.browser.watch import OpenPage

each_version = pytest.mark.parametrize("flavour", NEWEST, ids=lambda each: each.name)
only_htmx_2 = pytest.mark.parametrize("flavour", [HTMX_2], ids=["2"])
only_htmx_4 = pytest.mark.parametrize("flavour", [HTMX_4], ids=["4"])


@pytest.fixture
def htmx(site: Site, topic: str, flavour: Flavour) -> HtmxSite:
    return HtmxSite(site, topic, flavour)


@pytest.fixture
def told(context: BrowserContext, complaints: Complaints) -> Callable[[str], None]:
    """Wait until the page has said something."""

    def wait_for(text: str) -> None:
        [page] = context.pages
        wait_until(page, lambda: any(text in each for each in complaints))

    return wait_for


@each_version
def test_a_page_without_misuse_says_nothing(
    htmx: HtmxSite, open_page: OpenPage, complaints: Complaints
) -> None:
    """Its streams are in the log of the console; the checks have run, and found nothing."""
    page = open_page("about:blank")
    with page.expect_console_message(lambda message: "connected/open opened" in message.text):
        page.goto(htmx.page(htmx.element("a,b"), debug=True))
    htmx.publish("<b>1</b>", event="a")
    page.wait_for_selector("#feed b")
    with page.expect_console_message(lambda message: "looked for misuse" in message.text):
        page.evaluate("document.body.append(document.createElement('hr'))")
    assert complaints == []


@only_htmx_2
def test_a_name_that_no_event_has(
    htmx: HtmxSite, open_page: OpenPage, told: Callable[[str], None]
) -> None:
    """Once another comes that nothing shows."""
    page = open_page(htmx.page(htmx.element("nwes"), debug=True))
    connected(page)
    htmx.publish("x", event="news")
    told('#feed waits for "nwes", but')
    told('sends "news", which nothing shows')


@only_htmx_4
def test_a_name_that_no_event_has_under_htmx_4(
    htmx: HtmxSite, open_page: OpenPage, told: Callable[[str], None]
) -> None:
    """There too, where the element says names."""
    page = open_page(htmx.page(htmx.element("nwes"), debug=True))
    connected(page)
    htmx.publish("x", event="news")
    told('sends "news", which nothing shows')


@only_htmx_2
def test_an_element_outside_of_a_connection(
    htmx: HtmxSite, open_page: OpenPage, told: Callable[[str], None]
) -> None:
    """Nothing feeds it."""
    open_page(htmx.page('<p id="lost" sse-swap="news"></p>', debug=True))
    told('#lost waits for "news", but nothing feeds it: put it into an element with sse-connect')


@only_htmx_4
@pytest.mark.parametrize("attribute", ["sse-swap", "data-sse-swap"])
def test_an_element_inside_that_waits_for_an_event_of_its_own(
    htmx: HtmxSite, open_page: OpenPage, told: Callable[[str], None], attribute: str
) -> None:
    """Only htmx 2 knows that; the remedy works under both."""
    child = f'<p id="price" {attribute}="price"></p>'
    open_page(htmx.page(htmx.element(children=child), debug=True))
    told('#price waits for "price", but htmx 4 swaps into #feed alone: name the event there')


@only_htmx_2
def test_a_style_in_place_of_a_name(
    htmx: HtmxSite, open_page: OpenPage, told: Callable[[str], None]
) -> None:
    """The remedy is the attribute that takes it."""
    open_page(htmx.page(htmx.element(sse_swap="innerHTML"), debug=True))
    told('hx-swap="innerHTML"')


@pytest.mark.parametrize(
    ("flavour", "remedy"), [(HTMX_2, "htmx=2)"), (HTMX_4, "htmx=4)")], ids=["2", "4"]
)
def test_an_element_for_the_other_version(
    htmx: HtmxSite, open_page: OpenPage, told: Callable[[str], None], remedy: str
) -> None:
    """The remedy is the parameter of the call."""
    other = {2: 4, 4: 2}[htmx.flavour.version]
    open_page(htmx.page(htmx.element(htmx=other), debug=True))
    told(remedy)


@each_version
def test_an_element_whose_extension_is_not_loaded(
    htmx: HtmxSite, open_page: OpenPage, told: Callable[[str], None]
) -> None:
    """It is said which."""
    bare = htmx.flavour._replace(scripts=htmx.flavour.scripts[:1])
    open_page(htmx.page(htmx.element(), debug=True, head=bare.head(htmx.site)))
    told({2: "htmx-ext-sse", 4: "hx-sse.js"}[htmx.flavour.version])


@only_htmx_2
def test_two_versions_of_htmx(
    htmx: HtmxSite, open_page: OpenPage, told: Callable[[str], None]
) -> None:
    """Both are named."""
    second = f'<script src="{put_up(htmx.site, HTMX_4.scripts[0])}"></script>'
    head = second + htmx.flavour.head(htmx.site)
    open_page(htmx.page("", debug=True, head=head))
    told("htmx is loaded twice, keep one")


@pytest.mark.parametrize(("flavour", "other"), [(HTMX_2, HTMX_4), (HTMX_4, HTMX_2)], ids=["2", "4"])
def test_the_extension_of_the_other_version(
    htmx: HtmxSite, open_page: OpenPage, told: Callable[[str], None], other: Flavour
) -> None:
    """As FastHTML's ``exts="sse4"`` without ``htmx4=True`` has it."""
    wrong = htmx.flavour._replace(scripts=(htmx.flavour.scripts[0], other.scripts[1]))
    open_page(htmx.page(htmx.element(), debug=True, head=wrong.head(htmx.site)))
    told(f"this is htmx {htmx.flavour.version}")


@each_version
def test_an_element_that_its_first_message_replaces(
    htmx: HtmxSite, open_page: OpenPage, told: Callable[[str], None]
) -> None:
    """Its stream would end with it."""
    open_page(htmx.page(htmx.element("outerHTML"), debug=True))
    told('hx-swap="outerHTML": its first message ends its stream with it')


@each_version
def test_a_message_that_is_not_shown_whole(
    htmx: HtmxSite, open_page: OpenPage, told: Callable[[str], None]
) -> None:
    """What was taken out, and how to keep it."""
    page = open_page(htmx.page(htmx.element(), debug=True))
    connected(page)
    htmx.publish('<p hx-get="/x">p</p><p id="y" hx-swap-oob="innerHTML:body">q</p>')
    told("#feed shows a message without its hx-get, hx-swap-oob: if no user wrote it")


def test_a_page_is_silent_without_debug(
    site: Site, open_page: OpenPage, complaints: Complaints
) -> None:
    """The checks are for those who write it."""
    page = open_page("about:blank")
    page.clock.install()
    head = module(bundle.debug_name())
    page.goto(site.page(ClientConfig(), '<p sse-swap="news"></p>', head=head))
    page.clock.fast_forward(60_000)
    assert complaints == []
