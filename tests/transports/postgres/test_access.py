"""Who is let in, what a role has set, and what a server must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sse_kit.errors import EngineRefused
from sse_kit.testing.engines.certificates import Certificates
from sse_kit.testing.suite import fresh_namespace
from sse_kit.transports.postgres import PostgresTransport
from tests.transports.postgres.tools import (
    PATIENCE,
    entered,
    numbered,
    publish_all,
    role_url,
    run_sql,
    tail_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sse_kit.testing.engines import PostgresEngine
    from sse_kit.testing.engines.plugin import OwnPostgres

pytestmark = pytest.mark.anyio


CORE = "s3cret"
SECRET = f"{CORE}/@:"
WRONG = "wr0ng"


async def refused(url: str, match: str, **options: Any) -> str:
    """Assert that it is refused, and not tried again; return the sentence."""
    with anyio.fail_after(4), pytest.raises(EngineRefused, match=match) as caught:
        async with PostgresTransport(url, **options):
            pytest.fail("it should be refused")
    return str(caught.value)


async def test_a_password_is_asked_for_and_never_shown(
    own_postgres: OwnPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be in the URL or beside it; a wrong one is refused at once."""
    engine = own_postgres(password=SECRET)
    bare = engine.url.replace("postgres:s3cret%2F%40%3A@", "postgres@")
    assert CORE not in bare
    async with entered(engine.url) as transport:
        await transport.publish(numbered(1))
        assert CORE not in (await transport.health()).detail
    async with entered(bare, password=SECRET) as transport:
        assert (await transport.bounds()).last == 1
        assert CORE not in repr(transport.settings)
    await refused(bare, r"no password supplied.*password=")
    told = await refused(bare, r"authentication failed.*password", password=WRONG)
    assert WRONG not in told
    assert CORE not in caplog.text


async def test_a_server_is_verified(own_postgres: OwnPostgres, tmp_path: Path) -> None:
    """The right authority lets us in, another one and another name do not."""
    engine = own_postgres("system", tls=True)
    assert engine.certificates is not None
    bare = engine.url.partition("?")[0]
    authority = str(engine.certificates.authority)
    async with entered(bare, sslmode="verify-full", sslrootcert=authority) as transport:
        await transport.publish(numbered(1))
    wrong = str(Certificates.make(tmp_path).authority)
    await refused(bare, "certificate verify failed", sslmode="verify-full", sslrootcert=wrong)
    absent = str(tmp_path / "none.pem")
    await refused(bare, r"sslrootcert=", sslmode="verify-full", sslrootcert=absent)
    await refused(bare, r"pg_hba.conf", sslmode="disable")
    named = bare.replace("127.0.0.1", "localhost.localdomain") + "?hostaddr=127.0.0.1"
    await refused(named, "does not match|name", sslmode="verify-full", sslrootcert=authority)


async def test_a_server_without_tls_is_refused_where_it_is_asked_for(url: str) -> None:
    """The sentence says what the server lacks."""
    await refused(url, "does not support SSL", sslmode="require")


def database_url(url: str, name: str) -> str:
    return f"{url.rpartition('/')[0]}/{name}"


async def test_what_is_not_there_is_named(url: str) -> None:
    """A database or a role that does not exist."""
    await refused(database_url(url, "no_such"), 'database "no_such" does not exist')
    await refused(url.replace("postgres@", "no_such@"), 'role "no_such" does not exist')


async def test_a_standby_is_refused(mortal: PostgresEngine, own_postgres: OwnPostgres) -> None:
    """It can only be read: the remedy is the primary."""
    standby = own_postgres(standby_of=mortal)
    await refused(standby.url, "is a standby.*primary")


async def test_a_role_that_may_only_read_is_refused(url: str) -> None:
    """Told when it is entered, not at the first publish."""
    name = fresh_namespace()
    own = role_url(url, name)
    run_sql(url, "ALTER ROLE {r} SET default_transaction_read_only = on", r=name)
    await refused(own, "read-only")


async def test_a_database_of_another_encoding_is_refused(url: str) -> None:
    """Topics are Unicode."""
    name = fresh_namespace()
    how = "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"
    run_sql(url, "CREATE DATABASE {n} " + how, n=name)
    own = database_url(url, name)
    await PostgresTransport(own).setup()
    await refused(own, "encoding is LATIN1")


HOSTILE = (
    "statement_timeout = '50ms'",
    "lock_timeout = '1ms'",
    "idle_in_transaction_session_timeout = '50ms'",
    "idle_session_timeout = '50ms'",
    "default_transaction_isolation = 'serializable'",
    "client_encoding = 'LATIN1'",
    "search_path = evil, pg_catalog",
    "synchronous_commit = off",
    "bytea_output = 'escape'",
    "DateStyle = 'German'",
)


EVIL = (
    "octet_length(bytea) RETURNS int RETURN 1 / 0",
    "clock_timestamp() RETURNS timestamptz RETURN to_timestamp(0)",
    "pg_is_in_recovery() RETURNS bool RETURN true",
)


async def test_what_a_role_has_set_changes_nothing(url: str) -> None:
    """Timeouts, isolation, encodings, and functions of the same name in its search path."""
    name = fresh_namespace()
    own = role_url(url, name)
    run_sql(
        url,
        "CREATE SCHEMA IF NOT EXISTS evil",
        "GRANT USAGE ON SCHEMA evil TO PUBLIC",
        *(f"CREATE OR REPLACE FUNCTION evil.{function}" for function in EVIL),
        *(f"ALTER ROLE {name} SET {setting}" for setting in HOSTILE),
    )
    async with (
        entered(url, namespace=name) as first,
        PostgresTransport(own, namespace=name) as transport,
        PostgresTransport(own, namespace=name) as other,
        tail_of(other) as tail,
    ):
        async with anyio.create_task_group() as tasks:
            for each in (first, transport, other):
                tasks.start_soon(publish_all, each, range(60))
        records = [int((await tail.record()).payload) for _ in range(60)]
        assert (await transport.health()).status == "ok"
        assert (await transport.bounds()).last == 60
    assert sorted(records) == list(range(60))


def test_another_event_loop_is_refused(url: str) -> None:
    """On trio the sentence says what runs there."""

    async def enter() -> None:
        async with PostgresTransport(url):
            pytest.fail("psycopg does not run on trio")

    with pytest.raises(RuntimeError, match="asyncio only"):
        anyio.run(enter, backend="trio")


async def test_a_postgresql_that_is_too_old_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence says which version it needs."""
    monkeypatch.setattr("sse_kit.transports.postgres_link.OLDEST_SERVER", 99)
    with anyio.fail_after(PATIENCE):
        await refused(url, "use 99 or newer")
