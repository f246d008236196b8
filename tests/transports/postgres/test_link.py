"""A connection that is closed while it is used, and one that waits for another."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest
from psycopg import AsyncConnection

from sse_kit.errors import TransportNotRunning
from sse_kit.transports.postgres import PostgresTransport
from sse_kit.transports.postgres_link import Link, Server, conninfo_of
from tests.transports.postgres.tools import entered, run_sql, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sse_kit.transports.postgres_settings import PostgresOptions

pytestmark = pytest.mark.anyio

OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{n}'"
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
WAIT = b"SELECT pg_advisory_xact_lock_shared(7)"


@asynccontextmanager
async def locked(url: str) -> AsyncGenerator[None]:
    """Let everybody wait who wants the advisory lock, until the body is over."""
    async with await AsyncConnection.connect(url, autocommit=True) as holder:
        await holder.execute("SELECT pg_advisory_lock(7)")
        yield


async def test_a_link_that_is_closed_while_it_asks_keeps_no_connection(
    url: str, namespace: str
) -> None:
    """What is under way is answered; what waited for it opens nothing any more."""
    conninfo = conninfo_of("url", url, application_name=namespace)
    link = Link(Server(conninfo, schema="sse_kit", request_timeout=20.0))
    async with anyio.create_task_group() as tasks, locked(url):
        tasks.start_soon(link.ask, WAIT)
        await until(lambda: run_sql(url, WAITING) == [(1,)])
        await link.close()
    await until(lambda: run_sql(url, OURS, n=namespace) == [(0,)])
    with pytest.raises(TransportNotRunning):
        await link.ask(b"SELECT 1")
    assert run_sql(url, OURS, n=namespace) == [(0,)]


PAUSE = """
CREATE FUNCTION {s}.pause() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END';
INSERT INTO {s}.node SELECT 'sse', node, '', now() FROM unnest(ARRAY['a', 'b']) node;
CREATE TRIGGER pause BEFORE INSERT ON {s}.node FOR EACH ROW EXECUTE FUNCTION {s}.pause();
"""
HOLD = "SELECT FROM {s}.node WHERE node = 'a' FOR UPDATE"


async def test_beats_after_a_long_outage_do_not_wait_for_each_other(
    url: str, namespace: str
) -> None:
    """Each lets go of the other's row, which is over its lease, and writes its own."""
    await PostgresTransport(url, schema=namespace).setup()
    how: PostgresOptions = {"schema": namespace, "request_timeout": 10.0}
    async with (
        entered(url, **how) as one,
        entered(url, **how) as two,
        await AsyncConnection.connect(url) as holder,
        anyio.create_task_group() as tasks,
    ):
        run_sql(url, PAUSE.format(s=namespace))
        async with locked(url):
            await holder.execute(HOLD.format(s=namespace).encode())
            tasks.start_soon(partial(one.beat, "a", {}, lease=60.0))
            await until(lambda: run_sql(url, WAITING) == [(1,)])
            await holder.commit()
            tasks.start_soon(partial(two.beat, "b", {}, lease=60.0))
            await until(lambda: run_sql(url, WAITING) == [(2,)])
    async with entered(url, **how) as transport:
        assert await transport.nodes() == {"a": {}, "b": {}}
