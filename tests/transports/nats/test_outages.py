"""Servers that die, freeze and vanish behind a network: it takes time, and costs nothing."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio
import nats
import psutil
import pytest

from sse_kit.config import Retention
from sse_kit.errors import EngineUnavailable, PublishFailed
from sse_kit.testing import FaultProxy
from sse_kit.testing.ports import HOST, free_port
from sse_kit.testing.suite import TOPICS, numbered
from sse_kit.transports import nats_stream
from sse_kit.transports.base import HealthStatus, Position, Publication
from sse_kit.transports.contact import Contact
from sse_kit.transports.nats import NatsTransport
from sse_kit.transports.nats_link import Link
from sse_kit.transports.nats_stream import LARGEST, RESERVED, Names
from tests.transports.nats.tools import api, plain_client, until
from tests.transports.tools import PATIENCE, check_once, numbers, publish, reading

if TYPE_CHECKING:
    from nats.aio.client import Client

    from sse_kit.testing.engines import NatsEngine, Reachable
    from sse_kit.testing.engines.plugin import OwnNats

pytestmark = pytest.mark.anyio

QUICK = 0.2
"""Seconds after which an answer counts as lost."""


async def test_kill_9_under_load_loses_nothing(own_nats: OwnNats, namespace: str) -> None:
    """What was answered is there afterwards, and once; the keys are known to the next life."""
    engine = own_nats()

    async def kill() -> None:
        engine.kill()
        engine.start()

    async with NatsTransport(engine.url, namespace=namespace) as transport:
        await check_once(transport, kill, 3)


async def check_cuts(engine: Reachable, namespace: str) -> None:
    with FaultProxy(engine.url) as proxy:

        async def cut() -> None:
            proxy.cut()

        async with NatsTransport(proxy.url, namespace=namespace) as transport:
            await check_once(transport, cut, 10)


async def test_cut_connections_lose_and_double_nothing(
    nats_engine: Reachable, namespace: str
) -> None:
    """Whatever was under way on them is sent again, with the same keys."""
    await check_cuts(nats_engine, namespace)


async def check_answer_lost(engine: NatsEngine, namespace: str) -> None:
    """Assert that what a frozen server does when it thaws, and what was sent again, is once."""
    async with NatsTransport(engine.url, namespace=namespace, request_timeout=QUICK) as transport:
        async with anyio.create_task_group() as tasks:
            engine.freeze()
            tasks.start_soon(transport.publish, numbered(7))
            for _ in range(3):
                assert (await transport.health()).status is HealthStatus.DOWN
            engine.thaw()
        page = await transport.read(0, limit=10)
    assert [record.payload for record in page.records] == [b"7"]


async def test_a_frozen_server_stores_once(own_nats: OwnNats, namespace: str) -> None:
    """Each attempt waits in its socket; the key makes the later ones duplicates."""
    await check_answer_lost(own_nats(), namespace)


async def test_the_check_tells_publishing_without_keys(
    own_nats: OwnNats, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent again without the header of the key it is stored again."""
    monkeypatch.setattr("sse_kit.transports.nats_log.KEY_HEADER", "No-Such-Header")
    assert nats_stream.KEY_HEADER == "Nats-Msg-Id"
    with pytest.raises(AssertionError):
        await check_answer_lost(own_nats(), namespace)


async def test_nats_py_sends_later_what_it_was_told_while_down(own_nats: OwnNats) -> None:
    """X8c: two messages, told again on each time-out as anybody would, are stored five times."""
    engine = own_nats()
    async with plain_client(engine.url, reconnect_time_wait=0.05) as client:
        await api(client, "STREAM.CREATE.naive", name="naive", subjects=["naive"])
        engine.kill()
        await until(lambda: _is_lost(client))
        for attempts in (2, 3):
            for _ in range(attempts):
                with suppress(nats.errors.Error):
                    await client.request("naive", b"%d" % attempts, timeout=0.02)
        engine.start()
        await until(lambda: _holds(client, "naive", 5))


async def _is_lost(client: Client) -> bool:
    return not client.is_connected


async def _holds(client: Client, stream: str, count: int) -> bool:
    with suppress(nats.errors.Error):
        info = await api(client, f"STREAM.INFO.{stream}")
        return bool(info["state"]["messages"] == count)
    return False


async def test_what_was_given_up_while_down_is_never_sent(
    own_nats: OwnNats, namespace: str
) -> None:
    """X8c: nothing is kept for later that nobody waits for any more."""
    engine = own_nats()
    async with NatsTransport(engine.url, namespace=namespace, publish_timeout=QUICK) as transport:
        engine.kill()
        with pytest.raises(PublishFailed):
            await transport.publish(numbered(1))
        engine.start()
        await until(lambda: _is_well(transport))
        published = await transport.publish(numbered(2))
    assert published.position.offset == 1


async def _is_well(transport: NatsTransport) -> bool:
    return (await transport.health()).status is HealthStatus.OK


async def test_the_ordered_consumer_of_nats_py_goes_back_to_the_start(own_nats: OwnNats) -> None:
    """X8: asked for what follows 50, quiet until a restart, it then redelivers from 1."""
    engine = own_nats()
    async with plain_client(engine.url, reconnect_time_wait=0.05) as client:
        await api(client, "STREAM.CREATE.naive", name="naive", subjects=["naive"])
        for number in range(1, 51):
            await client.request("naive", b"%d" % number)
        subscription = await client.jetstream().subscribe(
            "naive",
            ordered_consumer=True,
            config=nats.js.api.ConsumerConfig(
                deliver_policy=nats.js.api.DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=51,
                idle_heartbeat=0.1,
            ),
        )
        engine.restart()
        first = await subscription.next_msg(timeout=PATIENCE)
    assert first.data == b"1"


async def test_a_quiet_tail_goes_on_after_a_restart(own_nats: OwnNats, namespace: str) -> None:
    """X8: it has its cursor, and nothing that it could go back to."""
    engine = own_nats()
    async with NatsTransport(engine.url, namespace=namespace) as transport:
        positions = await publish(transport, range(1, 51))
        async with reading(transport, positions[-1]) as tail:
            engine.restart()
            await publish(transport, [51])
            assert await numbers(tail, 1) == [51]


async def test_a_lost_wake_up_costs_time_and_no_record(
    nats_engine: Reachable, namespace: str
) -> None:
    """What somebody stored who then said nothing is found by looking."""
    async with NatsTransport(nats_engine.url, namespace=namespace) as transport:
        transport.poll = 0.05
        async with reading(transport) as tail, plain_client(nats_engine.url) as client:
            epoch = (await transport.bounds()).epoch
            await client.publish(Names(namespace).records(epoch), b'["t"]\n7')
            assert await numbers(tail, 1) == [7]


async def test_a_black_hole_is_an_outage_that_ends(nats_engine: Reachable, namespace: str) -> None:
    """Nobody says that the connection is dead: it is given up, and another one is made."""
    with FaultProxy(nats_engine.url) as proxy:
        async with (
            NatsTransport(proxy.url, namespace=namespace, request_timeout=QUICK) as transport,
            reading(transport) as tail,
        ):
            proxy.swallow()
            assert (await transport.health()).status is HealthStatus.DOWN
            proxy.forward()
            await publish(transport, [7])
            assert await numbers(tail, 1) == [7]


async def test_a_server_that_went_silent_leaves_nothing_behind(
    own_nats: OwnNats, namespace: str
) -> None:
    """Neither a task nor a socket, although megabytes for it are still to be sent."""
    engine = own_nats(config={"max_payload": str(LARGEST)})
    before = asyncio.all_tasks()
    async with NatsTransport(
        engine.url,
        namespace=namespace,
        max_message=LARGEST,
        retention=Retention(max_bytes=None),
        request_timeout=QUICK,
        publish_timeout=5 * QUICK,
    ) as transport:
        engine.freeze()
        with pytest.raises(PublishFailed):
            await transport.publish(Publication(TOPICS, bytes(LARGEST - RESERVED)))
    connections = psutil.Process().net_connections("tcp")
    assert asyncio.all_tasks() == before
    assert (HOST, engine.port) not in [each.raddr for each in connections]


async def test_the_end_of_a_connection_fails_what_was_asked_over_it(own_nats: OwnNats) -> None:
    """And nothing that was asked over the next one, however late it is told."""
    engine = own_nats()
    contact = Contact("here", timeout=PATIENCE)
    link = Link(
        [engine.url],
        contact,
        timeout=PATIENCE,
        tls=None,
        credentials=None,
        subject="wake",
        wake=lambda: None,
    )
    await link.connect()
    first = link._client  # noqa: SLF001  to end it late
    assert first is not None
    await link.connect()
    engine.freeze()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(link.api, "INFO")
        await anyio.wait_all_tasks_blocked()
        await first.close()
        engine.thaw()
    await link.close()


async def test_an_absent_server_is_an_error(namespace: str) -> None:
    """It says where, and why; with ``connect_timeout`` 0 after one try."""
    url = f"nats://127.0.0.1:{free_port()}"
    transport = NatsTransport(url, namespace=namespace, connect_timeout=0)
    with (
        anyio.fail_after(PATIENCE),
        pytest.raises(EngineUnavailable, match=r"127\.0\.0\.1.*Connect call failed"),
    ):
        async with transport:
            pytest.fail("nobody is there")


async def test_who_was_too_slow_to_say_who_they_are_is_not_refused(
    own_nats: OwnNats, namespace: str
) -> None:
    """A slow network is no wrong password: entering tries again."""
    who = json.dumps({"user": "app", "password": "p", "timeout": 0.05})
    engine = own_nats(config={"authorization": who})
    with FaultProxy(f"nats://app:p@127.0.0.1:{engine.port}") as proxy:
        proxy.delay(0.2)
        with pytest.raises(EngineUnavailable, match="Authentication Timeout"):
            async with NatsTransport(proxy.url, namespace=namespace, connect_timeout=0):
                pytest.fail("it was let in")


async def test_a_server_that_comes_late_is_waited_for(own_nats: OwnNats, namespace: str) -> None:
    """Entering tries until it is there."""
    engine = own_nats()
    engine.stop()
    async with anyio.create_task_group() as tasks:
        entered = anyio.Event()

        async def enter() -> None:
            async with NatsTransport(engine.url, namespace=namespace, connect_timeout=None) as late:
                await publish(late, [1])
            entered.set()

        tasks.start_soon(enter)
        await anyio.wait_all_tasks_blocked()
        engine.start()
        with anyio.fail_after(PATIENCE):
            await entered.wait()


async def test_another_server_of_the_list_is_taken(nats_engine: Reachable, namespace: str) -> None:
    """A cluster is named by several of its servers, one of which may be down."""
    down = f"nats://127.0.0.1:{free_port()}"
    async with NatsTransport(f"{down},{nats_engine.url}", namespace=namespace) as transport:
        assert (await publish(transport, [1])) == [Position((await transport.bounds()).epoch, 1)]
