"""Who listens is woken at once; who cannot, looks; nothing is lost either way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit.testing import FaultProxy
from tests.transports.postgres.tools import entered, numbered, run_sql, tail_of, until

if TYPE_CHECKING:
    from sse_kit.testing.engines import PostgresEngine
    from sse_kit.testing.suite import TailReader
    from sse_kit.transports.postgres import PostgresTransport

pytestmark = pytest.mark.anyio

END_LISTENERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE query LIKE 'LISTEN%' OR query = 'SELECT 1'
"""
LISTENS = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND state = 'idle'"
LONG = 30.0
"""Seconds after which a tail would look by itself: no test waits for that."""


async def test_another_process_is_woken(url: str, namespace: str) -> None:
    """By NOTIFY: its own look would be half a minute away."""
    async with (
        entered(url, namespace=namespace, poll=LONG) as transport,
        entered(url, namespace=namespace, poll=LONG) as other,
        tail_of(other) as tail,
    ):
        await until(lambda: len(run_sql(url, LISTENS)) >= 2)
        start = time.monotonic()
        for number in range(20):
            await transport.publish(numbered(number))
            assert (await tail.record()).payload == b"%d" % number
        assert time.monotonic() - start < LONG / 3


async def test_a_listener_that_was_ended_listens_again(
    mortal: PostgresEngine, namespace: str
) -> None:
    """What was published while nobody listened is found as soon as somebody does."""
    async with (
        entered(mortal.url, namespace=namespace, poll=LONG) as transport,
        entered(mortal.url, namespace=namespace, poll=LONG) as other,
        tail_of(other) as tail,
    ):
        for number in range(5):
            await until(lambda: len(run_sql(mortal.url, LISTENS)) == 2)
            assert len(run_sql(mortal.url, END_LISTENERS)) == 2
            await publish_and_hear(transport, tail, number)


async def test_a_restart_of_the_server_is_heard(mortal: PostgresEngine, namespace: str) -> None:
    """The listener comes back by itself."""
    async with (
        entered(mortal.url, namespace=namespace, poll=LONG) as transport,
        entered(mortal.url, namespace=namespace, poll=LONG) as other,
        tail_of(other) as tail,
    ):
        await publish_and_hear(transport, tail, 1)
        mortal.restart()
        await transport.publish(numbered(2))
        await tail.next()  # the server's new life
        assert (await tail.record()).payload == b"2"


async def publish_and_hear(transport: PostgresTransport, tail: TailReader, number: int) -> None:
    await transport.publish(numbered(number))
    assert (await tail.record()).payload == b"%d" % number


async def test_without_notify_a_tail_looks(url: str, namespace: str) -> None:
    """``notify=False``: nobody listens, and records come within a fraction of a second."""
    async with (
        entered(url, namespace=namespace, notify=False) as transport,
        entered(url, namespace=namespace, notify=False) as other,
        tail_of(other) as tail,
    ):
        start = time.monotonic()
        await publish_and_hear(transport, tail, 1)
        assert time.monotonic() - start < LONG / 3
        assert (await transport.health()).status == "ok"


async def test_a_listener_without_a_server_is_told_by_health(url: str, namespace: str) -> None:
    """Records still come, by looking; with the way to the server, it listens."""
    with FaultProxy(url) as proxy:
        proxy.refuse()
        async with (
            entered(url, namespace=namespace, listen_dsn=proxy.url, poll=0.05) as transport,
            tail_of(transport) as tail,
        ):
            while (health := await transport.health()).status != "degraded":  # noqa: ASYNC110
                await anyio.sleep(0.01)
            assert "NOTIFY is not heard" in health.detail
            await publish_and_hear(transport, tail, 1)
            proxy.forward()
            while (await transport.health()).status != "ok":  # noqa: ASYNC110  no event tells
                await anyio.sleep(0.01)
