"""A connection that is closed while it is used."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
from psycopg import AsyncConnection

from sse_kit.errors import TransportNotRunning
from sse_kit.transports.postgres_link import Link, Server, conninfo_of
from tests.transports.postgres.tools import run_sql, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

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
