"""Servers that die, freeze and vanish behind a network: it takes time, and costs nothing."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

import anyio
import coredis
import pytest
from coredis.exceptions import RedisError
from coredis.retry import NoRetryPolicy

from sse_kit.errors import EngineUnavailable, TransportError
from sse_kit.testing import FaultProxy
from sse_kit.testing.suite import TOPICS, numbered
from sse_kit.transports import redis, redis_entries
from sse_kit.transports.base import HealthStatus, Publication
from sse_kit.transports.redis import RedisTransport
from sse_kit.transports.redis_connections import Line
from sse_kit.transports.redis_place import Place
from tests.transports.redis.tools import ASYNCIO, WRITTEN, blocked, mutant, rest, until
from tests.transports.tools import PATIENCE, check_once, numbers, publish, reading

if TYPE_CHECKING:
    from sse_kit.testing.engines import Reachable, RedisEngine
    from sse_kit.testing.engines.plugin import OwnRedis

pytestmark = pytest.mark.anyio

QUICK = 0.2
"""Seconds after which an answer counts as lost."""

IDLE = 1.0
"""Seconds that a tail waits in the server."""

NO_MEMORY = mutant(("local known = redis.call('GET', key)", "local known = false"))


async def test_kill_9_under_load_loses_nothing(own_redis: OwnRedis, namespace: str) -> None:
    """With ``appendfsync always``, what was answered is there afterwards, and once."""
    engine = own_redis(config=WRITTEN)

    async def kill() -> None:
        engine.kill()
        engine.start()

    async with RedisTransport(engine.url, namespace=namespace) as transport:
        await check_once(transport, kill, 3, rest=rest)


async def test_cut_connections_lose_and_double_nothing(
    redis_engine: Reachable, namespace: str
) -> None:
    """Whatever was under way on them is sent again, with the same keys."""
    with FaultProxy(redis_engine.url) as proxy:

        async def cut() -> None:
            proxy.cut()

        async with RedisTransport(proxy.url, namespace=namespace) as transport:
            await check_once(transport, cut, 10, rest=rest)


async def check_answer_lost(engine: RedisEngine, namespace: str) -> None:
    """Assert that what a frozen server executes when it thaws, and what was sent again, is once."""
    async with (
        RedisTransport(engine.url, namespace=namespace, request_timeout=QUICK) as transport,
        anyio.create_task_group() as tasks,
    ):
        engine.freeze()
        tasks.start_soon(transport.publish, numbered(7))
        for _ in range(3):
            assert (await transport.health()).status is HealthStatus.DOWN
        engine.thaw()
    async with RedisTransport(engine.url, namespace=namespace) as transport:
        page = await transport.read(0, limit=10)
    assert [record.payload for record in page.records] == [b"7"]


async def test_a_frozen_server_stores_once(own_redis: OwnRedis, namespace: str) -> None:
    """Each attempt waits in its socket and is executed; the key makes the later ones duplicates."""
    await check_answer_lost(own_redis(), namespace)


@ASYNCIO
async def test_the_check_tells_a_script_without_keys(
    own_redis: OwnRedis, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent again without a key it is stored twice."""
    monkeypatch.setattr(redis, "PUBLISH", NO_MEMORY)
    with pytest.raises(AssertionError):
        await check_answer_lost(own_redis(), namespace)


@ASYNCIO
async def test_the_client_of_coredis_stores_twice(own_redis: OwnRedis) -> None:
    """It sends a command again by itself, unless it is told not to: here nobody asked for that."""
    engine = own_redis()
    async with coredis.Redis(port=engine.port, stream_timeout=QUICK) as client:
        await client.ping()
        engine.freeze()
        with suppress(TimeoutError, RedisError):
            await client.xadd("naive", {"a": "b"})
        engine.thaw()
        await until(lambda: int(engine.command("XLEN", "naive")) > 1)


async def test_a_duplicate_is_told_where_it_was(redis_engine: Reachable, namespace: str) -> None:
    """Whose answer was lost publishes again with its key, to whichever process."""
    async with (
        RedisTransport(redis_engine.url, namespace=namespace) as transport,
        RedisTransport(redis_engine.url, namespace=namespace) as other,
    ):
        await publish(transport, range(3))
        first = await transport.publish(numbered(3, key="k"))
        await publish(transport, range(4, 6))
        again = await other.publish(numbered(3, key="k"))
    assert again.duplicate
    assert again.position == first.position


async def test_a_script_cache_may_be_flushed_at_any_moment(
    own_redis: OwnRedis, namespace: str
) -> None:
    """The script is sent again; it is still the same life, so the epoch stays."""
    engine = own_redis()

    async def flush() -> None:
        engine.command("SCRIPT", "FLUSH")

    async with RedisTransport(engine.url, namespace=namespace) as transport:
        epoch = (await transport.bounds()).epoch
        await check_once(transport, flush, 20, rest=rest)
        assert (await transport.bounds()).epoch == epoch


async def check_idle(engine: RedisEngine, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    """Assert that a tail waits in the server for longer than an answer may take, undisturbed."""
    async with (
        RedisTransport(engine.url, namespace=namespace, request_timeout=IDLE / 2) as transport,
        reading(transport) as tail,
    ):
        await until(blocked(engine))
        await until(blocked(engine, clients=0))
        await publish(transport, [7])
        assert await numbers(tail, 1) == [7]
    assert "fails" not in caplog.text


@ASYNCIO
async def test_an_idle_tail_is_no_outage(
    own_redis: OwnRedis,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """XREAD waits for longer than any other answer may take."""
    monkeypatch.setattr(redis, "BLOCK", IDLE)
    await check_idle(own_redis(), namespace, caplog)


@ASYNCIO
async def test_the_check_tells_one_timeout_for_all(
    own_redis: OwnRedis,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the timeout of other answers, waiting in vain counts as an outage."""
    monkeypatch.setattr(redis, "BLOCK", IDLE)
    monkeypatch.setattr(redis, "GRACE", -IDLE / 2)
    with pytest.raises(AssertionError):
        await check_idle(own_redis(), namespace, caplog)


async def check_slow(proxy: FaultProxy, namespace: str, patience: float) -> None:
    """Assert that large records come over a network that cannot carry all of them in time."""
    async with RedisTransport(proxy.url, namespace=namespace, request_timeout=0.25) as transport:
        for number in range(8):
            await transport.publish(Publication(TOPICS, b"%d" % number + bytes(200_000)))
        proxy.delay(0.02)
        read: list[int] = []
        with anyio.fail_after(patience):
            while len(read) < 8:
                with suppress(TransportError):
                    page = await transport.read(len(read), limit=100)
                    read += [int(record.payload[:1]) for record in page.records]
    assert read == list(range(8))


@ASYNCIO
async def test_large_records_come_over_a_slow_network(
    redis_engine: Reachable, namespace: str
) -> None:
    """A page without an answer in time is asked for again with fewer records."""
    with FaultProxy(redis_engine.url) as proxy:
        await check_slow(proxy, namespace, patience=40.0)


@ASYNCIO
async def test_the_check_tells_pages_of_one_size(
    redis_engine: Reachable, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes too long once takes too long for ever."""
    monkeypatch.setattr(redis_entries.Pace, "asking", lambda _: nullcontext([]))
    with FaultProxy(redis_engine.url) as proxy, pytest.raises(TimeoutError):
        await check_slow(proxy, namespace, patience=1.0)


@ASYNCIO
async def test_an_absent_server_is_an_error_or_is_waited_for(
    own_redis: OwnRedis, namespace: str
) -> None:
    """As ``connect_timeout`` says; the error names the address."""
    engine = own_redis()
    engine.kill()
    with pytest.raises(EngineUnavailable, match=str(engine.port)):
        async with RedisTransport(engine.url, namespace=namespace, connect_timeout=0):
            pytest.fail("there is no server")
    engine.start()
    with FaultProxy(engine.url) as proxy:
        proxy.refuse()
        entered = anyio.Event()

        async def enter() -> None:
            async with RedisTransport(proxy.url, namespace=namespace, connect_timeout=None):
                entered.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(enter)
            await anyio.wait_all_tasks_blocked()
            assert not entered.is_set()
            proxy.forward()
            with anyio.fail_after(10):
                await entered.wait()


async def test_given_up_connections_cost_no_place(own_redis: OwnRedis) -> None:
    """However long a server was frozen, the next request after it has a connection."""
    engine = own_redis()
    async with anyio.create_task_group() as tasks:
        place = Place.parse(engine.url)
        line = Line(tasks, place, address="here", timeout=0.05, beside=[])
        engine.freeze()
        for _ in range(10):
            with pytest.raises(TimeoutError):
                await line.ask(("PING",))
        engine.thaw()
        await until(lambda: engine.command("PING") == "PONG")
        answers: list[object] = []
        with anyio.fail_after(PATIENCE):
            while not answers:
                with suppress(TimeoutError):
                    answers = await line.ask(("PING",))
        assert answers == [b"PONG"]
        tasks.cancel_scope.cancel()


@ASYNCIO
async def test_the_pool_of_coredis_loses_places(own_redis: OwnRedis) -> None:
    """Why it is not used: after as many handshakes as it has places it gives no connection."""
    engine = own_redis()
    never = NoRetryPolicy()
    async with coredis.Redis(port=engine.port, max_connections=2, retry_policy=never) as client:
        engine.freeze()
        for _ in range(2):
            with pytest.raises(TimeoutError), anyio.fail_after(0.05):
                await client.ping()
        engine.thaw()
        await until(lambda: engine.command("PING") == "PONG")
        with pytest.raises(TimeoutError), anyio.fail_after(0.5):
            await client.ping()
