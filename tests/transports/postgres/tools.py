"""What the tests of PostgreSQL share: an administrator's connection, and how a tail is read."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Unpack

import anyio
import psycopg

from sse_kit.testing.suite import TailReader
from sse_kit.transports.base import Gap, Position, Publication, Rebase, Record
from sse_kit.transports.postgres import PostgresTransport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from sse_kit.transports.base import Published, Transport
    from sse_kit.transports.postgres_settings import PostgresOptions

PATIENCE = 20.0


def numbered(number: int) -> Publication:
    return Publication(("t",), b"%d" % number, f"key {number}")


def run_sql(url: str, *statements: str, **names: object) -> list[tuple[Any, ...]]:
    """Run statements, with names put in, as the administrator; return the rows of the last one."""
    statements = tuple(s.format(**names) if names else s for s in statements)
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements[:-1]:
            connection.execute(statement.encode())
        cursor = connection.execute(statements[-1].encode())
        return cursor.fetchall() if cursor.description else []


def role_url(url: str, name: str) -> str:
    """Make a role that may use the tables, and return the URL for it."""
    run_sql(
        url,
        f"CREATE ROLE {name} LOGIN",
        f"GRANT USAGE ON SCHEMA sse_kit TO {name}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA sse_kit TO {name}",
    )
    return url.replace("postgres@", f"{name}@")


def plant(url: str, schema: str, old: str, new: str) -> None:
    """Make tables and functions of which one thing is done in the naive way."""
    assert old in PostgresTransport.SQL
    run_sql(url, PostgresTransport.SQL.replace(old, new).replace("sse_kit", schema))


@asynccontextmanager
async def entered(
    url: str, **options: Unpack[PostgresOptions]
) -> AsyncGenerator[PostgresTransport]:
    """Enter a transport whose tables are there; the body has :data:`PATIENCE` seconds."""
    with anyio.fail_after(PATIENCE):
        transport = PostgresTransport(url, **options)
        if "schema" not in options:
            await transport.setup()
        async with transport:
            yield transport


@asynccontextmanager
async def tail_of(
    transport: Transport, after: Position | None = None
) -> AsyncGenerator[TailReader]:
    async with transport.tail(after) as stream:
        yield TailReader(stream, PATIENCE)


async def publish_all(transport: Transport, numbers: Iterable[int]) -> list[Published]:
    return [await transport.publish(numbered(number)) for number in numbers]


async def told(transport: Transport, after: Position, last: int) -> list[str | int]:
    """Return what a new tail hands out, up to the payload ``last``."""
    async with tail_of(transport, after) as tail:
        return await told_by(tail, last)


async def told_by(tail: TailReader, last: int) -> list[str | int]:
    """Return what a tail hands out up to the payload ``last``: payloads, gaps and rebases."""
    seen: list[str | int] = []
    while last not in seen:
        match await tail.next():
            case Record(payload=payload):
                seen.append(int(payload))
            case Gap(reason=reason, resume=resume):
                seen.append(f"{reason} -> {resume.offset}")
            case Rebase():
                seen.append("rebase")
    return seen


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells."""
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110
            await anyio.sleep(0.01)


def waiting(url: str) -> list[tuple[Any, ...]]:
    """Return the publishes that wait for another transaction."""
    asks = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'publish'"
    return run_sql(url, asks)
