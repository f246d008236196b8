"""A server that dies, stands still, is cut off or absent: nothing is lost, and it is told."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import anyio
import pytest

from sse_kit.errors import EngineUnavailable, PublishFailed
from sse_kit.testing import FaultProxy
from sse_kit.testing.ports import free_port
from sse_kit.transports.base import Rebase, Record
from sse_kit.transports.postgres import PostgresTransport
from tests.transports.postgres.tools import PATIENCE, entered, numbered, tail_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from sse_kit.testing.engines import PostgresEngine
    from sse_kit.testing.suite import TailReader
    from sse_kit.transports.postgres_settings import PostgresOptions

pytestmark = pytest.mark.anyio

TASKS = 8
EACH = 150


Fault: TypeAlias = "Callable[[PostgresTransport], Awaitable[None]]"


async def publish_under(transport: PostgresTransport, fault: Fault) -> list[int]:
    """Publish from eight tasks, strike in the middle; return what was stored, in log order."""
    offsets: dict[int, int] = {}

    async def publish(own: range) -> None:
        for number in own:
            published = await transport.publish(numbered(number))
            offsets[published.position.offset] = number
            if len(offsets) == TASKS * EACH // 2:
                await fault(transport)

    async with anyio.create_task_group() as tasks:
        for index in range(TASKS):
            tasks.start_soon(publish, range(index, TASKS * EACH, TASKS))
    return [offsets[offset] for offset in sorted(offsets)]


async def heard(tail: TailReader, count: int) -> list[int]:
    """Return the payloads of so many records; anything but them and new lives is a failure."""
    seen: list[int] = []
    while len(seen) < count:
        item = await tail.next()
        assert isinstance(item, Record | Rebase), item
        if isinstance(item, Record):
            seen.append(int(item.payload))
    return seen


async def noticed(transport: PostgresTransport) -> None:
    """Wait until requests fail: their deadline is over."""
    while (await transport.health()).status != "down":  # noqa: ASYNC110  no event tells
        await anyio.sleep(0.01)


async def killed(engine: PostgresEngine, _: PostgresTransport) -> None:
    await anyio.to_thread.run_sync(engine.kill)
    await anyio.to_thread.run_sync(engine.start)


async def frozen(engine: PostgresEngine, transport: PostgresTransport) -> None:
    engine.freeze()
    await noticed(transport)
    engine.thaw()


async def restarted(engine: PostgresEngine, _: PostgresTransport) -> None:
    await anyio.to_thread.run_sync(engine.restart)


@pytest.mark.parametrize("fault", [killed, frozen, restarted])
async def test_nothing_is_lost_doubled_or_reordered(
    mortal: PostgresEngine,
    namespace: str,
    fault: Callable[[PostgresEngine, PostgresTransport], Awaitable[None]],
) -> None:
    """Under load the server is killed, stands still, or is restarted: two processes hear it all."""
    how: PostgresOptions = {"namespace": namespace, "request_timeout": 0.5}
    how["publish_timeout"] = 15.0  # longer than the outage
    async with (
        entered(mortal.url, **how) as transport,
        entered(mortal.url, **how) as other,
        tail_of(transport) as tail,
        tail_of(other) as far,
    ):
        published = await publish_under(transport, partial(fault, mortal))
        near = await heard(tail, TASKS * EACH)
        assert near == await heard(far, TASKS * EACH) == published
    assert sorted(published) == list(range(TASKS * EACH))


@pytest.fixture
async def proxied(url: str) -> AsyncGenerator[FaultProxy]:
    with FaultProxy(url) as proxy:
        yield proxy


async def test_connections_that_are_cut_are_opened_again(
    proxied: FaultProxy, namespace: str
) -> None:
    """Whatever was under way on them is stored once."""
    async with (
        entered(proxied.url, namespace=namespace) as transport,
        tail_of(transport) as tail,
    ):

        async def cut(_: PostgresTransport) -> None:
            proxied.cut()

        published = await publish_under(transport, cut)
        assert await heard(tail, TASKS * EACH) == published


async def test_answers_that_are_lost_are_asked_for_again(
    proxied: FaultProxy, namespace: str
) -> None:
    """A black hole for as long as some requests: the keys tell what was stored."""

    async def swallow(transport: PostgresTransport) -> None:
        proxied.swallow()
        await noticed(transport)
        proxied.forward()

    quick = entered(proxied.url, namespace=namespace, request_timeout=0.3, publish_timeout=15.0)
    async with quick as transport, tail_of(transport) as tail:
        published = await publish_under(transport, swallow)
        assert await heard(tail, TASKS * EACH) == published


async def test_a_publish_during_an_outage_fails_once_its_time_is_over(
    proxied: FaultProxy, namespace: str
) -> None:
    """The reason is the engine's; health says that it is down."""
    async with entered(proxied.url, namespace=namespace, publish_timeout=1.0) as transport:
        proxied.refuse()
        proxied.cut()
        with pytest.raises(PublishFailed, match=r"[Cc]onnection"):
            await transport.publish(numbered(1))
        assert (await transport.health()).status == "down"
        proxied.forward()
        assert (await transport.publish(numbered(1))).position.offset == 1


async def test_a_frozen_server_does_not_hold_up_leaving(mortal: PostgresEngine) -> None:
    """A transport is left in its second, whatever is under way: psycopg alone would take ten."""
    with anyio.fail_after(PATIENCE):
        transport = PostgresTransport(mortal.url, request_timeout=15.0)
        async with transport, transport.tail():
            mortal.freeze()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(transport.bounds)
                await anyio.wait_all_tasks_blocked()
                tasks.cancel_scope.cancel()
            start = time.monotonic()
        assert time.monotonic() - start < 3


async def test_an_absent_server_is_an_error_that_says_where() -> None:
    """With a ``connect_timeout`` of 0 it is tried once."""
    url = f"postgresql://postgres:secret@127.0.0.1:{free_port()}/postgres"
    transport = PostgresTransport(url, connect_timeout=0)
    with pytest.raises(EngineUnavailable, match="refused") as caught:
        async with transport:
            pytest.fail("there is no server")
    assert "secret" not in str(caught.value)
    with pytest.raises(EngineUnavailable, match="refused"):
        await transport.setup()


async def test_a_server_that_comes_late_is_waited_for(
    mortal: PostgresEngine, namespace: str
) -> None:
    """Entering tries for ``connect_timeout`` seconds."""
    mortal.kill()
    patient = PostgresTransport(mortal.url, namespace=namespace, connect_timeout=PATIENCE)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, mortal.start)
            async with patient as transport:
                assert (await transport.publish(numbered(1))).position.offset == 1
