"""Two processes of the demo over one transport, in a real browser."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

import pytest
from playwright.sync_api import expect

from tests.demo.process import DemoProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Page

    from sse_kit.testing.engines import Reachable

Start: TypeAlias = "Callable[..., DemoProcess]"


def messages(page: Page) -> list[str]:
    return page.locator("#messages [data-part=text]").all_inner_texts()


def write(page: Page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.get_by_role("button", name="Send").click()


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'demo.db'}"
    engine: Reachable = request.getfixturevalue("redis_engine")
    return engine.url


@pytest.fixture
def start(url: str, namespace: str, tmp_path: Path) -> Iterator[Start]:
    """Return what starts a process of the demo, on a port that is asked for or a free one."""
    options = ("--transport", url, "--namespace", namespace)
    with ExitStack() as stack:
        yield lambda port=0: stack.enter_context(DemoProcess(tmp_path, port=port, options=options))


def test_a_message_typed_on_one_appears_on_the_other(start: Start, context: BrowserContext) -> None:
    """Both ways, live, and on a page of the other process that is opened afterwards."""
    one, two = start(), start()
    first, second = context.new_page(), context.new_page()
    for page, demo in ((first, one), (second, two)):
        page.goto(demo.url)
        expect(page.get_by_role("status")).to_have_text("Connected")
    write(first, "from the first")
    expect(second.get_by_text("from the first")).to_be_visible()
    write(second, "from the second")
    expect(first.get_by_text("from the second")).to_be_visible()
    late = context.new_page()
    late.goto(two.url)
    assert sorted(messages(late)) == ["from the first", "from the second"]


def test_a_process_that_was_killed_comes_back_with_the_messages(
    start: Start, context: BrowserContext
) -> None:
    """Its open page shows what was written meanwhile elsewhere, and nothing twice."""
    one, two = start(), start()
    page = context.new_page()
    page.goto(one.url)
    expect(page.get_by_role("status")).to_have_text("Connected")
    assert one.post("before").status_code == 204
    expect(page.get_by_text("before", exact=True)).to_be_visible()
    one.kill()
    assert two.post("meanwhile").status_code == 204
    start(one.port)
    expect(page.get_by_text("meanwhile", exact=True)).to_be_visible()
    assert sorted(messages(page)) == ["before", "meanwhile"]
