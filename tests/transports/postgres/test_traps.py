"""What naive ways lose or refuse, beside ours: the same check is made of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import psycopg
import pytest
from psycopg import AsyncConnection, sql

from sse_kit.testing.suite import fresh_namespace
from sse_kit.transports.base import Publication
from tests.transports.postgres.tools import (
    entered,
    numbered,
    plant,
    publish_all,
    run_sql,
    tail_of,
    until,
    waiting,
)

if TYPE_CHECKING:
    from sse_kit.testing.engines import PostgresEngine
    from sse_kit.transports.postgres import PostgresTransport

pytestmark = pytest.mark.anyio

SYNCHRONOUS = """IF current_setting('synchronous_commit') = 'off' THEN"""


# X6: offsets in the order of commits --------------------------------------------------------------


async def test_x6_an_earlier_offset_is_never_committed_later(url: str, namespace: str) -> None:
    """While a publish is not committed no later one is seen, so no reader passes over it."""
    async with (
        entered(url, namespace=namespace) as transport,
        await AsyncConnection.connect(url) as slow,
        tail_of(transport) as tail,
        anyio.create_task_group() as tasks,
    ):
        await transport.publish(numbered(1), connection=slow)
        tasks.start_soon(transport.publish, numbered(2))
        await until(lambda: bool(waiting(url)))
        assert (await transport.bounds()).last == 0
        await slow.commit()
        records = [await tail.record(), await tail.record()]
    assert [(r.position.offset, int(r.payload)) for r in records] == [(1, 1), (2, 2)]


async def test_x6_a_sequence_loses_what_is_committed_late(url: str) -> None:
    """The naive way: a reader behind the second record never sees the first one."""
    table = sql.Identifier(fresh_namespace())
    insert = sql.SQL("INSERT INTO {} (payload) VALUES (%s)").format(table)
    after = sql.SQL("SELECT id, payload FROM {} WHERE id > %s ORDER BY id").format(table)
    async with (
        await AsyncConnection.connect(url, autocommit=True) as reader,
        await AsyncConnection.connect(url) as slow,
    ):
        make = sql.SQL("CREATE TABLE {} (id bigserial PRIMARY KEY, payload int)").format(table)
        await reader.execute(make)
        await slow.execute(insert, (1,))
        await reader.execute(insert, (2,))
        seen = await (await reader.execute(after, (0,))).fetchall()
        await slow.commit()
        seen += await (await reader.execute(after, (seen[-1][0],))).fetchall()
    assert seen == [(2, 2)]


# X7: what NOTIFY carries --------------------------------------------------------------------------


async def test_x7_a_payload_of_any_size_is_delivered(url: str, namespace: str) -> None:
    """NOTIFY carries nothing, so its limit is not ours."""
    payload = b"\0" * 8_001
    async with entered(url, namespace=namespace) as transport, tail_of(transport) as tail:
        await transport.publish(Publication(("t",), payload))
        assert (await tail.record()).payload == payload


def test_x7_notify_refuses_a_payload_of_8000_bytes(url: str) -> None:
    """The naive way: 7999 are taken, one more is an error for the publisher."""
    run_sql(url, f"NOTIFY naive, '{'x' * 7_999}'")
    with pytest.raises(psycopg.Error, match="payload string too long"):
        run_sql(url, f"NOTIFY naive, '{'x' * 8_000}'")


# X7d: a listener in a transaction holds the queue -------------------------------------------------

LISTENERS = """
SELECT state FROM pg_stat_activity WHERE query LIKE 'LISTEN%' OR query = 'SELECT 1'
"""


async def test_x7d_the_listener_is_never_in_a_transaction(url: str, namespace: str) -> None:
    """It hears, and is idle: so the queue of NOTIFY is free."""
    async with entered(url, namespace=namespace) as transport, tail_of(transport) as tail:
        await until(lambda: bool(run_sql(url, LISTENERS)))
        await transport.publish(numbered(1))
        await tail.record()
        assert {state for (state,) in run_sql(url, LISTENERS)} == {"idle"}


async def test_x7d_a_listener_in_a_transaction_is_told_by_health(mortal: PostgresEngine) -> None:
    """The naive way: the queue grows until NOTIFY fails; health is degraded long before."""
    async with (
        entered(mortal.url) as transport,
        await AsyncConnection.connect(mortal.url) as naive,
    ):
        await naive.execute("LISTEN naive")
        await naive.commit()
        await naive.execute("SELECT 1")
        assert (await transport.health()).status == "ok"
        fill = (
            "SELECT count(pg_notify('naive', n || repeat('x', 7900))) FROM generate_series(1, 30) n"
        )
        run_sql(mortal.url, fill)
        health = await transport.health()
        assert health.status == "degraded"
        assert "queue of NOTIFY" in health.detail
        await naive.commit()


# Commits that are not flushed ---------------------------------------------------------------------


async def lost_by_kill(engine: PostgresEngine, *, schema: str) -> int:
    """Publish where commits are asynchronous, kill the server; return how many are gone."""
    url = f"{engine.url}?options=-c%20synchronous_commit%3Doff"
    async with entered(url, schema=schema, namespace=fresh_namespace()) as transport:
        run_sql(engine.url, "CHECKPOINT")
        acknowledged = await publish_all(transport, range(20))
        engine.kill()
        engine.start()
        await until_answered(transport)
        return acknowledged[-1].position.offset - (await transport.bounds()).last


async def until_answered(transport: PostgresTransport) -> None:
    while (await transport.health()).status == "down":  # noqa: ASYNC110  no event tells
        await anyio.sleep(0.02)


async def test_what_was_acknowledged_survives_kill_9_whatever_commits_are_set_to(
    mortal: PostgresEngine,
) -> None:
    """``synchronous_commit`` is on inside of a publish."""
    assert await lost_by_kill(mortal, schema="sse_kit") == 0


async def test_asynchronous_commits_lose_what_was_acknowledged(mortal: PostgresEngine) -> None:
    """The naive way: as the role has it."""
    plant(mortal.url, "naive_commit", SYNCHRONOUS, "IF false THEN")
    assert await lost_by_kill(mortal, schema="naive_commit") > 0
