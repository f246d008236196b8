"""What the tests of several engines share: publishing, reading, trouble meanwhile."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from sse_kit.testing.suite import END, TOPICS, TailReader, numbered, offsets
from sse_kit.transports.base import Publication, Record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

    from sse_kit.transports.base import Position, Transport

PATIENCE = 10.0


async def publish(transport: Transport, numbers: Iterable[int]) -> list[Position]:
    """Publish numbers one after the other; their positions."""
    publications = (Publication(TOPICS, b"%d" % number) for number in numbers)
    return [(await transport.publish(one)).position for one in publications]


@asynccontextmanager
async def reading(
    transport: Transport, after: Position | None = None
) -> AsyncGenerator[TailReader]:
    async with transport.tail(after) as stream:
        yield TailReader(stream, PATIENCE)


async def records(reader: TailReader, count: int) -> list[Record]:
    """Read so many records."""
    return [await reader.record() for _ in range(count)]


async def numbers(reader: TailReader, count: int) -> list[int]:
    """Read so many records; their numbers."""
    return [int(record.payload) for record in await records(reader, count)]


async def check_once(
    transport: Transport,
    trouble: Callable[[], Awaitable[None]],
    times: int,
    *,
    rest: Callable[[TailReader], Awaitable[list[Record]]] = TailReader.until,
) -> None:
    """Assert that what is published while ``trouble`` comes is stored, and read, once, in order.

    ``rest`` reads up to the end, if that takes more than records.
    """

    async def make_trouble() -> None:
        for _ in range(times):
            await trouble()
            await transport.publish(numbered(0, key="the same"))

    async with reading(transport) as tail:
        async with anyio.create_task_group() as tasks:
            for first in range(1, 17):
                tasks.start_soon(publish, transport, range(first, 401, 16))
            tasks.start_soon(make_trouble)
        await transport.publish(Publication(TOPICS, END))
        stored = await rest(tail)
    assert sorted(int(record.payload) for record in stored) == list(range(401))
    assert offsets(stored) == list(range(1, 402))
