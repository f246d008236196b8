"""Killed, frozen, locked out, without room: what was acknowledged is there, and once."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import to_thread

from sse_kit.errors import PublishFailed
from sse_kit.testing.suite import END, TOPICS, TailReader
from sse_kit.transports import sqlite_file
from sse_kit.transports.base import HealthStatus, Publication
from sse_kit.transports.sqlite import SqliteTransport
from tests.transports.sqlite.tools import PATIENCE, ROOT, contents, numbers, part, publish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

hasty = partial(SqliteTransport, request_timeout=0.2, publish_timeout=1.0)
"""Whoever fails soon; what shall succeed has more time, for a machine may be busy."""

MODULE = "tests.transports.sqlite"
ROUNDS = 15


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


# Killed -------------------------------------------------------------------------------------------


def kill_publishers(path: Path, *naive: str) -> dict[int, int]:
    """Return what all of them were told: numbers by offset."""
    command = [sys.executable, "-m", f"{MODULE}.killed", str(path), str(ROUNDS), *naive]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    lines = done.stdout.splitlines()
    told = {int(offset): int(number) for offset, number in map(bytes.split, lines)}
    assert len(told) == len(lines) >= ROUNDS
    return told


async def assert_acknowledged_is_there(path: Path, told: dict[int, int]) -> None:
    log = dict(enumerate(await contents(path), 1))
    assert told.items() <= log.items()
    assert len(set(log.values())) == len(log)


def test_what_a_killed_publisher_was_told_is_there(path: Path) -> None:
    """Killed at any moment, alone with the file: no loss, no hole, no record twice."""
    anyio.run(assert_acknowledged_is_there, path, kill_publishers(path))


def test_an_offset_in_a_transaction_of_its_own_leaves_a_hole(path: Path) -> None:
    """The naive way does not survive the same."""
    told = kill_publishers(path, "naive")
    with pytest.raises(AssertionError):
        anyio.run(assert_acknowledged_is_there, path, told)


async def test_whoever_follows_sees_what_the_killed_stored(path: Path) -> None:
    """Another process, while publishers are killed: every record once, in order, in one epoch."""
    async with SqliteTransport(path) as transport, transport.tail() as stream:
        told = await to_thread.run_sync(kill_publishers, path)
        await transport.publish(Publication(TOPICS, END))
        records = await TailReader(stream, PATIENCE).until()
    assert [each.position.offset for each in records] == list(range(1, len(records) + 1))
    assert len({each.position.epoch for each in records}) == 1
    assert told.items() <= dict(enumerate(numbers(records), 1)).items()


# Locked -------------------------------------------------------------------------------------------


async def assert_waits(transport: SqliteTransport, done: anyio.Event) -> None:
    """Assert that for some attempts nothing is acknowledged, while reading goes on."""
    with anyio.move_on_after(0.8):
        await done.wait()
    assert not done.is_set()
    assert (await transport.bounds()).last == 0


async def publish_one(transport: SqliteTransport, done: anyio.Event) -> None:
    await publish(transport, 1)
    done.set()


async def test_a_publish_waits_for_the_transaction_of_another(path: Path) -> None:
    """Longer than one answer may take, as long as there is time to publish."""
    async with (
        SqliteTransport(path, request_timeout=0.5) as transport,
        anyio.create_task_group() as tasks,
    ):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            done = anyio.Event()
            tasks.start_soon(publish_one, transport, done)
            await assert_waits(transport, done)
        with anyio.fail_after(PATIENCE):
            await done.wait()


async def test_a_publish_waits_for_a_frozen_process(path: Path) -> None:
    """One that was stopped in its transaction: others go on when it does."""
    async with SqliteTransport(path) as transport, anyio.create_task_group() as tasks:
        command = [sys.executable, "-m", f"{MODULE}.locker", str(path)]
        locker = await to_thread.run_sync(partial(subprocess.Popen, command, cwd=ROOT))
        await to_thread.run_sync(os.waitpid, locker.pid, os.WUNTRACED)
        done = anyio.Event()
        tasks.start_soon(publish_one, transport, done)
        await assert_waits(transport, done)
        locker.send_signal(signal.SIGCONT)
        with anyio.fail_after(PATIENCE):
            await done.wait()
        assert await to_thread.run_sync(locker.wait) == 0


async def test_a_publish_fails_when_its_time_is_over(path: Path) -> None:
    """It says why; whether an attempt under way was stored is not known, but there is no hole."""
    async with SqliteTransport(path) as patient, hasty(path) as transport:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with pytest.raises(PublishFailed, match="database is locked"):
                await publish(transport, 1)
        await publish(patient, 2)
    assert await contents(path) in ([2], [1, 2])


async def test_leaving_waits_for_no_lock(path: Path) -> None:
    """A publish that waits for it is given up at once."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        async with anyio.create_task_group() as tasks:
            async with SqliteTransport(path, request_timeout=PATIENCE) as transport:
                connection.execute("BEGIN IMMEDIATE")
                tasks.start_soon(fail, transport)
                await anyio.wait_all_tasks_blocked()
                started = anyio.current_time()
            assert anyio.current_time() - started < PATIENCE / 2


async def fail(transport: SqliteTransport) -> None:
    with pytest.raises(PublishFailed, match="the transport was left"):
        await publish(transport, 1)


# Without room -------------------------------------------------------------------------------------


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Let no file grow beyond ``size`` bytes, as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_disk_without_room_fails_a_publish(path: Path) -> None:
    """It is told, reading goes on, and when there is room so does publishing."""
    large = Publication(("t",), bytes(300_000))
    async with SqliteTransport(path) as patient, hasty(path) as transport:
        await publish(patient, 1)
        with file_limit(part(path, "-wal").stat().st_size + 100_000):
            with pytest.raises(PublishFailed, match="disk I/O error"):
                await transport.publish(large)
            assert (await patient.bounds()).last == 1
            assert (await publish(patient, 2))[0].offset == 2
        assert (await patient.publish(large)).position.offset == 3
        assert (await patient.health()).status is HealthStatus.OK


async def test_a_database_that_may_not_grow_fails_a_publish(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's own limit gives its own error; a retry with the key stores it once."""
    connections: list[sqlite3.Connection] = []
    connect = sqlite_file.connect

    def limited(path: str, *, create: bool) -> sqlite3.Connection:
        connections.append(connect(path, create=create))
        connections[-1].execute("PRAGMA max_page_count = 40").fetchall()
        return connections[-1]

    monkeypatch.setattr(sqlite_file, "connect", limited)
    large = Publication(("t",), bytes(300_000), "key")
    async with SqliteTransport(path) as patient, hasty(path) as transport:
        await publish(patient, 1)
        with pytest.raises(PublishFailed, match="database or disk is full"):
            await transport.publish(large)
        for connection in connections:
            connection.execute("PRAGMA max_page_count = 4000").fetchall()
        assert (await patient.publish(large)).position.offset == 2
        assert (await patient.publish(large)).duplicate
