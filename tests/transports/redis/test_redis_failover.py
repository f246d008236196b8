"""An address that leads to another server, while the one before is still there and answers."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import pytest
from coredis.exceptions import RedisError

from sse_kit.errors import TransportError
from sse_kit.testing import FaultProxy
from sse_kit.testing.ports import HOST, free_port
from sse_kit.transports.base import Rebase
from sse_kit.transports.redis import RedisTransport
from sse_kit.transports.redis_connections import Line
from sse_kit.transports.redis_place import Place
from sse_kit.transports.redis_server import Server
from tests.transports.redis.tools import ASYNCIO, blocked, until
from tests.transports.tools import PATIENCE, numbers, publish, reading

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from sse_kit.testing.engines import RedisEngine
    from sse_kit.testing.engines.plugin import OwnRedis

    T = TypeVar("T")

pytestmark = pytest.mark.anyio


class Address(FaultProxy):
    """An address that can be made to lead elsewhere; connections that are open stay."""

    def move(self, url: str) -> None:
        self._target = (HOST, urlsplit(url).port or 0)


class Pair:
    """A primary and its replica behind one address."""

    def __init__(self, own_redis: OwnRedis, **options: object) -> None:
        self.primary: RedisEngine = own_redis(**options)
        self.replica: RedisEngine = own_redis(replica_of=self.primary)
        self.address = Address(self.primary.url)

    async def fail_over(self) -> None:
        """Promote the replica; the old primary lives, as a replica that never catches up."""
        await until(lambda: self.primary.command("WAIT", "1", "1000") == "1")
        self.replica.promote()
        self.address.move(self.replica.url)
        self.primary.command("REPLICAOF", HOST, str(free_port()))

    def left(self) -> bool:
        """Tell whether nobody uses the old primary but who asks here."""
        return "connected_clients:1\r" in self.primary.command("INFO", "clients")


async def in_the_end(question: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer."""
    with anyio.fail_after(PATIENCE):
        while True:
            with suppress(TransportError, RedisError):
                return await question()


async def test_a_tail_goes_over_with_the_publishes(own_redis: OwnRedis, namespace: str) -> None:
    """All of a process is on the new primary: no gap, nothing twice, also after silence."""
    pair = Pair(own_redis)
    with pair.address as address:
        async with RedisTransport(address.url, namespace=namespace) as transport:
            old = await publish(transport, range(1, 11))
            async with reading(transport, old[7]) as tail:
                assert await numbers(tail, 2) == [9, 10]
                await until(blocked(pair.primary))
                await pair.fail_over()
                new = await publish(transport, range(11, 16))
                assert await tail.next() == Rebase(old[0].epoch, new[0].epoch, 10)
                assert await numbers(tail, 5) == list(range(11, 16))
                await until(blocked(pair.replica))
                await until(blocked(pair.replica, clients=0))
                await publish(transport, range(16, 19))
                assert await numbers(tail, 3) == list(range(16, 19))
            assert await transport.locate(new[0]) == new[0]
            await until(pair.left)


async def check_reader(pair: Pair, namespace: str) -> None:
    """Assert that a process without tails, which saw no error, does not ask the old primary."""
    with pair.address as address:
        async with RedisTransport(address.url, namespace=namespace) as quiet:
            old = await publish(quiet, range(1, 11))
            await pair.fail_over()
            async with RedisTransport(address.url, namespace=namespace) as other:
                new = await publish(other, range(11, 16))
            assert await in_the_end(lambda: quiet.locate(new[1])) == new[1]
            assert (await quiet.bounds()).end == new[-1]
            async with reading(quiet, old[-1]) as tail:
                assert await tail.next() == Rebase(old[0].epoch, new[0].epoch, 10)
                assert await numbers(tail, 5) == list(range(11, 16))


@pytest.mark.parametrize("stale", ["yes", "no"])
async def test_a_primary_that_became_a_replica_is_not_read(
    own_redis: OwnRedis, namespace: str, stale: str
) -> None:
    """It would not know the present epoch; whether it answers at all is a setting of it."""
    await check_reader(Pair(own_redis, config={"replica-serve-stale-data": stale}), namespace)


@ASYNCIO
async def test_the_check_tells_a_reader_that_asks_whoever_answers(
    own_redis: OwnRedis, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of the new epoch would be sent the whole log again."""
    monkeypatch.setattr(Server, "is_primary", True)
    with pytest.raises(AssertionError):
        await check_reader(Pair(own_redis), namespace)


async def test_lines_lead_to_one_server(own_redis: OwnRedis) -> None:
    """One that breaks and finds another server takes the others along, though theirs live."""
    one, two = own_redis(), own_redis()
    with Address(one.url) as address:
        async with anyio.create_task_group() as tasks:
            place, beside = Place.parse(address.url), list[Line]()
            broken, waiting = (
                Line(tasks, place, address="here", timeout=PATIENCE, beside=beside)
                for _ in range(2)
            )
            (client,) = await broken.ask(("CLIENT", "ID"))
            await waiting.ask(("PING",))
            address.move(two.url)
            one.command("CLIENT", "KILL", "ID", str(client))
            for line in (broken, waiting):
                (port,) = await in_the_end(partial(line.ask, ("CONFIG", "GET", "port")))
                assert port == {b"port": str(two.port).encode()}
            tasks.cancel_scope.cancel()


async def test_a_reconnection_to_the_same_server_disturbs_nobody(own_redis: OwnRedis) -> None:
    """A line that breaks comes back alone."""
    engine = own_redis()
    async with anyio.create_task_group() as tasks:
        place, beside = Place.parse(engine.url), list[Line]()
        broken, other = (
            Line(tasks, place, address="here", timeout=PATIENCE, beside=beside) for _ in range(2)
        )
        (before,) = await other.ask(("CLIENT", "ID"))
        (client,) = await broken.ask(("CLIENT", "ID"))
        engine.command("CLIENT", "KILL", "ID", str(client))
        await until(lambda: f"id={client} " not in engine.command("CLIENT", "LIST"))
        assert await in_the_end(partial(broken.ask, ("CLIENT", "ID"))) != [client]
        assert await other.ask(("CLIENT", "ID")) == [before]
        tasks.cancel_scope.cancel()
