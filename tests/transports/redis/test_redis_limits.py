"""How much is kept, how large a record may be, and what a server without room does."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit.config import Retention
from sse_kit.errors import EngineUnavailable, PayloadTooLarge, PublishFailed
from sse_kit.testing.suite import TOPICS, numbered, offsets
from sse_kit.transports.base import Gap, GapReason, HealthStatus, Position, Publication
from sse_kit.transports.log import TAIL_BATCH
from sse_kit.transports.presence import SupportsPresence
from sse_kit.transports.redis import RedisTransport
from sse_kit.transports.redis_entries import PAGE_BYTES, Pace, View
from tests.transports.redis.tools import ASYNCIO, WRITTEN, command, key, until
from tests.transports.tools import PATIENCE, numbers, publish, reading

if TYPE_CHECKING:
    from sse_kit.testing.engines import Reachable
    from sse_kit.testing.engines.plugin import OwnRedis
    from sse_kit.transports.base import Page

pytestmark = pytest.mark.anyio


def keeping(engine: Reachable, namespace: str, **bounds: float | None) -> RedisTransport:
    """Return a transport that keeps so much; what is not named has no bound."""
    every = {"max_records": None, "max_bytes": None, "max_age": None}
    retention = Retention.model_validate({**every, **bounds})
    return RedisTransport(engine.url, namespace=namespace, retention=retention)


async def check_trimmed(engine: Reachable, namespace: str) -> None:
    """Assert that a reader behind the kept part is told, and that nothing else is missing."""
    async with keeping(engine, namespace, max_records=5) as transport:
        epoch = (await publish(transport, range(1, 13)))[0].epoch
        async with reading(transport, Position(epoch, 2)) as tail:
            assert await tail.gap() == Gap(GapReason.TRIMMED, Position(epoch, 7), 5)
            assert await numbers(tail, 5) == [8, 9, 10, 11, 12]


async def test_the_number_of_records_is_bounded(redis_engine: Reachable, namespace: str) -> None:
    """The newest are kept, exactly so many; who is behind them is told how many it missed."""
    await check_trimmed(redis_engine, namespace)
    assert command(redis_engine, "XLEN", key(namespace, "log")) == "5"


@ASYNCIO
async def test_the_check_tells_a_reader_that_trusts_xread(
    redis_engine: Reachable, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XREAD from what was trimmed hands out the next entry that is kept, without a word."""
    page_of = View.page

    def naive(view: View, after: int) -> Page:
        page = page_of(view, after)
        return replace(page, bounds=replace(page.bounds, first=1))

    monkeypatch.setattr(View, "page", naive)
    with pytest.raises(AssertionError):
        await check_trimmed(redis_engine, namespace)


async def test_the_size_is_bounded(redis_engine: Reachable, namespace: str) -> None:
    """By bytes of topics and payload; the newest record stays, however large it is."""
    async with keeping(redis_engine, namespace, max_bytes=100) as transport:
        for _ in range(12):
            await transport.publish(Publication(("1234",), bytes(16)))
        assert (await transport.bounds()).first == 8
        await transport.publish(Publication(("1234",), bytes(500)))
        bounds = await transport.bounds()
        assert (bounds.first, bounds.last) == (13, 13)
        await publish(transport, range(2))
        assert (await transport.bounds()).first == 14


async def test_a_batch_is_trimmed_as_one_record_is(redis_engine: Reachable, namespace: str) -> None:
    """What is larger than the whole log leaves its end."""
    async with keeping(redis_engine, namespace, max_bytes=30, max_records=3) as transport:
        batch = [numbered(number, key=f"{namespace}{number}") for number in range(20)]
        published = await transport.append(batch)
        page = await transport.read(0, limit=100)
    assert [answer.position.offset for answer in published] == list(range(1, 21))
    assert offsets(page.records) == [19, 20]


async def test_the_age_is_bounded(redis_engine: Reachable, namespace: str) -> None:
    """With the next publication, or as a whole when there is none; offsets go on."""
    async with keeping(redis_engine, namespace, max_age=0.2) as transport:
        await publish(transport, range(3))
        await until(lambda: command(redis_engine, "EXISTS", key(namespace, "log")) == "0")
        bounds = await transport.bounds()
        assert (bounds.first, bounds.last) == (4, 3)
        assert (await publish(transport, [3]))[0].offset == 4
        command(redis_engine, "PERSIST", key(namespace, "log"))
        await until(lambda: older_than(redis_engine, namespace, 0.2))
        await publish(transport, [4])
        page = await transport.read(0, limit=10)
        assert offsets(page.records) == [5]


async def test_after_the_age_of_all_it_begins_at_what_is_kept(
    redis_engine: Reachable, namespace: str
) -> None:
    """Whoever comes from another log is told once, and reads what was published since."""
    async with keeping(redis_engine, namespace, max_age=1.0) as transport:
        await publish(transport, range(1, 11))
        await until(lambda: command(redis_engine, "EXISTS", key(namespace, "log")) == "0")
        epoch = (await publish(transport, [11]))[0].epoch
        async with reading(transport, Position("other", 3)) as tail:
            assert await tail.gap() == Gap(GapReason.EPOCH, Position(epoch, 10))
            assert await numbers(tail, 1) == [11]


def older_than(engine: Reachable, namespace: str, seconds: float) -> bool:
    code = (
        "local at = redis.call('XRANGE', KEYS[1], '-', '+')[1][2][4] "
        "local now = redis.call('TIME') "
        "return now[1] * 1000 + math.floor(now[2] / 1000) - at"
    )
    return int(command(engine, "EVAL", code, "1", key(namespace, "log"))) > 1_000 * seconds


async def test_without_an_age_the_log_does_not_expire(
    redis_engine: Reachable, namespace: str
) -> None:
    """A bound that was taken away again is gone with the next publication."""
    async with keeping(redis_engine, namespace, max_age=60.0) as transport:
        await publish(transport, [1])
        assert command(redis_engine, "TTL", key(namespace, "log")) != "-1"
    async with keeping(redis_engine, namespace) as transport:
        await publish(transport, [2])
        assert command(redis_engine, "TTL", key(namespace, "log")) == "-1"


async def test_keys_are_remembered_for_the_window(redis_engine: Reachable, namespace: str) -> None:
    """After it the same key is another publication."""
    url = redis_engine.url
    async with RedisTransport(
        url, namespace=namespace, dedup_window=1.1, publish_timeout=1.0
    ) as transport:
        await transport.publish(numbered(1, key="k"))
        await until(lambda: command(redis_engine, "EXISTS", key(namespace, "k:k")) == "0")
        again = await transport.publish(numbered(1, key="k"))
    assert not again.duplicate


@pytest.mark.parametrize("size", [0, 1, 100_000])
async def test_a_payload_up_to_the_limit_is_taken(
    redis_engine: Reachable, namespace: str, size: int
) -> None:
    """From nothing at all to exactly ``max_payload``; one more is refused before it is sent."""
    url = redis_engine.url
    async with RedisTransport(url, namespace=namespace, max_payload=100_000) as transport:
        await transport.publish(Publication(TOPICS, bytes(size)))
        with pytest.raises(PayloadTooLarge):
            await transport.publish(Publication(TOPICS, bytes(100_001)))
        page = await transport.read(0, limit=10)
    assert [record.payload for record in page.records] == [bytes(size)]


async def test_a_page_is_bounded_by_bytes(redis_engine: Reachable, namespace: str) -> None:
    """Many large records are not asked for at once: the server would hold all of the answer."""
    async with RedisTransport(redis_engine.url, namespace=namespace) as transport:
        for number in range(24):
            await transport.publish(Publication(TOPICS, b"%d " % number + bytes(PAGE_BYTES // 4)))
    async with RedisTransport(redis_engine.url, namespace=namespace) as transport:
        read: list[int] = []
        while len(read) < 24:
            page = await transport.read(len(read), limit=100)
            assert len(page.records) <= 4
            read += [int(record.payload.partition(b" ")[0]) for record in page.records]
    assert read == list(range(24))


def ask(pace: Pace, sizes: list[int]) -> None:
    """Have entries of these sizes answered at once."""
    with pace.asking() as entries:
        entries += [(b"1-0", [b"payload", bytes(size)]) for size in sizes]


def fail(pace: Pace) -> None:
    with suppress(TimeoutError), pace.asking():
        raise TimeoutError


def test_only_full_answers_make_larger_ones() -> None:
    """A question for one entry comes back quickly on any network, and tells nothing of it."""
    pace = Pace(patience=PATIENCE)
    ask(pace, [1] * pace.most(TAIL_BATCH))
    before = pace.most(TAIL_BATCH)
    for _ in range(8):
        fail(pace)
        ask(pace, [])
    assert (before, pace.most(TAIL_BATCH)) == (32, 1)
    ask(pace, [1])
    assert pace.most(TAIL_BATCH) == 2
    for _ in range(10):
        ask(pace, [1] * pace.most(TAIL_BATCH))
        ask(pace, [1] * pace.most(1))
    assert pace.most(1_000) == TAIL_BATCH


def test_an_answer_is_about_as_large_as_it_may_be() -> None:
    """By the mean of all records, or of those that came last: by the larger one."""
    pace = Pace(patience=PATIENCE)
    ask(pace, [PAGE_BYTES // 2] * 3)
    assert pace.most(TAIL_BATCH) == 2
    ask(pace, [1])
    assert pace.most(TAIL_BATCH) > 2
    pace.mean = PAGE_BYTES / 5
    assert pace.most(TAIL_BATCH) == 5
    ask(pace, [2 * PAGE_BYTES])
    assert pace.most(TAIL_BATCH) == 1


@ASYNCIO
async def test_the_servers_limit_is_that_of_a_word(own_redis: OwnRedis, namespace: str) -> None:
    """It takes a payload of its limit, and cuts the connection at one byte more."""
    limit = 1024 * 1024
    engine = own_redis(config={"proto-max-bulk-len": str(limit + 1)})
    async with RedisTransport(
        engine.url, namespace=namespace, max_payload=limit + 1, publish_timeout=1.5
    ) as transport:
        await transport.publish(Publication(TOPICS, bytes(limit + 1)))
        engine.command("CONFIG", "SET", "proto-max-bulk-len", str(limit))
        with pytest.raises(PublishFailed):
            await transport.publish(Publication(TOPICS, bytes(limit + 1)))
        await transport.publish(Publication(TOPICS, bytes(limit)))


@ASYNCIO
async def test_a_full_server_fails_a_publish_and_goes_on_afterwards(
    own_redis: OwnRedis, namespace: str
) -> None:
    """Nothing of it is stored, reading works, and health told it before."""
    engine = own_redis()
    async with RedisTransport(engine.url, publish_timeout=1.5, namespace=namespace) as transport:
        await publish(transport, [1])
        engine.command("CONFIG", "SET", "maxmemory", "1mb")
        assert "raise maxmemory" in (await transport.health()).detail
        with pytest.raises(PublishFailed, match=r"OOM.*raise maxmemory"):
            await publish(transport, [2])
        assert len((await transport.read(0, limit=10)).records) == 1
        engine.command("CONFIG", "SET", "maxmemory", "0")
        assert (await publish(transport, [3]))[0].offset == 2


@ASYNCIO
@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_policy_that_evicts_is_a_warning(own_redis: OwnRedis, policy: str) -> None:
    """Whatever it evicts: the log, or the keys by which publications are stored once."""
    engine = own_redis(config={"maxmemory": "100mb", "maxmemory-policy": policy})
    async with RedisTransport(engine.url) as transport:
        health = await transport.health()
    assert health.status is HealthStatus.DEGRADED
    assert (
        f"maxmemory-policy {policy} may delete the log or its keys: set noeviction" in health.detail
    )


@ASYNCIO
async def test_a_server_that_saves_nothing_is_a_warning(own_redis: OwnRedis) -> None:
    """Without the append-only file; with it, and without bounds, all is well."""
    async with RedisTransport(own_redis(persistence="rdb").url) as transport:
        assert "set appendonly yes" in (await transport.health()).detail
    async with RedisTransport(own_redis().url) as transport:
        assert (await transport.health()).status is HealthStatus.OK


async def test_namespaces_do_not_see_each_other(redis_engine: Reachable, namespace: str) -> None:
    """Not their records, not their keys, also where one name begins with the other."""
    names = (namespace, f"{namespace}-k", f"{namespace}-")
    for name in names:
        async with RedisTransport(redis_engine.url, namespace=name) as transport:
            first = await transport.publish(numbered(1, key="k"))
            assert (first.position.offset, first.duplicate) == (1, False)


async def test_a_node_dies_and_the_server_too(own_redis: OwnRedis, namespace: str) -> None:
    """Leases last over a restart, by the server's clock; what is no node is swept away."""
    engine = own_redis(config=WRITTEN)
    async with RedisTransport(engine.url, namespace=namespace) as transport:
        assert isinstance(transport, SupportsPresence)
        await transport.beat("lives", {"user": 1}, lease=60.0)
        await transport.beat("dies", {"user": 2}, lease=0.3)
        engine.command("HSET", key(namespace, "nodes"), "stranger", "x")
        assert set(await transport.nodes()) == {"lives", "dies"}
        engine.kill()
        engine.start()
        living = {"dies": {"user": 2}}
        with anyio.fail_after(PATIENCE):
            while "dies" in living:
                with suppress(EngineUnavailable):  # its connections are broken
                    living = await transport.nodes()
        assert living == {"lives": {"user": 1}}
    assert engine.command("HLEN", key(namespace, "nodes")) == "1"
