"""Waking those who wait, again and again."""

from __future__ import annotations

import asyncio

import anyio
import pytest
import trio

from sse_kit.wakeup import Wakeup


@pytest.mark.anyio
async def test_everyone_who_waits_is_woken() -> None:
    """And whoever waits later waits for the next time."""
    wakeup = Wakeup()
    woken: list[str] = []

    async def wait(name: str) -> None:
        await wakeup.wait()
        woken.append(name)

    async with anyio.create_task_group() as tasks:
        wakeup.wake()
        tasks.start_soon(wait, "one")
        tasks.start_soon(wait, "two")
        await anyio.wait_all_tasks_blocked()
        assert woken == []
        wakeup.wake()
        tasks.start_soon(wait, "late")
        await anyio.wait_all_tasks_blocked()
        assert sorted(woken) == ["one", "two"]
        wakeup.wake()
    assert woken[-1] == "late"


@pytest.mark.anyio
async def test_one_who_is_cancelled_takes_nobodys_wake_up() -> None:
    """Those who wait beside it are woken all the same."""
    wakeup = Wakeup()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wakeup.wait)
            await anyio.wait_all_tasks_blocked()
            with anyio.move_on_after(0):
                await wakeup.wait()
            wakeup.wake()


def test_it_belongs_to_no_event_loop_while_nobody_waits() -> None:
    """Made outside of any, used in one after the other."""
    wakeup = Wakeup()
    wakeup.wake()

    async def use() -> None:
        with anyio.move_on_after(0):
            await wakeup.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wakeup.wait)
            await anyio.wait_all_tasks_blocked()
            wakeup.wake()

    asyncio.run(use())
    trio.run(use)
    asyncio.run(use())
