"""The tables: made once, brought up to date, refused where they don't fit."""

from __future__ import annotations

from urllib.parse import quote

import anyio
import pytest

from sse_kit.errors import EngineRefused
from sse_kit.testing.suite import fresh_namespace
from sse_kit.transports import postgres_link
from sse_kit.transports.postgres import PostgresTransport
from tests.transports.postgres.tools import entered, numbered, role_url, run_sql

pytestmark = pytest.mark.anyio


async def enter(url: str, schema: str) -> None:
    async with PostgresTransport(url, schema=schema, namespace="n") as transport:
        await transport.publish(numbered(1))


async def test_a_database_without_tables_is_refused(url: str) -> None:
    """The remedy is ``setup``, and waiting is of no use."""
    with anyio.fail_after(4), pytest.raises(EngineRefused, match=r"run 'await transport.setup"):
        await enter(url, "absent")


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
async def test_setting_up_changes_nothing_the_second_time(url: str, isolation: str) -> None:
    """Neither does it when many do it at once, nor while others publish."""
    schema = fresh_namespace()
    value = isolation.replace(" ", "\\ ")
    options = quote(f"-c default_transaction_isolation={value}")
    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(PostgresTransport(f"{url}?options={options}", schema=schema).setup)
    async with entered(url, schema=schema) as transport:
        await transport.publish(numbered(1))
        await transport.setup()
        assert (await transport.bounds()).last == 1


async def test_the_tables_can_be_made_by_hand(url: str) -> None:
    """``SQL`` is all of it, and may be run twice."""
    schema = fresh_namespace()
    sql = PostgresTransport.SQL.replace("sse_kit", schema)
    run_sql(url, sql, sql)
    await enter(url, schema)


async def test_two_schemas_don_t_see_each_other(url: str) -> None:
    """Neither their records, nor what each is woken by."""
    one, two = fresh_namespace(), fresh_namespace()
    for schema in (one, two):
        await PostgresTransport(url, schema=schema).setup()
    await enter(url, one)
    async with entered(url, schema=two, namespace="n") as transport:
        assert (await transport.bounds()).last == 0


@pytest.mark.parametrize(
    ("number", "remedy"), [(0, "run 'await transport.setup"), (99, "upgrade sse-kit")]
)
async def test_tables_of_another_version_are_refused(url: str, number: int, remedy: str) -> None:
    """Older ones name ``setup``, newer ones a newer package."""
    schema = fresh_namespace()
    await PostgresTransport(url, schema=schema).setup()
    run_sql(url, "UPDATE {s}.version SET number = {n}", s=schema, n=number)
    with pytest.raises(EngineRefused, match=f"version {number}.*{remedy}"):
        await enter(url, schema)


async def test_older_tables_are_brought_up_to_date(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the steps that are missing are run, and records stay; newer tables are left alone."""
    schema = fresh_namespace()
    await PostgresTransport(url, schema=schema).setup()
    await enter(url, schema)
    step = "ALTER TABLE sse_kit.log ADD planted int; UPDATE sse_kit.version SET number = 2"
    with monkeypatch.context() as patch:
        patch.setattr(postgres_link, "STEPS", (*postgres_link.STEPS, step))
        patch.setattr(postgres_link, "VERSION", 2)
        with pytest.raises(EngineRefused, match="setup"):
            await enter(url, schema)
        await PostgresTransport(url, schema=schema).setup()
        await enter(url, schema)
    assert run_sql(url, "SELECT planted, last FROM {s}.log", s=schema) == [(None, 1)]
    with pytest.raises(EngineRefused, match="version 2"):
        await PostgresTransport(url, schema=schema).setup()


async def test_a_role_without_rights_is_told_which(url: str) -> None:
    """Neither to make tables, nor to use them; with what the remedy names, it works."""
    name = fresh_namespace()
    run_sql(url, f"CREATE ROLE {name} LOGIN")
    own = url.replace("postgres@", f"{name}@")
    with pytest.raises(EngineRefused, match=r"permission denied.*grant"):
        await PostgresTransport(own, schema="new_one").setup()
    with pytest.raises(EngineRefused, match=r"permission denied.*grant"):
        await enter(own, "sse_kit")
    run_sql(url, f"DROP ROLE {name}")
    async with entered(role_url(url, name), namespace=name) as transport:
        await transport.publish(numbered(1))
        await transport.beat("node", {}, lease=1.0)


async def test_a_log_that_somebody_deleted_begins_anew(url: str, namespace: str) -> None:
    """Its epoch is another one, so everybody is told."""
    async with entered(url, namespace=namespace) as transport:
        before = await transport.publish(numbered(1))
        for table in ("log", "record"):
            delete = "DELETE FROM sse_kit.{t} WHERE namespace = '{n}'"
            run_sql(url, delete, t=table, n=namespace)
        after = await transport.bounds()
        again = await transport.publish(numbered(2))
    assert (after.first, after.last, again.position.offset) == (1, 0, 1)
    assert after.epoch == again.position.epoch != before.position.epoch
