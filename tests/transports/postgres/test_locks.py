"""A table that somebody has locked: the server does not wait for it longer than we do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from psycopg import AsyncConnection, sql

from sse_kit.transports.postgres import PostgresTransport
from tests.transports.postgres.tools import PATIENCE, numbered, run_sql, tail_of

if TYPE_CHECKING:
    from sse_kit.transports.postgres_settings import PostgresOptions

pytestmark = pytest.mark.anyio

OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{n}'"
LOCK = "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE"


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(
    "tables", [("log",), ("record",), ("log", "record", "key", "fork", "node", "version")], ids=str
)
async def test_a_locked_table_takes_no_connection_more(
    url: str, namespace: str, tables: tuple[str, ...], *, pooled: bool
) -> None:
    """VACUUM FULL, ALTER TABLE, a restore: what waits is given up by the server as it is by us."""
    how: PostgresOptions = {"schema": namespace, "request_timeout": 0.5, "publish_timeout": 15.0}
    how |= {"pooled": pooled, "notify": not pooled}
    transport = PostgresTransport(f"{url}?application_name={namespace}", **how)
    await transport.setup()
    locked = sql.SQL(", ").join(sql.Identifier(namespace, table) for table in tables)
    counts: list[int] = []
    with anyio.fail_after(PATIENCE):
        async with (
            await AsyncConnection.connect(url) as holder,
            transport,
            tail_of(transport) as tail,
            anyio.create_task_group() as tasks,
        ):
            await holder.execute(sql.SQL(LOCK).format(locked))
            tasks.start_soon(transport.publish, numbered(1))
            while len(counts) < 6:
                assert (await transport.health()).status == "down"
                counts.append(run_sql(url, OURS, n=namespace)[0][0])
            await holder.rollback()
            assert int((await tail.record()).payload) == 1
    assert max(counts) <= 4, counts  # three, and one that is about to end
