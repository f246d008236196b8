"""A stream of an iterator's values: what comes out, at whose pace, and how it is left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sse_kit import SSEMessage
from sse_kit.errors import InvalidMessage
from sse_kit.iterate import AHEAD
from sse_kit.states import CloseReason
from tests.feeding import PATIENCE, NoMore, fed, read, session_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sse_kit.iterate import Content

pytestmark = pytest.mark.anyio


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


# What comes out ---------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, AHEAD, 3 * AHEAD])
async def test_all_values_come_in_order(count: int) -> None:
    """However many there are; then the session has finished."""
    async with fed(numbers(count)) as session:
        assert await read(session) == b"".join(b"data: %d\n\n" % each for each in range(count))
        assert session.reason is CloseReason.FINISHED


@pytest.mark.parametrize("kind", [list, tuple, iter, dict.fromkeys])
async def test_a_sync_iterable_is_content_too(kind: Callable[[list[object]], Content]) -> None:
    """A list, a tuple, an iterator, the keys of a dict."""
    async with fed(kind([1, "two"])) as session:
        assert await read(session) == b"data: 1\n\ndata: two\n\n"


async def test_a_message_keeps_its_fields() -> None:
    """An iterator's stream has ids of its own if it likes: there is no log to assign them."""
    async with fed([SSEMessage("x", event="token", id="7")]) as session:
        assert await read(session) == b"id: 7\nevent: token\ndata: x\n\n"


async def test_the_close_event_follows_the_end_of_the_content() -> None:
    """So that a page closes its EventSource instead of running the content again."""
    async with fed(numbers(1)) as session:
        await read(session)
        assert session.farewell() == b"event: close\ndata: \n\n"


@pytest.mark.parametrize("reason", sorted(set(CloseReason) - {CloseReason.FINISHED}))
async def test_a_stream_that_was_cut_short_has_no_close_event(reason: CloseReason) -> None:
    """Its client shall come back."""
    session = session_of(())
    session.end(reason)
    assert session.farewell() == b""


async def test_without_a_close_event_nothing_follows() -> None:
    """The farewell is empty."""
    session = session_of((), close_event=None)
    session.end(CloseReason.FINISHED)
    assert session.farewell() == b""


async def test_the_opening_is_a_jittered_reconnection_time() -> None:
    """Between one and one and a half of what was asked."""
    opening = session_of(()).opening()
    assert opening.startswith(b"retry: ")
    assert 2000 <= int(opening.split()[1]) <= 3000


# At whose pace ----------------------------------------------------------------------------------


async def test_the_content_waits_for_a_client_that_does_not_read() -> None:
    """It may be ahead by some messages, no more."""
    asked: list[int] = []

    async def endless() -> AsyncIterator[int]:
        while True:
            asked.append(len(asked))
            yield asked[-1]

    async with fed(endless()) as session:
        await anyio.wait_all_tasks_blocked()
        assert len(asked) == AHEAD
        session.take()
        await anyio.wait_all_tasks_blocked()
        assert len(asked) == 2 * AHEAD


async def test_waiting_takes_nothing() -> None:
    """A wait that was cancelled has lost no value."""
    async with fed(numbers(2)) as session:
        await session.wait()
        with anyio.move_on_after(0):
            await session.wait()
        assert session.take() == b"data: 0\n\ndata: 1\n\n"


# An async generator -----------------------------------------------------------------------------


async def test_an_async_generator_runs_in_one_task() -> None:
    """First value, last value and ``finally``: so its cancel scopes work (F12)."""
    tasks: list[int] = []

    async def noting() -> AsyncIterator[int]:
        try:
            for number in range(2 * AHEAD):
                tasks.append(anyio.get_current_task().id)
                yield number
        finally:
            tasks.append(anyio.get_current_task().id)

    async with fed(noting()) as session:
        await read(session)
    assert len(tasks) == 2 * AHEAD + 1
    assert len(set(tasks)) == 1


async def test_a_timeout_inside_a_generator_works() -> None:
    """Also one that stays open across a ``yield``: nobody else steps or closes it."""

    async def impatient() -> AsyncIterator[str]:
        with anyio.move_on_after(0.01) as scope:
            yield "before"
            await anyio.sleep_forever()
        yield f"timed out: {scope.cancelled_caught}"

    async with fed(impatient()) as session:
        assert await read(session) == b"data: before\n\ndata: timed out: True\n\n"


async def test_a_task_group_inside_a_generator_works() -> None:
    """Its children are cancelled with it."""
    cancelled = anyio.Event()

    async def child() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    async def parent() -> AsyncIterator[str]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child)
            yield "value"
            await anyio.sleep_forever()

    async with fed(parent()) as session:
        await session.wait()
    assert cancelled.is_set()


async def test_a_generator_that_awaits_is_cancelled() -> None:
    """Its ``finally`` runs, once."""
    closed: list[str] = []

    async def waiting() -> AsyncIterator[str]:
        try:
            yield "value"
            await anyio.sleep_forever()
        finally:
            closed.append("finally")

    async with fed(waiting()) as session:
        await session.wait()
        await anyio.wait_all_tasks_blocked()
    assert closed == ["finally"]


async def test_a_generator_at_a_yield_may_await_in_its_finally() -> None:
    """It is closed, not cancelled, and that is shielded."""
    closed: list[str] = []

    async def ahead() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            await checkpoint()
            closed.append("finally")

    async with fed(ahead()):
        await anyio.wait_all_tasks_blocked()
    assert closed == ["finally"]


async def test_what_a_generator_raises_leaves_the_feed() -> None:
    """Unwrapped, after the values before it; the session has not finished."""

    async def failing() -> AsyncIterator[int]:
        yield 1
        raise NoMore

    session = session_of(failing())
    with pytest.raises(NoMore):
        await session.feed()
    assert session.take() == b"data: 1\n\n"
    assert session.reason is None


async def test_a_value_that_is_no_message_closes_the_generator() -> None:
    """It is refused where it appears, and the ``finally`` runs."""
    closed: list[str] = []

    async def wrong() -> AsyncIterator[bytes]:
        try:
            yield b"bytes"
        finally:
            closed.append("finally")

    with pytest.raises(InvalidMessage, match="bytes"):
        await session_of(wrong()).feed()
    assert closed == ["finally"]


async def test_asyncio_s_own_timeout_works_inside_a_generator(anyio_backend_name: str) -> None:
    """``asyncio.timeout`` cancels the task that it was entered in."""
    if anyio_backend_name != "asyncio":
        return

    async def impatient() -> AsyncIterator[str]:
        try:
            async with asyncio.timeout(0.01):
                yield "before"
                await asyncio.sleep(PATIENCE)
        except TimeoutError:
            yield "timed out"

    async with fed(impatient()) as session:
        assert await read(session) == b"data: before\n\ndata: timed out\n\n"


async def test_an_async_iterator_without_aclose_is_left_alone() -> None:
    """Not every iterator is a generator."""

    class Endless:
        def __aiter__(self) -> Endless:
            return self

        async def __anext__(self) -> int:
            await checkpoint()
            return 1

    async with fed(Endless()) as session:
        await session.wait()
    assert session.take()


# Ending it --------------------------------------------------------------------------------------


async def test_the_first_end_counts() -> None:
    """Reason and error are what was said first."""
    session = session_of(())
    session.end(CloseReason.ERROR, error="first")
    session.end(CloseReason.CLIENT_LEFT)
    assert (session.reason, session.error) == (CloseReason.ERROR, "first")


async def test_an_end_wakes_who_waits() -> None:
    """The writer sees that it is over."""
    session = session_of(())
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.wait)
            await anyio.wait_all_tasks_blocked()
            session.end(CloseReason.SERVER_STOP)


@pytest.mark.parametrize("told_before", [True, False])
async def test_being_cut_short_is_told(told_before: bool) -> None:  # noqa: FBT001
    """Whoever asks later is told at once."""
    told: list[str] = []
    session = session_of(())
    if told_before:
        session.end(CloseReason.SERVER_STOP)
    session.on_end(lambda: told.append("told"))
    session.end(CloseReason.SERVER_STOP)
    assert told == ["told"]


async def test_coming_to_the_end_is_not_being_cut_short() -> None:
    """What is queued is still written at the client's pace."""
    told: list[str] = []
    session = session_of(())
    session.on_end(lambda: told.append("told"))
    session.end(CloseReason.FINISHED)
    assert told == []
