"""First steps in the name of a hand, as the tests of hands take them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import anyio
from anyio.lowlevel import checkpoint

from sse_kit.hands import Hand, Hands, Suspended, first_step
from tests.writing import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from contextvars import Context


class Broken(Exception):
    pass


async def finish(suspended: Suspended) -> None:
    await suspended


@asynccontextmanager
async def some_hands() -> AsyncGenerator[Hands, None]:
    hands = Hands()
    try:
        yield hands
    finally:
        await hands.close()


def begin(
    hands: Hands, *awaitables: Awaitable[object], context: Context | None = None
) -> list[Hand]:
    """Take the first steps of all in one stage; return the hands of those that suspended."""
    given: list[Hand] = []
    with hands.stage() as stage:
        for awaitable in awaitables:
            suspended = first_step(context or copy_context(), awaitable)
            if suspended is not None:
                given.append(stage.hand_over(suspended, finish))
    return given


async def over(*hands: Hand) -> None:
    """Wait until they are done, however that was."""
    with anyio.fail_after(PATIENCE):
        await asyncio.wait([hand.task for hand in hands])


class Steps:
    """A coroutine that suspends so many times, and notes where it is, and as which task."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.tasks: list[asyncio.Task[Any] | None] = []

    def note(self, what: str) -> None:
        self.log.append(what)
        self.tasks.append(asyncio.current_task())

    async def run(self, times: int, *, wait: Callable[[], Awaitable[object]] = checkpoint) -> None:
        self.note("begun")
        for number in range(times):
            await wait()
            self.note(f"step {number}")
        self.note("done")
