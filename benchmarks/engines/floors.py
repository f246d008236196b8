"""The floors: one store by the bare client, awaited, without any of the promises.

No log without holes, no key, no retention: what is between a floor and ours is their price, and
what batching wins back.
"""

from __future__ import annotations

import sqlite3
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import coredis
import nats
import psycopg
from anyio import CapacityLimiter, to_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

Store: TypeAlias = "Callable[[bytes], Awaitable[object]]"
Floor: TypeAlias = "Callable[[str], AbstractAsyncContextManager[Store]]"

CONNECTIONS = 3
"""As many as PostgresTransport has."""


@asynccontextmanager
async def redis(url: str) -> AsyncGenerator[Store]:
    """XADD."""
    client = coredis.Redis[bytes].from_url(url, decode_responses=False)
    async with client:

        async def store(data: bytes) -> object:
            return await client.xadd("bare", field_values={"d": data})

        yield store


@asynccontextmanager
async def jetstream(url: str) -> AsyncGenerator[Store]:
    """Publish to a stream in files, and wait for its acknowledgement."""
    client = await nats.connect(url)
    context = client.jetstream()
    await context.add_stream(name="bare", subjects=["bare"])

    async def store(data: bytes) -> object:
        return await context.publish("bare", data)

    yield store
    await client.close()


@asynccontextmanager
async def postgres(url: str) -> AsyncGenerator[Store]:
    """INSERT, a transaction each, by turns over a few connections."""
    connections = [
        await psycopg.AsyncConnection.connect(url, autocommit=True) for _ in range(CONNECTIONS)
    ]
    await connections[0].execute("CREATE TABLE bare (id bigserial PRIMARY KEY, data bytea)")
    turn = 0

    async def store(data: bytes) -> object:
        nonlocal turn
        turn += 1
        connection = connections[turn % CONNECTIONS]
        return await connection.execute("INSERT INTO bare (data) VALUES (%s)", (data,))

    yield store
    for connection in connections:
        await connection.close()


@asynccontextmanager
async def sqlite(path: str) -> AsyncGenerator[Store]:
    """INSERT, a transaction each, in a thread."""
    limiter = CapacityLimiter(1)
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, data BLOB)")

    def insert(data: bytes) -> None:
        connection.execute("INSERT INTO bare (data) VALUES (?)", (data,))

    async def store(data: bytes) -> object:
        return await to_thread.run_sync(insert, data, limiter=limiter)

    yield store
    connection.close()
