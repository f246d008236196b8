"""The measurements: latency at a steady pace, publishes with many waiting, replay."""

from __future__ import annotations

import time
from statistics import quantiles
from typing import TYPE_CHECKING, Protocol

import anyio

from sse_kit.transports.base import Batch, Position, Publication, SupportsReplay, Transport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.streams.memory import MemoryObjectReceiveStream

    from sse_kit.transports.base import Feed

SIZE = 200
"""Bytes of each message."""

PACE = 200
"""Messages a second, for latencies."""

WAITING = 32
"""Publishes under way at once, for throughput."""

PAGE = 256


class Replaying(Transport, SupportsReplay, Protocol):
    """A transport with a history."""


TIMES = ("publish p50", "publish p99", "deliver p50", "deliver p99")
"""What :func:`latency` returns, in seconds from the call of publish."""


def middle_and_worst(samples: list[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile."""
    cuts = quantiles(samples, n=100)
    return cuts[49], cuts[98]


async def latency(transport: Transport, other: Transport, seconds: float) -> dict[str, float]:
    """Publish at an even pace, one at a time, and follow the log through the other transport."""
    count = round(seconds * PACE)
    sent: list[float] = []
    took: list[float] = []
    delivered: list[float] = []
    async with other.tail() as feeds, anyio.create_task_group() as tasks:
        tasks.start_soon(_receive, feeds, count, sent, delivered)
        start = time.perf_counter()
        for number in range(count):
            await anyio.sleep(max(start + number / PACE - time.perf_counter(), 0))
            sent.append(time.perf_counter())
            await transport.publish(Publication(("t",), bytes(SIZE)))
            took.append(time.perf_counter() - sent[-1])
    return dict(zip(TIMES, (*middle_and_worst(took), *middle_and_worst(delivered)), strict=True))


async def _receive(
    feeds: MemoryObjectReceiveStream[Feed], count: int, sent: list[float], delivered: list[float]
) -> None:
    while len(delivered) < count:
        feed = await feeds.receive()
        now = time.perf_counter()
        if isinstance(feed, Batch):
            delivered += [now - sent[len(delivered) + index] for index in range(len(feed.records))]


async def throughput(store: Callable[[bytes], Awaitable[object]], seconds: float) -> float:
    """Return stores a second with :data:`WAITING` of them waiting at any time."""
    done = 0
    end = time.perf_counter() + seconds

    async def publisher() -> None:
        nonlocal done
        data = bytes(SIZE)
        while time.perf_counter() < end:
            await store(data)
            done += 1

    start = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(WAITING):
            tasks.start_soon(publisher)
    return done / (time.perf_counter() - start)


async def replay(transport: Replaying, seconds: float) -> float:
    """Return records a second, read page by page from the first that is kept."""
    count = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        count += await _read_all(transport)
    return count / (time.perf_counter() - start)


async def _read_all(transport: Replaying) -> int:
    position: Position = (await transport.bounds()).start
    count = 0
    while records := (await transport.read(position.offset, limit=PAGE)).records:
        count += len(records)
        position = records[-1].position
    return count
