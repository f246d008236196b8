"""How long a ``send`` may take, by a clock that the test sets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import trio
import trio.testing

from sse_kit import CloseReason
from sse_kit.shutdown import GRACE
from tests.writing import (
    LONG,
    Client,
    at_once,
    bare,
    has,
    held,
    is_asyncio,
    opened,
    publish,
    serving,
    settle,
)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock the test puts forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


CLOCKS: dict[str, Any] = {
    "asyncio": ("asyncio", {"loop_factory": JumpingLoop}),
    "trio": ("trio", {"clock": trio.testing.MockClock()}),
}

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", CLOCKS.values(), ids=CLOCKS),
]


async def jump(seconds: float) -> None:
    """Put the clock forward, and let happen what is due."""
    if is_asyncio():
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        loop.ahead += seconds
    else:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        clock.jump(seconds)
    await settle()


async def is_over(client: Client) -> bool:
    """Tell whether its request has ended, by this time of the clock."""
    await settle()
    return client.returned


@pytest.mark.parametrize("before", [0, 1, 2], ids=["start", "opening", "event"])
async def test_a_send_that_takes_too_long_ends_its_stream(before: int) -> None:
    """At its time and not before; the others are not touched."""
    async with opened(send_timeout=10.0, heartbeat=LONG) as (registry, ends):
        other, client = Client(bare(registry)), Client(bare(registry), *[at_once] * before, held)
        async with serving(other, client, patience=LONG):
            await publish(registry, "0")
            await settle()
            await jump(9)
            assert not await is_over(client)
            await jump(2)
            assert await is_over(client)
            assert client.failure is None
            assert ends.reasons == [CloseReason.SEND_TIMEOUT]
            await publish(registry, "1")
            await has(other, "0", "1")


async def test_each_send_has_a_time_of_its_own() -> None:
    """What the ones before it took is not counted, nor is the silence between them."""
    async with opened(send_timeout=10.0, heartbeat=LONG) as (registry, ends):
        client = Client(bare(registry), *[held] * 4)
        async with serving(client, patience=LONG):
            for sends in range(1, 5):
                await publish(registry, f"{sends}")
                await settle()
                assert client.sends == sends
                await jump(6)
                client.release()
                await settle()
            await has(client, "1", "2", "3", "4")
            await jump(100)
            await publish(registry, "5")
            await has(client, "1", "2", "3", "4", "5")
            assert ends.reasons == []


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("close", CloseReason.CLOSED),
        ("drain", CloseReason.DRAINED),
        ("stop", CloseReason.SERVER_STOP),
    ],
)
async def test_a_stream_that_is_over_is_given_up_soon(end: str, reason: CloseReason) -> None:
    """A write that waits then, and the ones after it, have one time together."""
    async with opened(send_timeout=100.0, heartbeat=LONG) as (registry, ends):
        client = Client(bare(registry), at_once, at_once, held, held)
        async with serving(client, patience=LONG):
            await publish(registry, "0")
            await settle()
            if end == "close":
                registry.get_connections()[0].close()
            elif end == "drain":
                await registry.drain(timeout=0)
            else:
                registry.close()
            await settle()
            await jump(GRACE * 0.6)
            assert not await is_over(client)
            client.release()
            await settle()
            assert client.events[:1] == ["0"]
            assert client.sends == 4
            assert not client.complete
            await jump(GRACE * 0.6)
            assert await is_over(client)
            assert not client.complete
            assert ends.reasons == [reason]


async def test_what_is_being_sent_when_its_stream_ends_is_given_up_soon() -> None:
    """It had much more time before."""
    async with opened(send_timeout=100.0, heartbeat=LONG) as (registry, ends):
        client = Client(bare(registry), at_once, at_once, held)
        async with serving(client, patience=LONG):
            await publish(registry, "0")
            await settle()
            registry.get_connections()[0].close()
            await settle()
            await jump(GRACE + 0.1)
            assert await is_over(client)
            assert client.failure is None
            assert ends.reasons == [CloseReason.CLOSED]


async def test_what_is_being_sent_to_a_client_that_left_is_given_up_at_once() -> None:
    """There is nobody to wait for."""
    async with opened(send_timeout=100.0, heartbeat=LONG) as (registry, ends):
        client = Client(bare(registry), at_once, at_once, held)
        async with serving(client, patience=LONG):
            await publish(registry, "0")
            await settle()
            client.leave()
            assert await is_over(client)
            assert ends.reasons == [CloseReason.CLIENT_LEFT]


async def test_a_last_write_that_waits_when_the_client_is_said_to_leave_is_given_up_soon() -> None:
    """It is not cancelled at once: see hypercorn."""
    async with opened(send_timeout=100.0, heartbeat=LONG) as (registry, _):
        client = Client(bare(registry), at_once, at_once, held)
        async with serving(client, patience=LONG):
            await registry.drain(timeout=0)
            await settle()
            client.leave()
            await settle()
            assert not await is_over(client)
            await jump(GRACE + 0.1)
            assert await is_over(client)
            assert client.failure is None
