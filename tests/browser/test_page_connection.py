"""The page's connection in a real browser: states, refusals, and what comes after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.responses import HTMLResponse, Response

from sse_kit.templates.client import ClientConfig, ConnectionConfig, StreamConfig, block
from tests.browser.site import QUICK
from tests.browser.watch import connected, data, states, wait, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

    from tests.browser.conftest import Complaints
    from tests.browser.site import Site
    from tests.browser.watch import OpenPage


def test_a_page_follows_the_stream_that_its_block_names(
    site: Site, topic: str, open_page: OpenPage, complaints: Complaints
) -> None:
    """It connects, and each message comes once, in order."""
    page = open_page(site.live_page(topic))
    connected(page)
    site.publish(topic, *"abc", event="letters")
    wait(page, "messages.length >= 3")
    assert data(page) == ["a", "b", "c"]
    assert states(page) == [["connecting", "attempting", "new"], ["connected", "open", "opened"]]
    assert complaints == []


@pytest.mark.parametrize("status", [425, 429, 500, 503])
def test_a_server_that_may_be_better_soon_is_asked_again(
    site: Site, topic: str, open_page: OpenPage, status: int
) -> None:
    """On the very first connect too; after a 408 Chromium asks again by itself."""
    site.before[topic] = [Response(status_code=status)]
    page = open_page(site.live_page(topic))
    connected(page)
    assert states(page) == [
        ["connecting", "attempting", "new"],
        ["reconnecting", "waiting", "http"],
        ["reconnecting", "attempting", "http"],
        ["connected", "open", "opened"],
    ]
    assert page.evaluate("states[1].status") == status


def test_a_network_that_fails_at_first_is_tried_again(
    site: Site, topic: str, open_page: OpenPage, context: BrowserContext
) -> None:
    """A server that is not there yet is no reason to give up."""
    path = f"**/events/{topic}"
    context.route(path, lambda route: route.abort("connectionrefused"), times=2)
    page = open_page(site.live_page(topic))
    connected(page)
    retry = [["reconnecting", "waiting", "network"], ["reconnecting", "attempting", "network"]]
    assert states(page) == [
        ["connecting", "attempting", "new"],
        *retry,
        *retry,
        ["connected", "open", "opened"],
    ]


def test_retry_after_is_waited_for(site: Site, topic: str, open_page: OpenPage) -> None:
    """The delay is more than was asked for, so that not all come at once."""
    site.before[topic] = [Response(status_code=503, headers={"Retry-After": "1"})]
    page = open_page(site.live_page(topic))
    delay = wait_for(page, "reconnecting", "http")["delay"] or page.evaluate("states[1].delay")
    assert 1000 < delay <= 1000 + QUICK.base_delay
    connected(page)
    first, second = site.asked[topic]
    assert second.at - first.at >= 1.0


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_ends_it(
    site: Site, topic: str, open_page: OpenPage, status: int, complaints: Complaints
) -> None:
    """The state is an error that tells the status; nobody asks again."""
    site.before[topic] = [Response(status_code=status)]
    page = open_page(site.live_page(topic))
    change = wait_for(page, "error", "http")
    assert (change["phase"], change["status"]) == ("ended", status)
    assert len(site.asked[topic]) == 1
    assert all(str(status) in complaint for complaint in complaints)


def test_204_stops_it(site: Site, topic: str, open_page: OpenPage, complaints: Complaints) -> None:
    """That is no error."""
    site.before[topic] = [Response(status_code=204)]
    page = open_page(site.live_page(topic))
    assert wait_for(page, "disconnected", "no-content")["phase"] == "ended"
    assert len(site.asked[topic]) == 1
    assert complaints == []


def test_a_page_in_place_of_the_stream_ends_it(site: Site, topic: str, open_page: OpenPage) -> None:
    """As a login page is: 200, but HTML."""
    site.before[topic] = [HTMLResponse("data: log in\n\n")]
    page = open_page(site.live_page(topic))
    assert wait_for(page, "error", "content-type")["status"] == 200
    assert data(page) == []


def test_a_redirect_is_followed_each_time(site: Site, topic: str, open_page: OpenPage) -> None:
    """A reconnect asks the address that it was given, not the one it was sent to."""
    away = Response(status_code=307, headers={"Location": f"/events/{topic}?elsewhere"})
    site.before[topic] = [away]
    page = open_page(site.live_page(topic))
    connected(page)
    page.evaluate("sseKit.channels.forEach((channel) => channel.reconnect())")
    connected(page, 2)
    assert [asked.query for asked in site.asked[topic]] == ["", "elsewhere", ""]


def test_the_close_event_ends_it(site: Site, topic: str, open_page: OpenPage) -> None:
    """The server sees that the client is gone."""
    page = open_page(site.live_page(topic))
    connected(page)
    site.publish(topic, "", event="close")
    wait_for(page, "disconnected", "close-event")
    site.wait_for_streams(topic, 0)


def test_a_goodbye_says_when_to_come_back(site: Site, topic: str, open_page: OpenPage) -> None:
    """The delay is that of the server's bye, and nothing is lost."""
    bye = Response('event: bye\nretry: 77\ndata: {"retry": 77}\n\n', media_type="text/event-stream")
    site.before[topic] = [bye]
    page = open_page(site.live_page(topic))
    connected(page, 2)
    found = "states.find((s) => s.phase === 'waiting')"
    assert page.evaluate(found)["delay"] == 77
    assert page.evaluate(found)["reason"] == "bye"


def test_an_eventsource_takes_the_place_of_fetch(
    site: Site, topic: str, open_page: OpenPage, complaints: Complaints
) -> None:
    """It resumes by the query, has its own retries, and no watchdog: it sees no heartbeats."""
    settings = QUICK.model_copy(update={"reader": "eventsource", "idle_timeout": 1000})
    stream = StreamConfig(url=f"/events/{topic}", events=("letters",))
    site.before[topic] = [Response(status_code=500)]
    page = open_page(site.page(ClientConfig(connection=settings, streams=(stream,))))
    connected(page)
    site.publish(topic, *"ab", event="letters")
    wait(page, "messages.length >= 2")
    site.end_streams(topic)
    connected(page, 2)
    site.publish(topic, "c", event="letters")
    wait(page, "messages.length >= 3")
    assert data(page) == ["a", "b", "c"]
    assert site.asked[topic][2].query.startswith("last_event_id=")
    wait(page, "Date.now() - performance.timeOrigin > 3000")
    assert [reason for *_, reason in states(page)].count("idle") == 0
    assert all("500" in complaint for complaint in complaints)


def test_a_browser_without_streams_of_bytes_has_an_eventsource(
    site: Site, topic: str, open_page: OpenPage, context: BrowserContext
) -> None:
    """It is the fallback of fetch, which nobody has to ask for."""
    context.add_init_script(
        """delete globalThis.ReadableStream;
        const Own = EventSource;
        globalThis.EventSource = function (url) { return (window.source = new Own(url)); };
        """
    )
    page = open_page(site.live_page(topic))
    connected(page)
    site.publish(topic, "a")
    wait(page, "messages.length === 1")
    assert data(page) == ["a"]
    assert page.evaluate("source.readyState") == 1


def test_an_eventsource_hears_names_that_are_listened_for_later(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """They need not be listed."""
    settings = QUICK.model_copy(update={"reader": "eventsource"})
    page = open_page(site.page(ClientConfig(connection=settings)))
    page.evaluate(
        """(url) => {
          const connection = follow(sseKit.connect(url));
          connection.onopen = () => connection.addEventListener("late", () => {});
        }""",
        f"/events/{topic}",
    )
    connected(page)
    site.publish(topic, "x", event="late")
    wait(page, "messages.length === 1")


def test_a_listener_that_fails_disturbs_nobody(
    site: Site, topic: str, open_page: OpenPage, complaints: Complaints
) -> None:
    """Its error is reported, and the stream goes on."""
    page = open_page(site.live_page(topic))
    connected(page)
    page.evaluate(
        """() => {
          const [channel] = sseKit.channels;
          channel.onmessage = () => { throw new Error("planted 1"); };
          channel.addEventListener("message", () => { throw new Error("planted 2"); });
        }"""
    )
    site.publish(topic, "a", "b")
    wait(page, "messages.length >= 2")
    assert len(states(page)) == 2
    assert [text[-9:] for text in complaints] == ["planted 1", "planted 2"] * 2


def test_a_block_that_is_no_json_is_reported_and_left_out(
    site: Site, topic: str, open_page: OpenPage, complaints: Complaints
) -> None:
    """The others count."""
    bad = '<script type="application/json" data-sse-kit>{oops}</script>'
    config = ClientConfig(connection=QUICK, streams=(StreamConfig(url=f"/events/{topic}"),))
    page = open_page(site.page(config, head=bad))
    connected(page)
    assert len(complaints) == 1
    assert "JSON" in complaints[0]


def test_all_blocks_are_read_before_a_stream_is_opened(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """What a later one sets is true for the streams of those before it."""
    first = ClientConfig(streams=(StreamConfig(url=f"/events/{topic}"),), connection=QUICK)
    second = ClientConfig(connection=ConnectionConfig(max_retries=0))
    site.before[topic] = [Response(status_code=500)]
    page = open_page(site.page(first, block(second)))
    wait_for(page, "error", "max-retries")
    assert page.evaluate("sseKit.config.connection.baseDelay") == QUICK.base_delay
