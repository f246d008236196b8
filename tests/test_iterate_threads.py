"""A stream of a sync iterable, which runs in a thread of its own."""

from __future__ import annotations

import contextvars
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sse_kit.iterate import AHEAD, THREAD
from tests.feeding import PATIENCE, NoMore, fed, read, session_of

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = pytest.mark.anyio


async def test_a_sync_generator_lives_in_one_thread_of_its_own() -> None:
    """So a ``sqlite3`` connection works in it, from the first value to ``finally``."""
    threads: list[threading.Thread] = []

    def rows() -> Iterator[int]:
        with closing(sqlite3.connect(":memory:")) as database:
            for number in range(2 * AHEAD):
                threads.append(threading.current_thread())
                yield database.execute("select ?", (number,)).fetchone()[0]
            threads.append(threading.current_thread())

    async with fed(rows()) as session:
        await read(session)
    assert len(threads) == 2 * AHEAD + 1
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()


async def test_more_sync_streams_than_worker_threads_run_at_once() -> None:
    """They use up no thread of the pool that the app's own routes need."""
    count = 60
    together = threading.Barrier(count)

    def meeting() -> Iterator[str]:
        together.wait(PATIENCE)
        yield "met"

    sessions = [session_of(meeting()) for _ in range(count)]
    with anyio.fail_after(2 * PATIENCE):
        async with anyio.create_task_group() as tasks:
            for session in sessions:
                tasks.start_soon(session.feed)
    assert [session.take() for session in sessions] == [b"data: met\n\n"] * count


async def test_a_sync_generator_sees_the_context_of_its_stream() -> None:
    """Context variables are copied into its thread."""
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user")
    user.set("ada")

    def greeting() -> Iterator[str]:
        yield user.get()

    async with fed(greeting()) as session:
        assert await read(session) == b"data: ada\n\n"


async def test_a_sync_generator_is_closed() -> None:
    """Its ``finally`` runs when the stream is over."""
    closed = threading.Event()

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    async with fed(endless()) as session:
        await session.wait()
    assert closed.wait(PATIENCE)


async def test_a_sync_generator_that_blocks_holds_nobody_up() -> None:
    """The stream is over at once; the ``finally`` runs when the call returns."""
    blocked, released, closed = threading.Event(), threading.Event(), threading.Event()

    def blocking() -> Iterator[str]:
        try:
            blocked.set()
            released.wait(PATIENCE)
            yield "too late"
        finally:
            closed.set()

    async with fed(blocking()):
        while not blocked.is_set():
            await checkpoint()
    assert not closed.is_set()
    released.set()
    assert closed.wait(PATIENCE)


async def test_what_a_sync_generator_raises_leaves_the_feed() -> None:
    """Unwrapped, after the values before it."""

    def failing() -> Iterator[int]:
        yield 1
        raise NoMore

    session = session_of(failing())
    with pytest.raises(NoMore):
        await session.feed()
    assert session.take() == b"data: 1\n\n"


async def test_a_sync_generator_s_thread_ends_with_it() -> None:
    """After the last value, and after an early leave."""
    async with fed(["x"]) as session:
        await read(session)
    async with fed(iter(range(10 * AHEAD))) as session:
        await session.wait()
    threads = [each for each in threading.enumerate() if each.name == THREAD]
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
