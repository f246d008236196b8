"""Other programs in our keys: nothing of ours is lost or doubled, and what they did is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit import ConnectionRegistry
from sse_kit.codec import load_payload
from sse_kit.config import Retention
from sse_kit.errors import EngineRefused, MalformedPayload
from sse_kit.testing.engines.plugin import VARIANTS
from sse_kit.testing.suite import numbered
from sse_kit.transports import redis
from sse_kit.transports.base import Gap, GapReason, Position
from sse_kit.transports.redis import RedisTransport
from tests.transports.redis.tools import ASYNCIO, command, key, mutant, until
from tests.transports.tools import numbers, publish, reading

if TYPE_CHECKING:
    from sse_kit.testing.engines import Reachable

pytestmark = pytest.mark.anyio

WRITTEN = {
    "an id of the clock": [("*", "a", "b")],
    "the next id": [("4-0", "payload", '{"v":1,"data":"x"}')],
    "an id in between": [("3-7", "a", "b")],
    "several": [("4-0", "a", "b"), ("5-3", "a", "b"), ("*", "a", "b")],
}


async def check_written(
    engine: Reachable, namespace: str, entries: list[tuple[str, ...]], patience: float = 10.0
) -> None:
    """Assert that strangers' entries have offsets and reach nobody, and that ours all arrive."""
    log = key(namespace, "log")
    with anyio.fail_after(patience):
        async with (
            RedisTransport(engine.url, namespace=namespace) as transport,
            RedisTransport(engine.url, namespace=namespace) as other,
            reading(other) as tail,
        ):
            await publish(transport, range(1, 4))
            for id_, *fields in entries:
                command(engine, "XADD", log, id_, *fields)
            after = await publish(transport, range(10, 13))
            assert await numbers(tail, 3) == [1, 2, 3]
            strange = [await tail.record() for _ in entries]
            assert await numbers(tail, 3) == [10, 11, 12]
            page = await other.read(0, limit=100)
    assert [record.position.offset for record in strange] == [4 + n for n in range(len(entries))]
    assert [position.offset for position in after] == [4 + len(entries) + n for n in range(3)]
    assert [record.position.offset for record in page.records] == list(
        range(1, page.bounds.last + 1)
    )
    for record in strange:
        with pytest.raises(MalformedPayload):
            load_payload(record.payload)


@pytest.mark.parametrize("redis_engine", VARIANTS["redis"], indirect=True)
@pytest.mark.parametrize("entries", WRITTEN.values(), ids=WRITTEN)
async def test_what_others_write_takes_an_offset_and_reaches_nobody(
    redis_engine: Reachable, namespace: str, entries: list[tuple[str, ...]]
) -> None:
    """Whatever id it has, later publications go on behind it."""
    await check_written(redis_engine, namespace, entries)


@ASYNCIO
@pytest.mark.parametrize("entries", WRITTEN.values(), ids=WRITTEN)
async def test_the_check_tells_a_script_that_trusts_the_stream(
    redis_engine: Reachable,
    namespace: str,
    entries: list[tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without looking behind the last record, publishing fails for ever, or readers stop."""
    blind = mutant(("'COUNT', 1) > 0 then", "'COUNT', 1) > 1 then"), ("equal or smaller", "-"))
    monkeypatch.setattr(redis, "PUBLISH", blind)
    with pytest.raises(TimeoutError):
        await check_written(redis_engine, namespace, entries, patience=0.4)


@pytest.mark.parametrize("redis_engine", VARIANTS["redis"], indirect=True)
async def test_an_entry_that_came_and_went_leaves_no_trace(
    redis_engine: Reachable, namespace: str
) -> None:
    """A stream remembers the largest id it ever had, so the log moves to a new one."""
    log = key(namespace, "log")
    async with RedisTransport(redis_engine.url, namespace=namespace) as transport:
        first = await publish(transport, range(1, 4))
        command(redis_engine, "XDEL", log, command(redis_engine, "XADD", log, "*", "a", "b"))
        await publish(transport, range(4, 7))
        async with reading(transport, Position(first[0].epoch, 0)) as tail:
            assert await numbers(tail, 6) == list(range(1, 7))


async def test_the_registry_counts_what_is_no_message(
    redis_engine: Reachable, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, however often it happens."""
    log = key(namespace, "log")
    async with ConnectionRegistry(
        RedisTransport(redis_engine.url, namespace=namespace)
    ) as registry:
        for _ in range(2):
            command(redis_engine, "XADD", log, "*", "a", "b")
            await registry.publish("t", "ours")
        await until(lambda: registry.get_stats()["hub"]["malformed"] == 2)
    assert caplog.text.count("malformed record") == 1


async def test_what_others_delete_is_a_gap(redis_engine: Reachable, namespace: str) -> None:
    """A hole in the middle, at the end, and the whole stream: each is told with its size."""
    log = key(namespace, "log")
    async with RedisTransport(redis_engine.url, namespace=namespace) as transport:
        epoch = (await publish(transport, range(1, 11)))[0].epoch
        command(redis_engine, "XDEL", log, "4-0", "5-0", "10-0")
        async with reading(transport, Position(epoch, 0)) as tail:
            assert await numbers(tail, 3) == [1, 2, 3]
            assert await tail.gap() == Gap(GapReason.TRIMMED, Position(epoch, 5), 2)
            assert await numbers(tail, 4) == [6, 7, 8, 9]
            assert await tail.gap() == Gap(GapReason.TRIMMED, Position(epoch, 10), 1)
            command(redis_engine, "DEL", log)
            await publish(transport, [11])
            assert await numbers(tail, 1) == [11]
        async with reading(transport, Position(epoch, 7)) as tail:
            assert await tail.gap() == Gap(GapReason.TRIMMED, Position(epoch, 10), 3)
            assert await numbers(tail, 1) == [11]


@pytest.mark.parametrize(
    "retention", [Retention(), Retention(max_records=100, max_bytes=None)], ids=str
)
async def test_a_log_begins_behind_what_others_deleted_at_its_head(
    redis_engine: Reachable, namespace: str, retention: Retention
) -> None:
    """From the next publication on, whatever bounds it."""
    async with RedisTransport(
        redis_engine.url, namespace=namespace, retention=retention
    ) as transport:
        epoch = (await publish(transport, range(1, 6)))[0].epoch
        command(redis_engine, "XDEL", key(namespace, "log"), "1-0", "2-0")
        await publish(transport, [6])
        assert (await transport.bounds()).first == 3
        found = await transport.locate(Position("other", 3))
    assert found == Gap(GapReason.EPOCH, Position(epoch, 2))


async def test_a_log_without_its_memory_begins_anew(
    redis_engine: Reachable, namespace: str
) -> None:
    """Where the epoch was deleted nobody can tell what the stream was: a new log, told by a gap."""
    async with RedisTransport(redis_engine.url, namespace=namespace) as transport:
        old = await publish(transport, range(1, 4))
        command(redis_engine, "DEL", key(namespace, "meta"))
        again = await publish(transport, range(4, 6))
        async with reading(transport, old[-1]) as tail:
            assert await tail.gap() == Gap(GapReason.EPOCH, Position(again[0].epoch, 0))
            assert await numbers(tail, 2) == [4, 5]


async def test_a_key_of_a_log_that_is_gone_is_no_duplicate(
    redis_engine: Reachable, namespace: str
) -> None:
    """What was stored in a log that was deleted is stored again in the next one."""
    async with RedisTransport(redis_engine.url, namespace=namespace) as transport:
        await transport.publish(numbered(1, key="k"))
        command(redis_engine, "DEL", key(namespace, "meta"), key(namespace, "log"))
        again = await transport.publish(numbered(1, key="k"))
        assert not again.duplicate
        assert (await transport.publish(numbered(1, key="k"))).duplicate


@pytest.mark.parametrize("name", ["log", "meta"])
async def test_a_key_of_another_kind_is_refused(
    redis_engine: Reachable, namespace: str, name: str
) -> None:
    """Entering says so; it is not taken away from whoever has it."""
    command(redis_engine, "SET", key(namespace, name), "theirs")
    with pytest.raises(EngineRefused, match=r"wrong kind of value.*choose another namespace"):
        async with RedisTransport(redis_engine.url, namespace=namespace):
            pytest.fail("it was refused")
    assert command(redis_engine, "GET", key(namespace, name)) == "theirs"
