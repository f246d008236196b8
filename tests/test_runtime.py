"""The running parts of a registry, seen from outside their event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import anyio
import pytest
import trio

from sse_kit import MemoryTransport
from sse_kit.config import RegistrySettings
from sse_kit.errors import EngineRefused, EngineUnavailable, RegistryNotRunning, WrongThread
from sse_kit.leases import Leases
from sse_kit.runtime import Runtime, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_kit.transports.base import Bounds


def parts() -> Leases:
    return Leases(recheck=60, max_lifetime=None)


async def run_to_the_end() -> Runtime:
    async with running(MemoryTransport(), RegistrySettings(), parts()) as runtime:
        return runtime


ENDED = {"asyncio": lambda: asyncio.run(run_to_the_end()), "trio": lambda: trio.run(run_to_the_end)}


@pytest.mark.parametrize("end", ENDED.values(), ids=ENDED)
def test_nothing_is_called_in_an_event_loop_that_is_over(end: Callable[[], Runtime]) -> None:
    """To say so would help nobody: there is nothing left to be called for."""
    called: list[str] = []
    end().call_soon(lambda: called.append("late"))
    assert called == []


@pytest.mark.parametrize("end", ENDED.values(), ids=ENDED)
def test_an_event_loop_that_is_over_runs_nothing(end: Callable[[], Runtime]) -> None:
    """Whoever waits for an answer is told, by the name of the call."""
    runtime = end()
    # From another thread: this one's question would be refused for being this one's.
    with pytest.raises(RegistryNotRunning, match=r"work\(\) needs a running registry"):
        asyncio.run(_in_a_thread(lambda: runtime.run_from_thread("work()", run_to_the_end)))


async def _in_a_thread(call: Callable[[], object]) -> None:
    await anyio.to_thread.run_sync(call)


@pytest.mark.anyio
async def test_the_event_loops_own_thread_cannot_wait_for_itself() -> None:
    """It is told what to do instead."""
    async with running(MemoryTransport(), RegistrySettings(), parts()) as runtime:
        with pytest.raises(WrongThread, match="await the method"):
            runtime.run_from_thread("work()", run_to_the_end)


@pytest.mark.anyio
async def test_an_error_of_the_body_leaves_as_it_is() -> None:
    """Though there are tasks around it."""
    error = ValueError()
    with pytest.raises(ValueError) as caught:  # noqa: PT011  it is compared
        async with running(MemoryTransport(), RegistrySettings(), parts()):
            raise error
    assert caught.value is error


class Outage(MemoryTransport):
    """Cannot be read at first, though it was entered."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    async def bounds(self) -> Bounds:
        if self.errors:
            raise self.errors.pop(0)
        return await super().bounds()


@pytest.mark.anyio
async def test_an_outage_right_after_entering_delays_the_start() -> None:
    """As one in entering does: the engine was waited for, so it is waited for again."""
    transport = Outage(*[EngineUnavailable("engine", "no answer")] * 3)
    with anyio.fail_after(5):
        async with running(transport, RegistrySettings(), parts()) as runtime:
            assert runtime.hub.position == (await transport.bounds()).end


@pytest.mark.anyio
async def test_what_waiting_does_not_mend_ends_the_start() -> None:
    """At once, and as it is."""
    refused = EngineRefused("engine", "you may not read", "let this user read")
    with pytest.raises(EngineRefused) as caught:
        async with running(Outage(refused), RegistrySettings(), parts()):
            pytest.fail("it was refused")
    assert caught.value is refused
