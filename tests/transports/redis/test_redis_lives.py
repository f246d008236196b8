"""A server that comes back, or another one in its place: what is lost is told, the rest is not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

import pytest

from sse_kit.testing.suite import numbered
from sse_kit.transports import redis
from sse_kit.transports.base import Gap, GapReason, Position, Rebase
from sse_kit.transports.redis import RedisTransport
from sse_kit.transports.redis_entries import following
from tests.transports.redis.tools import ASYNCIO, WRITTEN, blocked, mutant, until
from tests.transports.tools import numbers, publish, reading

if TYPE_CHECKING:
    from sse_kit.testing.engines import RedisEngine
    from sse_kit.testing.engines.plugin import OwnRedis
    from sse_kit.testing.engines.redis import RedisVariant
    from sse_kit.transports.base import Record
    from sse_kit.transports.redis_connections import Script
    from sse_kit.transports.redis_entries import Entry

pytestmark = pytest.mark.anyio

LIFE = "string.match(info, 'run_id:(%w+)') .. ':' .. string.match(info, 'master_replid:(%w+)')"
NO_LIVES = mutant((LIFE, "'the only one'"))
ONLY_RESTARTS = mutant((LIFE, "string.match(info, 'run_id:(%w+)')"))

Lose: TypeAlias = Callable[["OwnRedis", str], Awaitable[tuple["RedisEngine", list[Position]]]]
"""Publishes 15 records, loses the last 5; returns the server that is left, and their positions."""


async def by_an_older_copy(
    own_redis: OwnRedis, namespace: str
) -> tuple[RedisEngine, list[Position]]:
    engine = own_redis(persistence="rdb")
    async with RedisTransport(engine.url, namespace=namespace) as transport:
        positions = await publish(transport, range(1, 11))
        copy = engine.snapshot()
        positions += await publish(transport, range(11, 16))
    engine.kill()
    engine.restore(copy)
    engine.start()
    return engine, positions


async def by_a_stale_replica(
    own_redis: OwnRedis, namespace: str
) -> tuple[RedisEngine, list[Position]]:
    primary = own_redis()
    replica = own_redis(replica_of=primary)
    async with RedisTransport(primary.url, namespace=namespace) as transport:
        positions = await publish(transport, range(1, 11))
        await until(lambda: primary.command("WAIT", "1", "1000") == "1")
        replica.promote()
        positions += await publish(transport, range(11, 16))
    primary.kill()
    return replica, positions


async def by_going_back(own_redis: OwnRedis, namespace: str) -> tuple[RedisEngine, list[Position]]:
    """Let the primary follow a promoted replica and take over again: for it that is one life."""
    primary = own_redis()
    replica = own_redis(replica_of=primary)
    async with RedisTransport(primary.url, namespace=namespace) as transport:
        positions = await publish(transport, range(1, 11))
        await until(lambda: primary.command("WAIT", "1", "1000") == "1")
        replica.promote()
        positions += await publish(transport, range(11, 16))
    primary.command("REPLICAOF", "127.0.0.1", str(replica.port))
    await until(lambda: "master_link_status:up" in primary.command("INFO", "replication"))
    primary.promote()
    replica.kill()
    return primary, positions


async def check_told(engine: RedisEngine, old: list[Position], namespace: str) -> None:
    """Assert that whoever had the lost records is told, and that nobody else is."""
    async with RedisTransport(engine.url, namespace=namespace) as transport:
        new = await publish(transport, range(100, 108))
        assert [position.offset for position in new] == list(range(11, 19))
        async with reading(transport, old[14]) as ahead, reading(transport, old[9]) as inside:
            assert await ahead.gap() == Gap(GapReason.AHEAD, Position(new[0].epoch, 10))
            assert await numbers(ahead, 8) == list(range(100, 108))
            assert await inside.next() == Rebase(old[9].epoch, new[0].epoch, 10)
            assert await numbers(inside, 8) == list(range(100, 108))
        assert await transport.locate(old[7]) == Position(new[0].epoch, 8)


@ASYNCIO
@pytest.mark.parametrize("lose", [by_an_older_copy, by_a_stale_replica, by_going_back])
async def test_a_lost_tail_is_told(own_redis: OwnRedis, namespace: str, lose: Lose) -> None:
    """Offsets that were told before are of another epoch, and who saw them resumes at the fork."""
    engine, old = await lose(own_redis, namespace)
    await check_told(engine, old, namespace)


@ASYNCIO
@pytest.mark.parametrize(
    ("lose", "script"),
    [
        (by_an_older_copy, NO_LIVES),
        (by_going_back, ONLY_RESTARTS),
    ],
)
async def test_the_check_tells_a_script_that_knows_no_lives(
    own_redis: OwnRedis,
    namespace: str,
    lose: Lose,
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without lives, or with restarts alone, numbers that were told are used again in silence."""
    monkeypatch.setattr(redis, "PUBLISH", script)
    engine, old = await lose(own_redis, namespace)
    with pytest.raises(AssertionError):
        await check_told(engine, old, namespace)


@pytest.mark.parametrize("variant", ["valkey", "redis"])
async def test_a_tail_lives_through_the_loss(
    own_redis: OwnRedis, namespace: str, variant: RedisVariant
) -> None:
    """One that stood beyond the fork is told once, also before anybody publishes."""
    engine = own_redis(variant, persistence="rdb")
    async with RedisTransport(engine.url, namespace=namespace) as transport:
        await publish(transport, range(1, 11))
        copy = engine.snapshot()
        old = await publish(transport, range(11, 16))
        async with reading(transport, old[-1]) as tail:
            await until(blocked(engine))
            engine.kill()
            engine.restore(copy)
            engine.start()
            assert await tail.gap() == Gap(GapReason.AHEAD, Position(old[0].epoch, 10))
            new = await publish(transport, range(100, 108))
            assert await tail.next() == Rebase(old[0].epoch, new[0].epoch, 10)
            assert await numbers(tail, 8) == list(range(100, 108))


async def test_a_restart_that_lost_nothing_is_no_gap(own_redis: OwnRedis, namespace: str) -> None:
    """The log goes on in a new epoch, the same history up to its end."""
    engine = own_redis(config=WRITTEN)
    async with RedisTransport(engine.url, namespace=namespace) as transport:
        old = await publish(transport, range(1, 6))
        async with reading(transport, old[2]) as tail:
            assert await numbers(tail, 2) == [4, 5]
            engine.kill()
            engine.start()
            new = await publish(transport, range(6, 9))
            assert await tail.next() == Rebase(old[0].epoch, new[0].epoch, 5)
            assert await numbers(tail, 3) == [6, 7, 8]
        assert await transport.locate(old[1]) == Position(new[0].epoch, 2)


@ASYNCIO
async def test_a_fork_lasts_over_the_lives_that_follow(own_redis: OwnRedis, namespace: str) -> None:
    """What an epoch has in common with the present one never grows again."""
    engine = own_redis(persistence="rdb")
    async with RedisTransport(engine.url, namespace=namespace) as transport:
        old = await publish(transport, range(1, 4))
        copy = engine.snapshot()
        old += await publish(transport, range(4, 6))
        engine.kill()
        engine.restore(copy)
        engine.start()
        middle = await publish(transport, range(10, 15))
        engine.restart()
        new = await publish(transport, range(20, 23))
        assert await transport.locate(middle[-1]) == Position(new[0].epoch, 8)
        assert await transport.locate(old[2]) == Position(new[0].epoch, 3)
        beyond = await transport.locate(old[4])
    assert beyond == Gap(GapReason.AHEAD, Position(new[0].epoch, 3))


@ASYNCIO
async def test_the_same_copy_twice_is_two_forks(own_redis: OwnRedis, namespace: str) -> None:
    """An epoch of a life that was lost with all its records is unknown, not taken for another."""
    engine = own_redis(persistence="rdb")
    async with RedisTransport(engine.url, namespace=namespace) as transport:
        await publish(transport, range(1, 4))
        copy = engine.snapshot()
        lives: list[list[Position]] = []
        for _ in range(2):
            engine.kill()
            engine.restore(copy)
            engine.start()
            lives.append(await publish(transport, range(10, 15)))
        found = await transport.locate(lives[0][0])
    assert lives[0][0].epoch != lives[1][0].epoch
    assert found == Gap(GapReason.EPOCH, Position(lives[1][0].epoch, 0))


async def check_wiped(engine: RedisEngine, namespace: str) -> None:
    """Assert that a tail notices a new log, although its first batch passes the tail's offset."""
    async with RedisTransport(engine.url, namespace=namespace) as transport:
        old = await publish(transport, range(1, 6))
        async with reading(transport, old[-1]) as tail:
            await until(blocked(engine))
            engine.command("FLUSHALL")
            batch = [numbered(number, key=f"k{number}") for number in range(100, 108)]
            published = await transport.append(batch)
            epoch = published[0].position.epoch
            assert await tail.gap() == Gap(GapReason.EPOCH, Position(epoch, 0))
            assert await numbers(tail, 8) == list(range(100, 108))


async def test_a_log_that_was_wiped_is_told(own_redis: OwnRedis, namespace: str) -> None:
    """FLUSHALL under a live tail is one gap, then the whole new log."""
    await check_wiped(own_redis(), namespace)


@ASYNCIO
async def test_the_check_tells_a_tail_that_looks_at_numbers_only(
    own_redis: OwnRedis, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XREAD hands out what is beyond the cursor, of whatever log."""

    def naive(after: Position, entries: list[Entry]) -> tuple[Record, ...]:
        any_epoch = [b"epoch", after.epoch.encode()]
        return following(after, [(id_, any_epoch + fields[2:]) for id_, fields in entries])

    monkeypatch.setattr(redis, "following", naive)
    with pytest.raises(AssertionError):
        await check_wiped(own_redis(), namespace)
