"""The README's pages in a real browser, as they stand, and as somebody hostile uses them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.flavours import stand_in
from tests.browser.site import serve
from tests.browser.watch import wait
from tests.test_readme import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import BrowserContext

    from tests.browser.conftest import Complaints
    from tests.browser.watch import OpenPage

HTMX_4 = (
    ("lifespan=registry.lifespan)", "lifespan=registry.lifespan, htmx4=True)"),
    ("cursor=registry.position())", "cursor=registry.position(), htmx=4)"),
    ('"board", "none")', '"board", "none", htmx=4)'),
)
"""What the README says of htmx 4."""

HOSTILE = (
    "<script>window.owned = 1</script>",
    "</li><img src=x onerror='window.owned = 1'>",
    "<b hx-swap-oob='innerHTML:body'>gone</b>",
    "<b hx-get='/' hx-trigger='load' hx-target='body'>gone</b>",
    "\u2028--></script><script>window.owned = 1</script>",
)


@pytest.fixture
def context(context: BrowserContext) -> BrowserContext:
    stand_in(context)
    return context


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, Any]]]:
    """Serve the app of the block that has a text in it; returns its names, and its ``url``."""
    monkeypatch.chdir(tmp_path)  # FastHTML writes its session key into the working directory
    with ExitStack() as stack:

        def started(text: str, changes: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
            [code] = [block.text for block in blocks("python") if text in block.text]
            for old, new in changes:
                assert code.count(old) == 1
                code = code.replace(old, new)
            names: dict[str, Any] = {"__name__": "readme"}
            exec(code, names)  # noqa: S102
            names["url"] = stack.enter_context(serve(names["app"]))
            stack.callback(names["registry"].close)
            return names

        yield started


def test_the_page_of_the_readme_shows_what_its_script_reads(
    run: Callable[..., dict[str, Any]], open_page: OpenPage, complaints: Complaints
) -> None:
    """The app and the script are those that stand there; the status is at connected."""
    app = run("StreamConfig(")
    page = open_page(app["url"])
    expect(page.get_by_role("status")).to_have_text("Connected")
    expect(page.locator("#news li")).to_have_text(["first"])
    [script] = [block.text for block in blocks("js") if "sseKit" in block.text]
    page.evaluate(f"() => {{ window.show = (news) => (window.shown = news);\n{script} }}")
    wait(page, "[...sseKit.channels].every(({ state }) => state === 'connected')")
    app["registry"].publish_from_thread("news", {"title": HOSTILE[0]}, event="news")
    wait(page, "window.shown")
    assert page.evaluate("shown") == {"title": HOSTILE[0]}
    assert complaints == []


@pytest.mark.parametrize("changes", [(), HTMX_4], ids=["htmx 2", "htmx 4"])
def test_the_chat_of_the_readme_shows_what_users_wrote_as_text(
    run: Callable[..., dict[str, Any]],
    open_page: OpenPage,
    complaints: Complaints,
    changes: tuple[tuple[str, str], ...],
) -> None:
    """And its board the numbers, in both places; nothing that somebody hostile wrote acts."""
    app = run("create_sse_element", changes)
    page = open_page(app["url"])
    expect(page.get_by_role("status")).to_have_text("Connected")
    wait(page, "[...sseKit.channels].filter(({ state }) => state === 'connected').length === 2")
    for text in HOSTILE:
        assert page.request.post(f"{app['url']}/say", form={"text": text}).ok
    expect(page.locator("#chat li")).to_have_text(["Welcome", *HOSTILE])
    expect(page.locator("#online")).to_have_text("7")
    expect(page.locator("#sent")).to_have_text("9")
    assert page.evaluate("window.owned") is None
    assert complaints == []
