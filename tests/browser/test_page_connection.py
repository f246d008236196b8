"""The page's connection in a real browser: states, refusals, and what comes after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.responses import Response

from tests.browser.watch import connected, data, states, wait

if TYPE_CHECKING:
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
