"""The page's connection when the server dies, or the network does."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from sse_kit.templates import bundle
from sse_kit.templates.client import ClientConfig, ShareConfig, StreamConfig, block
from sse_kit.testing import FaultProxy
from tests.browser.site import PROBE, QUICK
from tests.browser.watch import connected, data, states, stop_clock, wait, wait_for
from tests.demo.process import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import BrowserContext

    from tests.browser.conftest import Complaints
    from tests.browser.site import Site
    from tests.browser.watch import OpenPage

SERVER = Path(__file__).with_name("log_server.py")
KILLS = 3

COUNT = """
window.chunks = 0;
const fetched = window.fetch;
window.fetch = async (...request) => {
  const answer = await fetched(...request);
  const [counted, read] = answer.body.tee();
  counted.pipeTo(new WritableStream({ write() { chunks += 1; } })).catch(() => {});
  return new Response(read, answer);
};
"""
"""Counts what arrives: a page tells nothing of comments."""


@pytest.fixture
def port() -> int:
    """Return a port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number: int = free.getsockname()[1]
        return number


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def start(port: int, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start the server that can be killed, always at the same port, with the same log."""
    started: list[subprocess.Popen[bytes]] = []

    def again() -> subprocess.Popen[bytes]:
        command = [sys.executable, str(SERVER), str(port), str(tmp_path / "log")]
        started.append(subprocess.Popen(command, env=environment()))
        while not listens(port):
            assert started[-1].poll() is None
            time.sleep(0.02)
        return started[-1]

    yield again
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """Write a number a line into the log, all the time."""
    path = tmp_path / "log"
    done = threading.Event()

    def write() -> None:
        with path.open("w", buffering=1) as file:
            for number in range(1_000_000):
                file.write(f"{number}\n")
                if done.wait(0.002):
                    return

    thread = threading.Thread(target=write)
    thread.start()
    yield path
    done.set()
    thread.join()


@pytest.mark.parametrize(("mode", "tabs"), [("none", 1), ("worker", 3), ("locks", 3)])
def test_nothing_is_lost_or_doubled_when_a_server_is_killed(  # noqa: PLR0913, PLR0917
    mode: Literal["none", "worker", "locks"],
    tabs: int,
    port: int,
    log: Path,
    start: Callable[[], subprocess.Popen[bytes]],
    context: BrowserContext,
    complaints: Complaints,
) -> None:
    """Pages are opened by one server, and follow the log through three kills -9 of its heirs."""
    stream = StreamConfig(url="/events")
    share = ShareConfig(mode=mode, key="")
    config = ClientConfig(connection=QUICK, share=share, streams=(stream,))
    (log.parent / "sse_kit.js").write_text(bundle.script())
    html = f"<!doctype html><title>log</title><script>{PROBE}</script>{block(config)}"
    html += '<link rel="icon" href="data:,"><script type="module" src="/sse_kit.js"></script>'
    (log.parent / "page.html").write_text(html)
    server = start()
    pages = [context.new_page() for _ in range(tabs)]
    for page in pages:
        page.goto(f"http://127.0.0.1:{port}/page.html")
    for kill in range(KILLS):
        for page in pages:
            connected(page, kill + 1)
            wait(page, f"messages.length > {100 * (kill + 1)}")
        server.kill()
        server.wait()
        for page in pages:
            wait_for(page, "reconnecting", "network")
        server = start()
    for page in pages:
        connected(page, KILLS + 1)
        wait(page, f"messages.length > {100 * (KILLS + 1)}")
        told = [int(number) for number in data(page)]
        assert told == list(range(told[0], told[0] + len(told)))
    assert data(pages[0])[0] == "0"
    assert complaints.but_for_the_network() == []


def test_a_black_hole_is_noticed_by_its_silence(
    site: Site, topic: str, open_page: OpenPage, complaints: Complaints
) -> None:
    """Heartbeats that do not come are the only sign; nothing is lost meanwhile."""
    with FaultProxy(site.url) as proxy:
        path = site.live_page(topic, idle_timeout=1000, connect_timeout=1000)
        page = open_page(path.replace(site.url, proxy.url))
        connected(page)
        site.publish(topic, "before")
        wait(page, "messages.length === 1")
        proxy.swallow()
        site.publish(topic, "meanwhile")
        wait_for(page, "reconnecting", "idle")
        wait_for(page, "reconnecting", "timeout")
        proxy.forward()
        connected(page, 2)
        site.publish(topic, "after")
        wait(page, "messages.length >= 3")
        assert data(page) == ["before", "meanwhile", "after"]
        assert complaints.but_for_the_network() == []
        page.close()


def test_heartbeats_are_no_silence(site: Site, topic: str, open_page: OpenPage) -> None:
    """A quiet stream outlasts its patience: comments count."""
    page = open_page("about:blank")
    stop_clock(page)
    page.add_init_script(COUNT)
    page.goto(site.live_page(topic, idle_timeout=1000))
    connected(page)
    for _ in range(5):
        page.evaluate("chunks = 0")
        page.clock.run_for(900)
        wait(page, "chunks >= 2")
    assert [state for state, *_ in states(page)] == ["connecting", "connected"]


def test_a_cut_connection_comes_back_where_it_was(
    site: Site, topic: str, open_page: OpenPage
) -> None:
    """The request says from which id."""
    with FaultProxy(site.url) as proxy:
        page = open_page(site.live_page(topic).replace(site.url, proxy.url))
        connected(page)
        cursor = site.publish(topic, "before")
        wait(page, "messages.length === 1")
        proxy.cut()
        connected(page, 2)
        site.publish(topic, "after")
        wait(page, "messages.length >= 2")
        assert data(page) == ["before", "after"]
        assert site.asked[topic][1].last_event_id == cursor
        page.close()


def test_when_the_network_is_back_nobody_waits(
    site: Site, topic: str, open_page: OpenPage, context: BrowserContext
) -> None:
    """An attempt that failed offline, with a minute to wait, is made again at once."""
    page = open_page(site.live_page(topic, min_delay=60_000, max_delay=60_000))
    connected(page)
    context.set_offline(offline=True)
    page.evaluate("sseKit.channels.forEach((channel) => channel.reconnect())")
    assert wait_for(page, "reconnecting", "network")["delay"] >= 60_000
    context.set_offline(offline=False)
    connected(page, 2)
