"""First steps whose task is cancelled: before the hand ran, after it, by a timeout, by itself."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from tests.stepping import Broken, Steps, begin, over, some_hands
from tests.writing import ASYNCIO

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ASYNCIO.values(), ids=ASYNCIO),
]


@pytest.mark.parametrize("before", [0, 1], ids=["a parked hand", "a new hand"])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_a_cancellation_reaches_the_coroutine_where_it_waits(before: int, turns: int) -> None:
    """Before the hand ran as well as after it: in the same task, inside its cancel scopes."""
    log: list[object] = []
    tasks: list[object] = []
    async with some_hands() as hands:
        await checkpoint()

        async def wait() -> None:
            tasks.append(asyncio.current_task())
            try:
                with anyio.fail_after(3600):
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                log.append("cancelled")
                tasks.append(asyncio.current_task())
                raise

        given = begin(hands, *(wait() for _ in range(before + 1)))
        for _ in range(turns):
            await checkpoint()
        for hand in given:
            hand.task.cancel()
        await over(*given)
        assert log == ["cancelled"] * (before + 1)
        assert tasks == [*(hand.task for hand in given)] * 2
        assert all(hand.task.cancelled() for hand in given)


@pytest.mark.parametrize("before", [0, 1], ids=["a parked hand", "a new hand"])
@pytest.mark.parametrize("turns", [0, 3])
async def test_a_cancellation_cancels_what_the_coroutine_waits_for(before: int, turns: int) -> None:
    """As that of any task does: a task that it has started is not left behind."""
    children: list[asyncio.Task[None]] = []
    async with some_hands() as hands:
        await checkpoint()

        async def wait() -> None:
            children.append(asyncio.create_task(anyio.sleep(3600)))
            await children[-1]

        given = begin(hands, *(wait() for _ in range(before + 1)))
        for _ in range(turns):
            await checkpoint()
        for hand in given:
            hand.task.cancel()
        await over(*given)
        assert all(hand.task.cancelled() for hand in given)
        assert all(child.cancelled() for child in children)


@pytest.mark.parametrize("turns", [0, 1, 3])
async def test_a_cancellation_that_is_caught_is_not_the_end(turns: int) -> None:
    """The coroutine goes on, and so does whoever finishes it."""
    log: list[str] = []
    async with some_hands() as hands:
        await checkpoint()

        async def stubborn() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                log.append("cancelled")
            await checkpoint()
            log.append("went on")

        [hand] = begin(hands, stubborn())
        for _ in range(turns):
            await checkpoint()
        hand.task.cancel()
        await over(hand)
        assert log == ["cancelled", "went on"]
        assert not hand.task.cancelled()


async def test_a_step_that_cancels_its_task_is_cancelled_where_it_suspends() -> None:
    """As any task is."""
    log: list[str] = []
    async with some_hands() as hands:
        await checkpoint()

        async def suicidal() -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            log.append("not yet")
            await asyncio.Event().wait()

        given = begin(hands, suicidal(), suicidal())
        await over(*given)
        assert log == ["not yet"] * 2
        assert all(hand.task.cancelled() for hand in given)


async def test_a_hand_whose_task_a_step_has_cancelled_is_not_used_again() -> None:
    """The next stage has another, which goes on undisturbed."""

    async def cancel() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    steps = Steps()
    async with some_hands() as hands:
        await checkpoint()
        for turns in (0, 3):
            begin(hands, cancel())
            for _ in range(turns):
                await checkpoint()
            [hand] = begin(hands, steps.run(2))
            await over(hand)
            assert not hand.task.cancelled()
    assert steps.log == ["begun", "step 0", "step 1", "done"] * 2


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("seconds", [0.001, 0])
async def test_a_timeout_of_asyncio_fires_at_the_right_task(seconds: float, before: int) -> None:
    """It raises out of the coroutine that has set it, and the others go on."""
    await a_timeout_fires(lambda: asyncio.timeout(seconds), before)


@pytest.mark.parametrize("before", [0, 1, 2])
@pytest.mark.parametrize("seconds", [0.001, 0])
async def test_a_timeout_of_anyio_fires_at_the_right_task(seconds: float, before: int) -> None:
    """It raises out of the coroutine that has set it, and the others go on."""

    @asynccontextmanager
    async def limit() -> AsyncGenerator[None, None]:
        with anyio.fail_after(seconds):
            yield

    await a_timeout_fires(limit, before)


async def a_timeout_fires(limit: Callable[[], Any], before: int) -> None:
    release = asyncio.Event()

    async def wait() -> None:
        await release.wait()

    async def timed() -> None:
        task = asyncio.current_task()
        assert task is not None
        with pytest.raises(TimeoutError):
            async with limit():
                await asyncio.Event().wait()
        assert task is asyncio.current_task()
        assert task.cancelling() == 0
        await checkpoint()
        raise Broken

    async with some_hands() as hands:
        await checkpoint()
        *others, last = begin(hands, *(wait() for _ in range(before)), timed())
        await over(last)
        assert isinstance(last.task.exception(), Broken)
        assert not any(hand.task.done() for hand in others)
        release.set()
        if others:
            await over(*others)
        assert all(hand.task.exception() is None for hand in others)
