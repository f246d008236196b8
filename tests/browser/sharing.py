"""Pages whose streams are shared, and a stream of numbers that shows what was lost or doubled."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sse_kit.templates.client import ClientConfig, LifecycleConfig, ShareConfig, StreamConfig
from tests.browser.site import QUICK
from tests.browser.watch import connected, data, wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import BrowserContext, Page

    from tests.browser.site import Site

HUNG_AFTER = 1_500


def shared_page(  # noqa: PLR0913  what a page can be different in
    site: Site,
    *topics: str,
    mode: str = "auto",
    key: str | None = "somebody",
    replay: int = 10_000,
    cursor: str = "",
    hung_after: int = HUNG_AFTER,
    element: str = "",
    pause_hidden_after: int | None = None,
    **page: Any,
) -> str:
    """Put up a page that shares the streams of topics with other tabs."""
    settings = {"mode": mode, "key": key, "replay": replay, "hung_after": hung_after}
    config = ClientConfig(
        connection=QUICK,
        share=ShareConfig.model_validate(settings),
        lifecycle=LifecycleConfig(pause_hidden_after=pause_hidden_after),
        streams=tuple(StreamConfig(url=f"/events/{topic}", element=element) for topic in topics),
        cursor=cursor,
    )
    return site.page(config, **page)


def open_tabs(context: BrowserContext, url: str, count: int) -> list[Page]:
    """Open tabs, each after the one before is connected: the first leads, where one does."""
    pages = []
    for _ in range(count):
        pages.append(context.new_page())
        pages[-1].goto(url)
        connected(pages[-1])
    return pages


class Numbers:
    """Publishes 0, 1, 2, … in a thread of its own, until it is stopped."""

    def __init__(self, site: Site, topic: str) -> None:
        self.count = 0
        self._site, self._topic = site, topic
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(0.003):
            self._site.publish(self._topic, str(self.count))
            self.count += 1

    def stop(self) -> None:
        self._done.set()
        self._thread.join()

    def come_to(self, *pages: Page, more: int = 30) -> None:
        """Wait until pages were told so many more."""
        target = self.count + more
        for page in pages:
            wait(page, f"Number(messages.at(-1)?.data) >= {target}")

    def are_complete(self, *pages: Page, since: int | None = 0) -> None:
        """Assert that pages were told each, in order, once; since None: since they were opened."""
        self.stop()
        for page in pages:
            wait(page, f"Number(messages.at(-1)?.data) >= {self.count - 1}")
            told = [int(number) for number in data(page)]
            assert told == list(range(told[0] if since is None else since, self.count))
            assert page.evaluate("told") == []


@contextmanager
def numbers(site: Site, topic: str) -> Iterator[Numbers]:
    """Publish numbers meanwhile."""
    made = Numbers(site, topic)
    try:
        yield made
    finally:
        made.stop()
