"""Three servers, each of which has the log: the leader may be killed at any moment."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit.testing.ports import free_port
from sse_kit.testing.suite import END, TOPICS, TailReader, offsets
from sse_kit.transports.base import HealthStatus, Publication
from sse_kit.transports.nats import NatsTransport
from tests.transports.nats.tools import info_of, plain_client, until
from tests.transports.tools import publish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sse_kit.testing.engines import NatsEngine
    from sse_kit.testing.engines.plugin import OwnNats

pytestmark = pytest.mark.anyio

LONG = 40.0
"""Seconds: an election alone takes four to nine."""


@pytest.fixture
def cluster(own_nats: OwnNats, tmp_path: Path) -> Iterator[list[NatsEngine]]:
    """Start three servers that know each other."""
    routes = [free_port() for _ in range(3)]
    urls = json.dumps([f"nats://127.0.0.1:{port}" for port in routes])
    with ExitStack() as stack:
        yield [
            own_nats(
                folder=tmp_path / str(number),
                config={
                    "server_name": f"s{number}",
                    "cluster": f'{{"name": "c", "listen": "127.0.0.1:{port}", "routes": {urls}}}',
                },
            )
            for number, port in enumerate(routes)
        ]
        stack.close()


async def test_the_leader_is_killed_and_nothing_is_lost(
    cluster: list[NatsEngine], namespace: str
) -> None:
    """What two of three have is acknowledged: another one leads, and everybody goes on."""
    url = ",".join(engine.url for engine in cluster)
    async with NatsTransport(
        url, namespace=namespace, replicas=3, connect_timeout=LONG, publish_timeout=LONG
    ) as transport:
        await until(lambda: _is(transport, HealthStatus.OK), patience=LONG)
        async with transport.tail() as stream:
            tail = TailReader(stream, LONG)
            async with anyio.create_task_group() as tasks:
                for first in range(8):
                    tasks.start_soon(publish, transport, range(first, 200, 8))
                leader = await _leader(cluster, namespace)
                cluster[leader].kill()
            await transport.publish(Publication(TOPICS, END))
            records = await tail.until()
        assert sorted(int(record.payload) for record in records) == list(range(200))
        assert offsets(records) == list(range(1, 201))
        await until(lambda: _is(transport, HealthStatus.DEGRADED), patience=LONG)
        assert f"s{leader}" in (await transport.health()).detail


async def _leader(cluster: list[NatsEngine], namespace: str) -> int:
    async with plain_client(cluster[0].url) as client:
        info = await info_of(client, namespace)
    return int(info["cluster"]["leader"].removeprefix("s"))


async def _is(transport: NatsTransport, status: HealthStatus) -> bool:
    return (await transport.health()).status is status
