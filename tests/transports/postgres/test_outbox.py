"""A publication inside of the caller's own transaction."""

from __future__ import annotations

from typing import Any, cast

import anyio
import psycopg
import pytest
from psycopg import AsyncConnection, sql
from psycopg.rows import dict_row

from sse_kit import ConnectionRegistry, publication
from sse_kit.errors import InvalidInput, PayloadTooLarge, PublishFailed
from sse_kit.transports.base import Publication
from sse_kit.transports.postgres import PostgresTransport
from tests.transports.postgres.tools import entered, numbered, run_sql, tail_of, until, waiting

pytestmark = pytest.mark.anyio


async def test_what_is_rolled_back_was_never_published(url: str, namespace: str) -> None:
    """It takes no offset, and its key is free."""
    async with (
        entered(url, namespace=namespace, poll=30.0) as transport,
        tail_of(transport) as tail,
        await AsyncConnection.connect(url) as connection,
    ):
        await transport.publish(numbered(1), connection=connection)
        await connection.rollback()
        published = await transport.publish(numbered(1), connection=connection)
        assert (await transport.bounds()).last == 0
        await connection.commit()
        record = await tail.record()
    assert (published.duplicate, record.position, record.payload) == (
        False,
        published.position,
        b"1",
    )


async def test_an_order_and_its_message_are_stored_together(url: str, namespace: str) -> None:
    """The transaction that fails after publishing leaves neither; the commit wakes at once."""
    run_sql(url, "CREATE TABLE {n} (id int PRIMARY KEY)", n=namespace)
    insert = sql.SQL("INSERT INTO {} VALUES (1)").format(sql.Identifier(namespace))
    transport = PostgresTransport(url, namespace=namespace, poll=30.0)
    async with ConnectionRegistry(transport) as registry:
        client = await registry.add_connection(topics=["orders"])
        async with await AsyncConnection.connect(url) as connection:

            async def order(name: str) -> None:
                async with connection.transaction():
                    await transport.publish(publication("orders", name), connection=connection)
                    await connection.execute(insert)

            await order("first")
            with pytest.raises(psycopg.errors.UniqueViolation):
                await order("second")
            await transport.publish(publication("orders", "end"), connection=connection)
            await connection.commit()
        messages = aiter(client)
        with anyio.fail_after(20):
            seen = [(await anext(messages)).data for _ in range(2)]
    assert seen == ["first", "end"]


async def test_any_settings_of_the_connection_will_do(url: str, namespace: str) -> None:
    """Rows as dicts, autocommit: all stays as it was; and the transport needs no entering."""
    transport = PostgresTransport(url, namespace=namespace)
    async with await AsyncConnection.connect(url, row_factory=dict_row, autocommit=True) as own:
        first = await transport.publish(numbered(1), connection=own)
        again = await transport.publish(numbered(1), connection=own)
        without = await transport.publish(Publication(("t",), b""), connection=own)
        assert await (await own.execute("SHOW lock_timeout")).fetchone() == {"lock_timeout": "0"}
    assert again.duplicate
    assert again.position == first.position
    assert [first.position.offset, without.position.offset] == [1, 2]


async def test_what_is_no_asynchronous_connection_is_refused(url: str, namespace: str) -> None:
    """A synchronous one would block the event loop."""
    transport = PostgresTransport(url, namespace=namespace)
    with psycopg.connect(url) as blocking, pytest.raises(InvalidInput, match="AsyncConnection"):
        await transport.publish(numbered(1), connection=cast("Any", blocking))


async def test_a_payload_over_the_limit_leaves_the_transaction_alone(
    url: str, namespace: str
) -> None:
    """It is refused before anything is sent."""
    transport = PostgresTransport(url, namespace=namespace, max_payload=10)
    async with await AsyncConnection.connect(url) as connection:
        with pytest.raises(PayloadTooLarge):
            await transport.publish(Publication(("t",), bytes(11)), connection=connection)
        await transport.publish(Publication(("t",), bytes(10)), connection=connection)


async def test_an_open_transaction_holds_up_the_others_and_no_longer(
    url: str, namespace: str
) -> None:
    """They fail once their time is over, and leave nothing behind that waits on the server."""
    async with (
        entered(url, namespace=namespace, request_timeout=0.5, publish_timeout=0.8) as transport,
        await AsyncConnection.connect(url) as connection,
    ):
        await transport.publish(numbered(1), connection=connection)
        with pytest.raises(PublishFailed):
            await transport.publish(numbered(2))
        await until(lambda: not waiting(url))
        await connection.commit()
        assert (await transport.publish(numbered(2))).position.offset == 2
