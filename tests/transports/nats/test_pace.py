"""Large records over slow networks, and many readers of them: what is asked of NATS at once."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sse_kit.errors import TransportError
from sse_kit.testing import FaultProxy
from sse_kit.testing.suite import TOPICS
from sse_kit.transports import nats_pace
from sse_kit.transports.base import Position, Publication
from sse_kit.transports.nats import NatsTransport
from sse_kit.transports.nats_link import Link
from sse_kit.transports.nats_pace import FIRST, LEAST, MOST, TOGETHER, Pace
from tests.transports.tools import PATIENCE, reading

if TYPE_CHECKING:
    from sse_kit.testing.engines import Reachable
    from sse_kit.transports.nats_client import Answer

pytestmark = pytest.mark.anyio

COUNT = 30
DELAY = 0.04
"""Seconds for each 64 KiB: what a pace begins with takes longer than an answer may."""


async def store(transport: NatsTransport, size: int) -> str:
    """Publish ``COUNT`` records of ``size`` bytes; their epoch."""
    for number in range(COUNT):
        await transport.publish(Publication(TOPICS, b"%03d" % number + bytes(size)))
    return (await transport.bounds()).epoch


async def read_all(transport: NatsTransport) -> list[int]:
    """Read page by page, whatever fails."""
    read: list[int] = []
    while len(read) < COUNT:
        with suppress(TransportError):
            page = await transport.read(len(read), limit=100)
            read += [int(record.payload[:3]) for record in page.records]
    return read


async def check_slow(proxy: FaultProxy, namespace: str, patience: float) -> None:
    """Assert that large records come over a network that cannot carry all of them in time."""
    async with NatsTransport(proxy.url, namespace=namespace, request_timeout=0.5) as transport:
        epoch = await store(transport, 60_000)
        proxy.delay(DELAY)
        with anyio.fail_after(patience):
            assert await read_all(transport) == list(range(COUNT))
            async with reading(transport, Position(epoch, 0)) as tail:
                offsets = [(await tail.record()).position.offset for _ in range(COUNT)]
    assert offsets == list(range(1, COUNT + 1))


async def test_large_records_come_over_a_slow_network(
    nats_engine: Reachable, namespace: str
) -> None:
    """A page without an answer in time is asked for again with fewer bytes."""
    with FaultProxy(nats_engine.url) as proxy:
        await check_slow(proxy, namespace, patience=60.0)


async def test_the_check_tells_pages_of_one_size(
    nats_engine: Reachable, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes too long once takes too long for ever."""
    monkeypatch.setattr(nats_pace, "LEAST", FIRST)
    with FaultProxy(nats_engine.url) as proxy, pytest.raises(TimeoutError):
        await check_slow(proxy, namespace, patience=3.0)


async def test_many_readers_ask_for_no_more_than_a_server_holds(
    nats_engine: Reachable, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some wait for their turn; all of them come to the end."""
    asked: list[int] = []
    under_way: list[int] = []
    get = Link.get

    async def counted(link: Link, stream: str, **query: Any) -> list[Answer]:
        under_way.append(query["max_bytes"])
        asked.append(sum(under_way))
        try:
            return await get(link, stream, **query)
        finally:
            under_way.remove(query["max_bytes"])

    monkeypatch.setattr(Link, "get", counted)
    async with NatsTransport(nats_engine.url, namespace=namespace) as transport:
        await store(transport, 500_000)
        asked.clear()
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for _ in range(16):
                    tasks.start_soon(read_all, transport)
    assert FIRST < max(asked) <= TOGETHER


async def test_a_pace_goes_up_as_far_as_it_may() -> None:
    """By answers that are full and quick, and by no others."""
    pace = Pace(PATIENCE, largest=FIRST)
    sizes: list[int] = []
    for got in (0, FIRST // 4, FIRST, MOST, MOST, MOST):
        async with pace.asking() as read:
            sizes.append(read.size)
            read.got = got
    assert sizes == [FIRST, FIRST, FIRST, 2 * FIRST, MOST, MOST]


async def test_a_pace_goes_down_once_for_all_that_were_slow() -> None:
    """Those who asked together for too much tell the same; at least one record is asked for."""
    pace = Pace(0.0, largest=FIRST)

    async def fail() -> None:
        with suppress(TimeoutError):
            async with pace.asking():
                await anyio.wait_all_tasks_blocked()
                raise TimeoutError

    sizes: list[int] = []
    for _ in range(6):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail)
            tasks.start_soon(fail)
        async with pace.asking() as read:
            sizes.append(read.size)
    assert sizes == [FIRST // 4, FIRST // 16, FIRST // 64, LEAST, LEAST, LEAST]
