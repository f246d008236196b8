"""The README's first app does what the README says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sse_kit.testing import ASGIProbe
from tests.test_readme import blocks

if TYPE_CHECKING:
    from pathlib import Path

    from fasthtml.core import FastHTML

pytestmark = pytest.mark.anyio


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastHTML:
    """Return the app of the first block."""
    monkeypatch.chdir(tmp_path)  # FastHTML writes its session key into the working directory
    names: dict[str, Any] = {"__name__": "hello"}
    exec(blocks("python")[0].text, names)  # noqa: S102
    found: FastHTML = names["app"]
    return found


async def test_a_greeting_reaches_an_open_page(app: FastHTML) -> None:
    """What one tab opens shows up in the other."""
    async with ASGIProbe(app) as probe, probe.get("/events") as page:
        await page.next_block()
        async with probe.get("/hello/world") as greeting:
            await greeting.read_until_end()
            assert b".1" in greeting.raw
        event = await page.next_event()
        assert (event.data, event.event) == ("Hello, world! ", None)


async def test_a_page_that_comes_back_gets_what_it_missed(app: FastHTML) -> None:
    """It saw nothing before it left; the first id of the stream is enough."""
    async with ASGIProbe(app) as probe:
        async with probe.get("/events") as page:
            await page.next_block()
            await page.next_block()
        async with probe.get("/hello/again") as greeting:
            await greeting.read_until_end()
        async with page.reconnect() as page:
            event = await page.next_event()
            assert event.data == "Hello, again! "


def test_it_takes_twelve_lines() -> None:
    """Decorators and imports not counted twice: the first block stays that short."""
    lines = [line for line in blocks("python")[0].text.splitlines() if line.strip()]
    assert len(lines) <= 14
