"""What a test reads of a page that ``probe.js`` is in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

PATIENCE = 30_000
"""Milliseconds for what must happen, on a busy machine."""

OpenPage: TypeAlias = "Callable[[str], Page]"


def wait(page: Page, condition: str) -> None:
    """Wait until an expression of the page is true.

    Not by ``wait_for_function``: that uses ``eval`` in the page, which a strict policy forbids.
    """
    wait_until(page, lambda: page.evaluate(f"Boolean({condition})"), condition)


def wait_until(page: Page, condition: Callable[[], object], name: str = "it") -> None:
    """Wait for what Playwright tells of a page: it does so while it is asked something."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not condition():
        assert time.monotonic() < deadline, f"did not come: {name}"
        page.wait_for_timeout(10)


def stop_clock(page: Page) -> None:
    """Let time pass for the page, and others of its profile, only when the test says so."""
    page.clock.install(time=0)
    page.clock.pause_at(1_000)


def states(page: Page) -> list[list[Any]]:
    """Return each state the page went through, with its phase and reason."""
    told: list[list[Any]] = page.evaluate("states.map((s) => [s.state, s.phase, s.reason])")
    return told


def wait_for(page: Page, state: str, reason: str) -> dict[str, Any]:
    """Wait for a state, and return the newest change that entered it."""
    found = f"states.findLast((s) => s.state === '{state}' && s.reason === '{reason}')"
    wait(page, found)
    change: dict[str, Any] = page.evaluate(found)
    return change


def connected(page: Page, times: int = 1) -> None:
    """Wait until the page was connected so often."""
    wait(page, f"states.filter(({{ state }}) => state === 'connected').length >= {times}")


def data(page: Page) -> list[str]:
    """Return the data of each message, but for gaps and goodbyes."""
    told: list[str] = page.evaluate(
        "messages.filter(({ type }) => !/^(gap|bye)$/.test(type)).map(({ data }) => data)"
    )
    return told
