"""The file stays bounded: by count, bytes and age, whoever reads, and whatever keys there were."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit.config import Retention
from sse_kit.transports import sqlite, sqlite_file, sqlite_log
from sse_kit.transports.base import Bounds, HealthStatus, Publication
from sse_kit.transports.sqlite import SqliteTransport
from sse_kit.transports.sqlite_log import SqliteLog
from tests.transports.sqlite.tools import PATIENCE, fill, part, publish

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


class Clock:
    """The machine's clock, put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sqlite_log, "time", clock)
    return clock


async def bounds_until(transport: SqliteTransport, first: int) -> Bounds:
    """Return the bounds as soon as they begin at ``first``."""
    with anyio.fail_after(PATIENCE):
        while (bounds := await transport.bounds()).first != first:  # noqa: ASYNC110  no event tells
            await anyio.sleep(0.01)
    return bounds


async def test_a_log_is_bounded_by_count(path: Path) -> None:
    """The newest are kept, with the publish that makes them too many."""
    async with SqliteTransport(path, retention=Retention(max_records=3)) as transport:
        for number in range(1, 8):
            await publish(transport, number)
            bounds = await transport.bounds()
            assert (bounds.first, bounds.last) == (max(1, number - 2), number)


async def test_a_log_is_bounded_by_bytes(path: Path) -> None:
    """Payloads and topics count; the newest is kept whatever its size."""
    async with SqliteTransport(path, retention=Retention(max_bytes=1_000)) as transport:
        for size, first in ((400, 1), (400, 1), (400, 2), (1_000, 4), (10, 5)):
            await transport.publish(Publication(("topic",), bytes(size)))
            assert (await transport.bounds()).first == first


async def test_a_log_is_bounded_by_age(path: Path, clock: Clock) -> None:
    """Also while nobody publishes; offsets go on, though nothing is left to count from."""
    async with SqliteTransport(path, retention=Retention(max_age=60.0)) as transport:
        await publish(transport, 1, 2)
        clock.ahead = 50.0
        await publish(transport, 3)
        clock.ahead = 65.0
        assert (await bounds_until(transport, 3)).last == 3
        clock.ahead = 200.0
        assert (await bounds_until(transport, 4)).last == 3
        assert (await publish(transport, 4))[0].offset == 4


async def test_a_tighter_bound_is_met_little_by_little(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction deletes so many rows and no more, for others wait for it."""
    monkeypatch.setattr(sqlite_log, "STEP", 10)
    monkeypatch.setattr(sqlite, "TIDY", 0.01)
    async with SqliteTransport(path) as transport, anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(publish, transport, number)
    deleted: list[int] = []
    trim = SqliteLog._trim  # noqa: SLF001  to look at each of its steps

    def watched(*arguments: object) -> None:
        state = arguments[2]
        before = state.first  # type: ignore[attr-defined]
        trim(*arguments)  # type: ignore[arg-type]
        deleted.append(state.first - before)  # type: ignore[attr-defined]

    monkeypatch.setattr(SqliteLog, "_trim", watched)
    async with SqliteTransport(path, retention=Retention(max_records=20)) as transport:
        await bounds_until(transport, 81)
    assert sum(deleted) == 80
    assert max(deleted) == 10


async def test_keys_are_forgotten_after_their_window(path: Path, clock: Clock) -> None:
    """Inside it a key is known though its record is trimmed; after it, it is nobody's."""
    keyed = Publication(("t",), b"1", "key")
    kept = Retention(max_records=2)
    async with SqliteTransport(path, retention=kept, dedup_window=30.0) as transport:
        first = await transport.publish(keyed)
        await publish(transport, 2, 3, 4)
        clock.ahead = 29.0
        again = await transport.publish(keyed)
        assert (again.position, again.duplicate) == (first.position, True)
        clock.ahead = 31.0
        anew = await transport.publish(keyed)
        assert (anew.position.offset, anew.duplicate) == (5, False)
        clock.ahead = 100.0
        await publish(transport, 6)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT offset FROM key").fetchall() == [(6,)]


async def test_the_file_does_not_grow_with_what_went_through_it(
    path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it is full once, its pages are used again, and so are those of the -wal."""
    monkeypatch.setattr(sqlite_log, "CHECKPOINT", 1_000_000)
    sizes: list[int] = []
    retention = Retention(max_bytes=200_000)
    async with SqliteTransport(path, retention=retention, dedup_window=20.0) as transport:
        for _ in range(6):
            for _ in range(10):
                clock.ahead += 5.0
                async with anyio.create_task_group() as tasks:
                    for _ in range(20):
                        tasks.start_soon(transport.publish, Publication(("t",), bytes(2_000)))
            with closing(sqlite3.connect(path)) as connection:
                sizes.append(connection.execute("PRAGMA page_count").fetchone()[0] * 4096)
        assert part(path, "-wal").stat().st_size < 3_000_000
    assert sizes[-1] <= 1.1 * sizes[1]
    assert sizes[-1] < 600_000


async def test_nobody_can_commit_while_the_write_ahead_log_is_moved(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite before 3.51.3 may lose such a commit, so a checkpoint is made under the write lock."""
    monkeypatch.setattr(sqlite_log, "CHECKPOINT", 1)
    checkpoint = SqliteLog._checkpoint  # noqa: SLF001  to look while it is made
    moved: list[int] = []

    def watched(log: SqliteLog) -> None:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            checkpoint(log)
            # It was made: there is nothing left that a second one would move.
            _, frames, done = other.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            moved.append(frames - done)

    monkeypatch.setattr(SqliteLog, "_checkpoint", watched)
    async with SqliteTransport(path) as transport:
        await publish(transport, *range(5))
    assert len(moved) >= 4
    assert set(moved) == {0}


async def test_what_is_moved_is_on_the_disk_as_well(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where that takes a special call (macOS): else the -wal is used again too early."""
    monkeypatch.setattr(sqlite_log, "CHECKPOINT", 1)
    connect = sqlite_file.connect
    moved: list[int] = []

    def watched(path: str, *, create: bool) -> sqlite3.Connection:
        connection = connect(path, create=create)

        def look(statement: str) -> None:
            if "wal_checkpoint" in statement:
                moved.append(connection.execute("PRAGMA checkpoint_fullfsync").fetchone()[0])

        connection.set_trace_callback(look)
        return connection

    monkeypatch.setattr(sqlite_file, "connect", watched)
    async with SqliteTransport(path) as transport:
        await publish(transport, *range(3))
    assert set(moved) == {1}


async def test_sqlite_moves_nothing_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would do so after the commit, when others commit too."""
    monkeypatch.setattr(sqlite_log, "CHECKPOINT", 10**12)
    async with SqliteTransport(path) as transport:
        for _ in range(12):
            await transport.publish(Publication(("t",), bytes(1_000_000)))
        assert part(path, "-wal").stat().st_size > 12_000_000


async def test_a_long_reader_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's open transaction keeps the -wal from being used again; health says what to do."""
    monkeypatch.setattr(sqlite, "LARGE_WAL", 9_000_000)
    monkeypatch.setattr(sqlite_log, "CHECKPOINT", 2_000_000)
    await fill(path, 1)
    large = [Publication(("t",), bytes(1_000_000), str(number)) for number in range(16)]
    async with SqliteTransport(path, retention=Retention(max_bytes=3_000_000)) as transport:
        for each in large[:8]:
            await transport.publish(each)
        assert (await transport.health()).status is HealthStatus.OK
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM record").fetchone()
            for each in large[8:]:
                await transport.publish(each)
            health = await transport.health()
        assert health.status is HealthStatus.DEGRADED
        assert "in one long transaction: end it" in health.detail
