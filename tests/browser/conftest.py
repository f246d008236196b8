"""A headless Chromium, and pages that may not complain."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser.site import Site, running_site
from tests.browser.watch import PATIENCE
from tests.demo.process import DemoProcess
from tests.support import absent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

    from tests.browser.watch import OpenPage

OpenContext: TypeAlias = "Callable[..., BrowserContext]"

SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP insecure.test 127.0.0.1",  # plain http, and not localhost
)


NETWORK = "Failed to load resource: net::"
"""How Chromium tells that a server is away; a test that kills one expects it."""


# For one module: while it runs, no other test could run an event loop in this thread.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Debian's Chromium with a fresh profile."""
    path = shutil.which("chromium") or absent(
        "chromium", "install it (Debian: apt-get install chromium)"
    )
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=SWITCHES)
        yield chromium
        chromium.close()


# Playwright switches it off, since it does not know of pages that come back.
@pytest.fixture(scope="module")
def keeping_browser(browser: Browser) -> Iterator[Browser]:
    """Start a Chromium that keeps pages for the back button."""
    chromium = browser.browser_type.launch(
        executable_path=shutil.which("chromium"),
        args=SWITCHES,
        ignore_default_args=["--disable-back-forward-cache"],
    )
    yield chromium
    chromium.close()


@pytest.fixture
def keeping_context(keeping_browser: Browser) -> Iterator[BrowserContext]:
    """Open a profile whose pages are kept for the back button."""
    context = keeping_browser.new_context()
    yield context
    context.close()


class Complaints(list[str]):
    """What pages wrote to the console as an error or a warning, and their uncaught errors."""

    def note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.append(message.text)

    def but_for_the_network(self) -> list[str]:
        return [text for text in self if not text.startswith(NETWORK)]


@pytest.fixture
def complaints() -> Complaints:
    """Return what the pages of this test complained about; violations of the policy too."""
    return Complaints()


@pytest.fixture
def open_context(browser: Browser, complaints: Complaints) -> Iterator[OpenContext]:
    """Open profiles of their own for a test, of English readers."""
    contexts: list[BrowserContext] = []

    def opened(**options: Any) -> BrowserContext:
        context = browser.new_context(locale="en-US", **options)
        context.on("console", complaints.note)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        contexts.append(context)
        return context

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def context(open_context: OpenContext) -> BrowserContext:
    """Open the profile of somebody at a desk."""
    return open_context(viewport={"width": 1280, "height": 900})


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[DemoProcess]:
    """Run the demo in a process of its own."""
    with DemoProcess(tmp_path) as process:
        yield process
    assert process.errors() == ""


@pytest.fixture(scope="module")
def shared_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    """Run the demo once, for tests that only look, or expect no others' messages."""
    with DemoProcess(tmp_path_factory.mktemp("demo")) as process:
        yield process
    assert process.errors() == ""


@pytest.fixture
def restart(demo: DemoProcess, tmp_path: Path) -> Iterator[Callable[[], DemoProcess]]:
    """Kill -9 the demo, and start it again on the same port."""
    started: list[DemoProcess] = []

    def again() -> DemoProcess:
        demo.kill()
        started.append(DemoProcess(tmp_path, port=demo.port))
        return started[-1]

    yield again
    for process in started:
        process.kill()


@pytest.fixture
def open_tab(context: BrowserContext, demo: DemoProcess) -> Callable[[], Page]:
    """Open the demo's page in a tab."""

    def tab() -> Page:
        page = context.new_page()
        page.goto(demo.url)
        return page

    return tab


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Run a server for pages of a test's own, once for a module."""
    with running_site() as made:
        yield made


@pytest.fixture
def topic(site: Site) -> str:
    """Return a topic that no other test has."""
    return site.topic()


@pytest.fixture
def open_page(context: BrowserContext) -> OpenPage:
    """Open an address in a tab."""

    def opened(url: str) -> Page:
        page = context.new_page()
        page.goto(url)
        return page

    return opened
