"""Where one way to share is not possible, the next is taken by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sse_kit.templates import bundle
from tests.browser.sharing import open_tabs, shared_page
from tests.browser.watch import data, states, wait

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

    from tests.browser.conftest import Complaints, OpenContext
    from tests.browser.site import Site

NO_WORKERS = "default-src 'self'; img-src data:; worker-src 'none'"
STRICT = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:"
NO_LOCKS = "Object.defineProperty(Navigator.prototype, 'locks', { value: undefined })"
NO_WORKER = "delete globalThis.SharedWorker"
ONCE = [["connecting", "attempting", "new"], ["connected", "open", "opened"]]

LEADERS = """async () => {
  const { held, pending } = await navigator.locks.query();
  return [held.length, pending.length];
}"""


def check(site: Site, topic: str, context: BrowserContext, url: str, streams: int) -> None:
    """Assert that two tabs have so many streams, and are told what comes."""
    pages = open_tabs(context, url, 2)
    site.wait_for_streams(topic, streams)
    site.publish(topic, *"ab")
    for page in pages:
        wait(page, "messages.length >= 2")
        assert data(page) == ["a", "b"]
        assert states(page) == ONCE


def test_a_worker_is_the_first_choice(site: Site, topic: str, context: BrowserContext) -> None:
    """No tab holds a lock then, and any of them may be frozen."""
    pages = open_tabs(context, shared_page(site, topic), 2)
    assert pages[0].evaluate(LEADERS) == [0, 0]


def test_a_strict_policy_does_not_forbid_the_worker(
    site: Site, topic: str, context: BrowserContext, complaints: Complaints
) -> None:
    """What may be a script may be a worker."""
    url = shared_page(site, topic, headers={"Content-Security-Policy": STRICT})
    check(site, topic, context, url, 1)
    assert context.pages[0].evaluate(LEADERS) == [0, 0]
    assert complaints == []


def test_a_policy_against_workers_leaves_the_locks(
    site: Site, topic: str, context: BrowserContext, complaints: Complaints
) -> None:
    """The browser says in the console that it kept to the policy, and nothing else is said."""
    url = shared_page(site, topic, headers={"Content-Security-Policy": NO_WORKERS})
    check(site, topic, context, url, 1)
    assert context.pages[0].evaluate(LEADERS) == [1, 1]
    assert all("worker-src" in complaint for complaint in complaints)


def test_a_policy_against_workers_is_met_once(
    site: Site, topic: str, context: BrowserContext, complaints: Complaints
) -> None:
    """A page that has found out does not try again."""
    url = shared_page(site, topic, headers={"Content-Security-Policy": NO_WORKERS})
    (page,) = open_tabs(context, url, 1)
    met = len(complaints)
    page.evaluate("sseKit.channels.forEach((c) => { c.pause('test'); c.resume('test'); })")
    wait(page, "states.filter(({ state }) => state === 'connected').length === 2")
    assert len(complaints) == met


def test_a_module_in_the_page_leaves_the_locks(
    site: Site, topic: str, context: BrowserContext, complaints: Complaints
) -> None:
    """It has no address that a worker could be loaded from."""
    script = f'<script type="module">{bundle.script()}</script>'
    check(site, topic, context, shared_page(site, topic, script=script), 1)
    assert context.pages[0].evaluate(LEADERS) == [1, 1]
    assert complaints == []


def test_a_browser_without_shared_workers_leaves_the_locks(
    site: Site, topic: str, context: BrowserContext, complaints: Complaints
) -> None:
    """As some on phones are."""
    context.add_init_script(NO_WORKER)
    check(site, topic, context, shared_page(site, topic), 1)
    assert complaints == []


def test_an_insecure_context_has_the_worker(
    site: Site, topic: str, context: BrowserContext, complaints: Complaints
) -> None:
    """Plain http on a host that is not this one has no locks."""
    url = shared_page(site, topic).replace("127.0.0.1", "insecure.test")
    check(site, topic, context, url, 1)
    assert context.pages[0].evaluate("isSecureContext") is False
    assert complaints == []


@pytest.mark.parametrize("mode", ["auto", "worker", "locks"])
def test_where_nothing_works_each_tab_reads_for_itself(
    site: Site, topic: str, context: BrowserContext, complaints: Complaints, mode: str
) -> None:
    """It is as if it were not shared."""
    context.add_init_script(f"{NO_WORKER}; {NO_LOCKS};")
    check(site, topic, context, shared_page(site, topic, mode=mode), 2)
    assert complaints == []
    for page in context.pages:
        page.close()
    site.wait_for_streams(topic, 0)


def test_a_worker_that_does_not_answer_is_given_up(
    site: Site, topic: str, context: BrowserContext, complaints: Complaints
) -> None:
    """As one that another program at the same address would be."""
    context.add_init_script(
        """globalThis.SharedWorker = class extends EventTarget {
          port = new MessageChannel().port1;
        }"""
    )
    check(site, topic, context, shared_page(site, topic, hung_after=800), 1)
    assert context.pages[0].evaluate(LEADERS) == [1, 1]
    assert complaints == []


def test_profiles_share_nothing(site: Site, topic: str, open_context: OpenContext) -> None:
    """Two browsers, or a private window, are two."""
    url = shared_page(site, topic)
    for _ in range(2):
        open_tabs(open_context(), url, 1)
    site.wait_for_streams(topic, 2)
