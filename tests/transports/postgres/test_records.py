"""What is kept, for how long, and how large it may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from psycopg import AsyncConnection

from sse_kit import ConnectionRegistry, Retention
from sse_kit.transports.base import Publication
from sse_kit.transports.postgres import PAGE_BYTES, PostgresTransport
from tests.transports.postgres.tools import entered, numbered, publish_all, run_sql, tail_of, until

if TYPE_CHECKING:
    from sse_kit.transports.base import Bounds

pytestmark = pytest.mark.anyio

KEPT = "SELECT first, last, bytes FROM sse_kit.log WHERE namespace = '{n}'"
STORED = """
SELECT min(off), max(off), sum(size)::int8 FROM sse_kit.record WHERE namespace = '{n}'
"""


async def trimmed_to(transport: PostgresTransport, first: int) -> Bounds:
    """Wait until the janitor let go of what is before ``first``."""
    while (bounds := await transport.bounds()).first < first:  # noqa: ASYNC110  no event tells
        await anyio.sleep(0.02)
    return bounds


@pytest.mark.parametrize(
    ("retention", "first"),
    [
        (Retention(max_records=10), 51),
        (Retention(max_records=None, max_bytes=100), 41),
        (Retention(max_records=1), 60),
        (Retention(max_bytes=1), 60),
        (Retention(max_records=20, max_bytes=60), 49),
    ],
    ids=str,
)
async def test_what_is_over_the_limits_is_let_go(
    url: str, namespace: str, retention: Retention, first: int
) -> None:
    """Sixty records of five bytes: the tightest limit wins, and the newest is kept in any case."""
    async with entered(url, namespace=namespace, retention=retention) as transport:
        for number in range(60):
            await transport.publish(Publication(("abc",), b"%02d" % number))
        bounds = await trimmed_to(transport, first)
    assert (bounds.first, bounds.last) == (first, 60)
    assert run_sql(url, KEPT, n=namespace) == run_sql(url, STORED, n=namespace)


async def test_what_is_too_old_is_let_go_while_nobody_publishes(url: str, namespace: str) -> None:
    """All of it, the newest too; offsets go on."""
    retention = Retention(max_age=0.3)
    async with entered(url, namespace=namespace, retention=retention) as transport:
        await publish_all(transport, range(5))
        bounds = await trimmed_to(transport, 6)
        assert (bounds.first, bounds.last) == (6, 5)
        assert (await transport.publish(numbered(9))).position.offset == 6


async def test_a_publisher_alone_keeps_the_bounds(url: str, namespace: str) -> None:
    """Publishing lets go of what is over by a sixteenth, so no janitor needs to keep up."""
    transport = PostgresTransport(url, namespace=namespace, retention=Retention(max_records=160))
    async with await connect(url) as connection:
        for number in range(200):
            await transport.publish(numbered(number), connection=connection)
    first, last, _ = run_sql(url, KEPT, n=namespace)[0]
    assert 160 <= last - first + 1 <= 170


async def connect(url: str) -> AsyncConnection[Any]:
    return await AsyncConnection.connect(url, autocommit=True)


async def test_a_key_is_remembered_for_its_window_and_forgotten(url: str, namespace: str) -> None:
    """Longer than its record is kept, and no longer than the window."""
    keep = Retention(max_records=1)
    async with entered(url, namespace=namespace, retention=keep) as transport:
        first = await transport.publish(numbered(1))
        await transport.publish(numbered(2))
        await trimmed_to(transport, 2)
        again = await transport.publish(numbered(1))
        assert (again.duplicate, again.position) == (True, first.position)
    brief = PostgresTransport(
        url, namespace=namespace, retention=keep, dedup_window=0.001, publish_timeout=0.0005
    )
    async with await connect(url) as connection:
        late = await brief.publish(numbered(1), connection=connection)
    assert (late.duplicate, late.position.offset) == (False, 3)
    async with brief:
        count = "SELECT count(*) FROM sse_kit.key WHERE namespace = '{n}'"
        await until(lambda: run_sql(url, count, n=namespace) == [(0,)])


async def test_a_large_payload_comes_back_byte_for_byte(url: str, namespace: str) -> None:
    """Also such as do not compress, and many of them: a page ends at some bytes."""
    payloads = [bytes([n]) + b"\0\xff\n\\x" * (PAGE_BYTES // 8) for n in range(6)]
    async with entered(url, namespace=namespace) as transport:
        for payload in payloads:
            await transport.publish(Publication(("t",), payload))
        page = await transport.read(0, limit=100)
        assert 1 <= len(page.records) < 6
        async with tail_of(transport, page.bounds.start) as tail:
            assert [(await tail.record()).payload for _ in payloads] == payloads


async def test_foreign_records_are_skipped_and_counted(
    url: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What somebody else put into the log takes its offset, and streams nothing; one is logged."""
    transport = PostgresTransport(url, namespace=namespace)
    async with ConnectionRegistry(transport) as registry:
        client = await registry.add_connection(topics=["t"])
        for payload in (b"", b"\0\xff", b"{}", b'{"v":2}', b"null"):
            await transport.publish(Publication(("t",), payload))
        position = await registry.publish("t", "ours")
        with anyio.fail_after(20):
            message = await anext(aiter(client))
        skipped = registry.get_stats()["hub"]
    assert (message.data, position.offset) == ("ours", 6)
    assert skipped["malformed"] == 5
    assert caplog.text.count("malformed record at") == 1
