"""What somebody else did to the tables delays nobody, and is never passed over in silence."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit import ConnectionRegistry
from sse_kit.codec import load_payload
from sse_kit.config import Retention
from sse_kit.errors import MalformedPayload
from sse_kit.transports.base import Gap, GapReason, HealthStatus, Position, Publication
from sse_kit.transports.sqlite import SqliteTransport
from tests.transports.sqlite.tools import PATIENCE, fill, follow, publish

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def execute(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


FOREIGN = [
    ('["t"]', "text"),
    ('["t"]', 7),
    ("t", b"7"),
    ("{}", b"7"),
    ("null", b"7"),
    ('["t", 7]', b"7"),
    (b'["t"]', b"7"),
    ("[" * 100_000, b"7"),
]


@pytest.mark.parametrize(("topics", "payload"), FOREIGN)
async def test_a_foreign_record_keeps_its_place(
    path: Path, topics: object, payload: object
) -> None:
    """It is handed out with a payload that is refused, so it is counted, and tails go on."""
    first = (await fill(path, 1, 2, 3))[0]
    execute(path, "UPDATE record SET topics = ?, payload = ? WHERE offset = 2", topics, payload)
    async with SqliteTransport(path) as transport:
        record = (await transport.read(1, limit=1)).records[0]
        assert record.position.offset == 2
        with pytest.raises(MalformedPayload):
            load_payload(record.payload)
        assert (await transport.read(first.offset + 1, limit=5)).records[0].payload == b"3"


async def test_a_registry_counts_foreign_records(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It logs the first, and clients get what is before and after."""
    registry = ConnectionRegistry(SqliteTransport(path))
    async with registry:
        connection = await registry.add_connection(topics=("t",))
        await registry.publish("t", "before")
        for offset in (2, 3):
            execute(path, "INSERT INTO record VALUES (1, ?, 0.0, 1, 'no topics', 7)", offset)
        execute(path, "UPDATE log SET last = 3")
        await registry.publish("t", "after")
        messages = aiter(connection)
        with anyio.fail_after(PATIENCE):
            assert [(await anext(messages)).data for _ in range(2)] == ["before", "after"]
        assert registry.get_stats()["hub"]["malformed"] == 2
    assert caplog.text.count("malformed record at") == 1


@pytest.mark.parametrize(
    ("deleted", "told"),
    [
        ((1,), [Gap(GapReason.TRIMMED, Position("-", 1), 1), 2, 3, 4, 5, 6]),
        ((3, 4), [1, 2, Gap(GapReason.TRIMMED, Position("-", 4), 2), 5, 6]),
        ((5,), [1, 2, 3, 4, Gap(GapReason.TRIMMED, Position("-", 5), 1), 6]),
        ((1, 2, 3, 4, 5), [Gap(GapReason.TRIMMED, Position("-", 5), 5), 6]),
    ],
)
async def test_a_deleted_record_is_a_gap(
    path: Path, deleted: tuple[int, ...], told: list[object]
) -> None:
    """Wherever it was: whoever has not seen it is told how many are missing."""
    async with SqliteTransport(path) as transport:
        last = (await publish(transport, 1, 2, 3, 4, 5))[-1]
        for offset in deleted:
            execute(path, "DELETE FROM record WHERE offset = ?", offset)
        await publish(transport, 6)
        found = await follow(transport, Position(last.epoch, 0), upto=6)
    shown = [
        Gap(item.reason, Position("-", item.resume.offset), item.missed)
        if isinstance(item, Gap)
        else item
        for item in found
    ]
    assert shown == told


async def test_bytes_are_counted_anew_after_records_were_deleted(path: Path) -> None:
    """Else what is gone would count for ever, and ever less be kept."""
    async with SqliteTransport(path, retention=Retention(max_bytes=1_000)) as transport:
        for _ in range(2):
            await transport.publish(Publication(("t",), bytes(450)))
        execute(path, "DELETE FROM record")
        for first in (3, 3, 4):
            await transport.publish(Publication(("t",), bytes(450)))
            assert (await transport.bounds()).first == first


async def test_a_record_beyond_the_end_is_in_nobodys_way(path: Path) -> None:
    """It is not handed out, and the next publish takes its place."""
    async with SqliteTransport(path) as transport:
        await publish(transport, 1)
        execute(path, "INSERT INTO record VALUES (1, 2, 0.0, 1, '[]', x'00')")
        assert (await transport.bounds()).last == 1
        assert len((await transport.read(0, limit=5)).records) == 1
        assert (await publish(transport, 2))[0].offset == 2
        assert [each.payload for each in (await transport.read(1, limit=5)).records] == [b"2"]


async def test_a_deleted_log_is_told(path: Path) -> None:
    """A namespace that was taken away is no empty one."""
    async with SqliteTransport(path) as transport:
        execute(path, "DELETE FROM log")
        health = await transport.health()
    assert health.status is HealthStatus.DOWN
    assert "the log 'sse' was deleted from the file" in health.detail
