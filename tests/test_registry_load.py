"""Promise 3: publish never waits for a client, and a slow one costs bounded memory and nobody else.

Promise 1 holds for the slow one too: it gets everything once it reads again, or is told of one gap.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit import ConnectionRegistry, MemoryTransport, Retention
from tests.registry_tools import happens, probe, seen

if TYPE_CHECKING:
    from sse_kit.testing.asgi import ProbeStream

pytestmark = pytest.mark.anyio

MESSAGES = 2_000
LIVE = 4
QUEUE = 50
RING = 200
EVERYTHING = [f"{number}" for number in range(MESSAGES)]


def registry_that_keeps(records: int | None) -> ConnectionRegistry:
    transport = MemoryTransport(retention=Retention(max_records=records))
    return ConnectionRegistry(transport, queue_size=QUEUE, ring_size=RING, send_timeout=600)


async def read_all(stream: ProbeStream, into: list[str]) -> None:
    """Read until the last message."""
    while not into or into[-1] != EVERYTHING[-1]:
        event = await stream.next_event()
        into.append(event.data or "")


async def read_live(registry: ConnectionRegistry, into: list[str], ready: anyio.Event) -> None:
    async with probe(registry).get("/") as stream:
        ready.set()
        await read_all(stream, into)


async def publish_all(registry: ConnectionRegistry) -> None:
    """Publish, and look at what it costs."""
    for number in EVERYTHING:
        position = await registry.publish("news", number)
        await anyio.lowlevel.checkpoint()
        if position.offset % 10 == 0:
            for connection in registry.get_connections():
                assert connection.info().queued <= QUEUE + 1  # one gap fits over the limit
            assert registry.get_stats()["hub"]["ring_records"] <= RING
    await happens(lambda: registry.position().offset == MESSAGES)


@pytest.mark.parametrize("kept", [None, 100])
async def test_a_stalled_client_holds_up_nobody_and_misses_nothing_unsaid(
    kept: int | None,
) -> None:
    """From the history, all of it; where that is too short, one gap that counts right."""
    got: list[list[str]] = [[] for _ in range(LIVE)]
    late: list[str] = []
    async with registry_that_keeps(kept) as registry, probe(registry).get("/") as slow:
        async with anyio.create_task_group() as tasks:
            for mine in got:
                ready = anyio.Event()
                tasks.start_soon(read_live, registry, mine, ready)
                await ready.wait()
            slow.stall()
            await publish_all(registry)
        slow.resume()
        await read_all(slow, late)
    assert got == [EVERYTHING] * LIVE
    if kept is None:
        assert late == EVERYTHING
    else:
        gaps = [place for place, data in enumerate(late) if data.startswith("{")]
        assert len(gaps) == 1
        before, gap, after = late[: gaps[0]], json.loads(late[gaps[0]]), late[gaps[0] + 1 :]
        missed = MESSAGES - len(before) - len(after)
        assert gap == {"reason": "trimmed", "missed": missed}
        assert missed > 0
        assert [*before, *EVERYTHING[len(before) : len(before) + missed], *after] == EVERYTHING


async def test_publishing_goes_on_when_every_client_is_stalled() -> None:
    """There is nobody it waits for."""
    async with (
        registry_that_keeps(None) as registry,
        probe(registry).get("/") as one,
        probe(registry).get("/") as two,
    ):
        one.stall()
        two.stall()
        with anyio.fail_after(30):
            await publish_all(registry)
        two.resume()
        got: list[str] = []
        await read_all(two, got)
        assert got == EVERYTHING


async def test_what_waits_for_a_client_is_bounded_in_bytes() -> None:
    """Large messages fill its queue sooner; it still gets all of them."""
    async with ConnectionRegistry(queue_bytes=10_000, ring_bytes=20_000) as registry:
        connection = await registry.add_connection(topics=["news"])
        for number in range(100):
            await seen(registry, await registry.publish("news", f"{number} " + "x" * 1_000))
            assert connection.info().queued <= 9
            assert registry.get_stats()["hub"]["ring_bytes"] <= 20_000
        got = [(await anext(connection)).data or "" for _ in range(100)]
        assert [int(text.split()[0]) for text in got] == list(range(100))
