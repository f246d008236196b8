"""Counting a cluster over NATS: beats outlive the server, leases do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sse_kit import ConnectionRegistry
from sse_kit.transports.nats import NatsTransport
from sse_kit.transports.nats_stream import Names
from tests.transports.nats.tools import api, plain_client, until

if TYPE_CHECKING:
    from sse_kit.testing.engines import Reachable
    from sse_kit.testing.engines.plugin import OwnNats

pytestmark = pytest.mark.anyio

LONG = 60.0


async def test_a_lease_may_be_shorter_than_nats_counts(
    nats_engine: Reachable, namespace: str
) -> None:
    """NATS forgets messages by whole seconds; the lease is compared with the server's time."""
    async with NatsTransport(nats_engine.url, namespace=namespace) as transport:
        await transport.beat("lives", {"user": 1}, lease=LONG)
        await transport.beat("dies", {"user": 1}, lease=0.05)

        async def is_alone() -> bool:
            return set(await transport.nodes()) == {"lives"}

        await until(is_alone)
        async with plain_client(nats_engine.url) as client:
            info = await api(client, f"STREAM.INFO.{Names(namespace).nodes}")
        assert info["state"]["messages"] == 2


async def test_the_server_forgets_the_dead(nats_engine: Reachable, namespace: str) -> None:
    """A node that never says goodbye leaves nothing behind."""
    async with (
        NatsTransport(nats_engine.url, namespace=namespace) as transport,
        plain_client(nats_engine.url) as client,
    ):
        await transport.beat("dies", {"user": 1}, lease=0.05)

        async def is_clean() -> bool:
            info = await api(client, f"STREAM.INFO.{Names(namespace).nodes}")
            return bool(info["state"]["messages"] == 0)

        await until(is_clean)


async def test_what_is_no_beat_is_not_counted(nats_engine: Reachable, namespace: str) -> None:
    """Nor does it keep anybody else from being counted."""
    async with (
        NatsTransport(nats_engine.url, namespace=namespace) as transport,
        plain_client(nats_engine.url) as client,
    ):
        await transport.beat("node", {"user": 3}, lease=LONG)
        strange = (b"", b"[]", b"[" * 5000, b'{"lease":"long","counts":{}}', b'{"lease":9}')
        for number, data in enumerate(strange):
            await client.request(Names(namespace).node(f"other{number}"), data)
        assert await transport.nodes() == {"node": {"user": 3}}


async def test_beats_outlive_the_server(own_nats: OwnNats, namespace: str) -> None:
    """After kill -9 the cluster is counted at once, not only after everybody's next beat."""
    engine = own_nats()
    async with NatsTransport(engine.url, namespace=namespace) as transport:
        await transport.beat("node", {"user": 3}, lease=LONG)
        engine.kill()
        engine.start()
        await until(lambda: _is_counted(transport, {"node": {"user": 3}}))


async def test_beats_in_memory_come_again(own_nats: OwnNats, namespace: str) -> None:
    """A stream that is gone with its server is made anew by the next beat."""
    engine = own_nats()
    transport = NatsTransport(engine.url, namespace=namespace, storage="memory")
    async with transport:
        await transport.beat("node", {"user": 3}, lease=LONG)
        engine.restart()
        await until(lambda: _is_counted(transport, {}))
        await transport.leave("node")
        await transport.beat("node", {"user": 4}, lease=LONG)
        assert await transport.nodes() == {"node": {"user": 4}}


async def _is_counted(transport: NatsTransport, expected: dict[str, dict[str, int]]) -> bool:
    try:
        return await transport.nodes() == expected
    except Exception:  # noqa: BLE001  not yet back
        return False


async def test_a_registry_counts_its_cluster(nats_engine: Reachable, namespace: str) -> None:
    """Two processes, two connections."""
    first = ConnectionRegistry(NatsTransport(nats_engine.url, namespace=namespace))
    second = ConnectionRegistry(NatsTransport(nats_engine.url, namespace=namespace))
    async with first, second:
        for registry in (first, second):
            await registry.add_connection(topics=["t"])

        async def is_whole() -> bool:
            stats = await first.cluster_stats()
            return bool(stats["nodes"] == 2)

        await until(is_whole)
