"""A log that was copied, or put back, is not taken for the one that clients know."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit.testing.suite import TailReader
from sse_kit.transports import sqlite
from sse_kit.transports.base import Gap, GapReason, Position, Rebase
from sse_kit.transports.sqlite import SqliteTransport
from sse_kit.transports.sqlite_file import Life
from sse_kit.transports.sqlite_log import SqliteLog
from sse_kit.transports.sqlite_tables import FORKS
from tests.transports.sqlite.tools import (
    PATIENCE,
    backup,
    copy,
    crash,
    fill,
    follow,
    part,
    publish,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def naive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go on with the epoch that is in the file, whatever happened to it."""
    begin = Life.begin

    def never_alone(life: Life) -> bool:
        if begin(life):
            life.share()
        return False

    monkeypatch.setattr(Life, "begin", never_alone)


async def test_a_restart_without_a_loss_is_no_gap(path: Path) -> None:
    """Positions of earlier lives are good, each as far as its life went."""
    lives = [await fill(path, 1, 2), await fill(path, 3), await fill(path, 4, 5)]
    assert len({own[0].epoch for own in lives}) == 3
    async with SqliteTransport(path) as transport:
        epoch = (await transport.bounds()).epoch
        for own in lives:
            for position in own:
                assert await transport.locate(position) == Position(epoch, position.offset)
        await publish(transport, 6)
        assert await follow(transport, lives[1][0], upto=6) == [
            Rebase(lives[1][0].epoch, epoch, 3),
            *(4, 5, 6),
        ]
        # It was never the third life that the first client saw.
        assert await transport.locate(Position(lives[0][0].epoch, 3)) == Gap(
            GapReason.AHEAD, Position(epoch, 2)
        )


async def put_back(path: Path, how: str) -> list[Position]:
    """Publish three, copy, publish two more, put the copy back, publish four others.

    Return the positions of the first five.
    """
    async with SqliteTransport(path) as transport:
        seen = await publish(transport, 1, 2, 3)
        old = backup(path, path.with_name("copy.db"))
        seen += await publish(transport, 4, 5)
    if how == "over it":
        copy(old, path)  # the same inode, born when it was
    else:
        old.rename(path)
    await fill(path, 14, 15, 16, 17)
    return seen


async def assert_all_is_told(path: Path, how: str) -> None:
    seen = await put_back(path, how)
    async with SqliteTransport(path) as transport:
        epoch = (await transport.bounds()).epoch
        fork = Position(epoch, 3)
        for lost in seen[3:]:
            told = await follow(transport, lost, upto=17)
            assert told == [Gap(GapReason.AHEAD, fork), 14, 15, 16, 17]
        told = await follow(transport, seen[2], upto=17)
        assert told == [Rebase(seen[2].epoch, epoch, 3), 14, 15, 16, 17]


@pytest.mark.parametrize("how", ["over it", "in its place"])
async def test_an_older_copy_is_told(path: Path, how: str) -> None:
    """Whoever saw what is lost is told, and sees what came instead; nobody else is disturbed."""
    await assert_all_is_told(path, how)


@pytest.mark.usefixtures("naive")
@pytest.mark.parametrize("how", ["over it", "in its place"])
async def test_the_epoch_of_the_file_alone_tells_nothing(path: Path, how: str) -> None:
    """Without lives a client that saw five gets the last two of seven, and no word."""
    with pytest.raises(AssertionError):
        await assert_all_is_told(path, how)


async def test_an_older_copy_of_an_earlier_life_is_another_log(path: Path) -> None:
    """A copy knows nothing of the lives after it: their clients begin anew."""
    await fill(path, 1, 2)
    old = copy(path, path.with_name("copy.db"))
    seen = await fill(path, 3)
    copy(old, path)
    async with SqliteTransport(path) as transport:
        await publish(transport, 13)
        gap = Gap(GapReason.EPOCH, (await transport.bounds()).start)
        assert await follow(transport, seen[0], upto=13) == [gap, 1, 2, 13]


async def assert_both_go_on(path: Path) -> None:
    async with SqliteTransport(path) as transport:
        seen = await publish(transport, 1, 2)
        other = backup(path, path.with_name("copy.db"))
        seen += await publish(transport, 3, 4)
        async with SqliteTransport(other) as copied:
            theirs = await publish(copied, 13, 14)
            assert {position.epoch for position in seen}.isdisjoint({theirs[0].epoch})
            gap = Gap(GapReason.AHEAD, Position(theirs[0].epoch, 2))
            assert await follow(copied, seen[2], upto=14) == [gap, 13, 14]
            assert await follow(transport, seen[1], upto=4) == [3, 4]


async def test_a_copy_is_a_log_of_its_own(path: Path) -> None:
    """While the original goes on, so that no position means two things."""
    await assert_both_go_on(path)


@pytest.mark.usefixtures("naive")
async def test_two_logs_of_one_epoch_would_be_mixed_up(path: Path) -> None:
    """Without lives a client that goes from one to the other misses a record of each."""
    with pytest.raises(AssertionError):
        await assert_both_go_on(path)


async def assert_restoring_is_told(path: Path) -> None:
    async with SqliteTransport(path) as transport, SqliteTransport(path) as other:
        await publish(transport, 1, 2)
        old = backup(path, path.with_name("copy.db"))
        seen = await publish(transport, 3, 4)
        assert (await other.bounds()).last == 4
        backup(old, path)
        await publish(other, 13, 14, 15)
        gap = Gap(GapReason.AHEAD, Position((await other.bounds()).epoch, 2))
        assert await follow(transport, seen[1], upto=15) == [gap, 13, 14, 15]


async def test_restoring_into_the_open_file_is_told(path: Path) -> None:
    """Whoever publishes next sees that the log was longer, and begins a new generation."""
    await assert_restoring_is_told(path)


async def assert_a_fresh_publisher_is_told(path: Path, patience: float = PATIENCE) -> None:
    """Restore while one process is there that published; another one then publishes first."""
    async with SqliteTransport(path) as transport:
        await publish(transport, 1, 2)
        old = backup(path, path.with_name("copy.db"))
        seen = await publish(transport, 3, 4)
        backup(old, path)
        async with SqliteTransport(path) as fresh:
            with anyio.fail_after(patience):
                while (await fresh.bounds()).epoch == seen[0].epoch:  # noqa: ASYNC110  no event
                    await anyio.sleep(0.01)
            await publish(fresh, 13, 14, 15)
            gap = Gap(GapReason.AHEAD, Position((await fresh.bounds()).epoch, 2))
            assert await follow(fresh, seen[1], upto=15) == [gap, 13, 14, 15]


async def test_a_publisher_that_is_new_needs_no_memory(path: Path) -> None:
    """Whoever was there begins the new generation within a second, though it does nothing."""
    await assert_a_fresh_publisher_is_told(path)


async def test_who_never_looks_leaves_it_to_chance(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without that second's look a process that is new goes on in the old generation."""
    monkeypatch.setattr(sqlite, "TIDY", 1_000.0)
    with pytest.raises(TimeoutError):
        await assert_a_fresh_publisher_is_told(path, patience=1.5)


async def test_a_tail_is_told_of_a_restore_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads begins the new generation before anything else is handed out."""
    monkeypatch.setattr(sqlite, "TIDY", 1_000.0)
    async with SqliteTransport(path) as transport, SqliteTransport(path) as other:
        await publish(transport, 1, 2)
        old = backup(path, path.with_name("copy.db"))
        end = (await publish(transport, 3, 4))[-1]
        async with other.tail() as stream:
            reader = TailReader(stream, PATIENCE)
            assert (await other.bounds()).end == end
            backup(old, path)
            gap = await reader.gap()
            epoch = (await transport.bounds()).epoch
            assert (gap, epoch != end.epoch) == (Gap(GapReason.AHEAD, Position(epoch, 2)), True)
            await publish(transport, 13)
            assert (await reader.record()).payload == b"13"


async def test_a_copy_of_an_earlier_life_is_told_though_its_epoch_was_another(path: Path) -> None:
    """It goes on from where its own epoch was, which clients may be beyond."""
    async with SqliteTransport(path) as transport:
        await publish(transport, 1, 2)
        old = backup(path, path.with_name("copy.db"))
        lost = (await publish(transport, 3))[0]
    async with SqliteTransport(path) as transport:
        await transport.bounds()
        backup(old, path)
        await publish(transport, 13, 14)
        gap = Gap(GapReason.AHEAD, Position((await transport.bounds()).epoch, 2))
        assert await follow(transport, lost, upto=14) == [gap, 13, 14]


async def test_restoring_is_told_in_every_log_of_the_file(path: Path) -> None:
    """Also to clients of a namespace that no process has open."""
    async with SqliteTransport(path) as transport:
        async with SqliteTransport(path, namespace="late") as late:
            await publish(transport, 1)
            old = backup(path, path.with_name("copy.db"))
            await publish(transport, 2)
            seen = (await publish(late, 1))[0]
        backup(old, path)
        await transport.bounds()
        async with SqliteTransport(path, namespace="late") as late:
            await publish(late, 11, 12)
            gap = Gap(GapReason.AHEAD, Position((await late.bounds()).epoch, 0))
            assert await follow(late, seen, upto=12) == [gap, 11, 12]


async def test_who_forgets_how_long_the_log_was_is_fooled(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the same offsets would be other records."""
    monkeypatch.setattr(SqliteLog, "_see", lambda _self, _end: None)
    with pytest.raises(AssertionError):
        await assert_restoring_is_told(path)


async def test_every_log_of_the_file_begins_a_new_generation(path: Path) -> None:
    """Also that of a namespace whose first process comes later."""
    async with SqliteTransport(path, namespace="late") as transport:
        (seen,) = await publish(transport, 1)
    async with (
        SqliteTransport(path, namespace="early"),
        SqliteTransport(path, namespace="late") as transport,
    ):
        assert (await transport.bounds()).epoch != seen.epoch
        assert await transport.locate(seen) == (await transport.bounds()).end


async def test_who_joins_begins_nothing(path: Path) -> None:
    """Processes that come and go while another one stays leave the epoch as it is."""
    async with SqliteTransport(path) as transport:
        epoch = (await transport.bounds()).epoch
        for number in (1, 2):
            assert {position.epoch for position in await fill(path, number)} == {epoch}
        assert (await transport.bounds()).epoch == epoch


async def test_earlier_generations_are_bounded(path: Path) -> None:
    """A process that is started again and again makes the file no larger."""
    async with SqliteTransport(path):
        pass
    last: list[Position] = []
    for _ in range(3):
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "INSERT INTO fork (log, epoch, upto) WITH RECURSIVE n(i) AS "
                "(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
                "SELECT 1, 'e' || random(), 0 FROM n",
                (FORKS,),
            )
        last = await fill(path, 1)
    async with SqliteTransport(path) as transport:
        assert isinstance(await transport.locate(last[0]), Position)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM fork").fetchone() == (FORKS,)


async def test_a_lost_write_ahead_log_is_told(path: Path) -> None:
    """What a crash left in the -wal is gone with it; clients that saw it are told."""
    await fill(path, 1)
    seen = crash(path, 2, 3)[-1]
    part(path, "-wal").unlink()
    part(path, "-shm").unlink()
    async with SqliteTransport(path) as transport:
        await publish(transport, 11, 12, 13, 14)
        gap, *rest = await follow(transport, seen, upto=14)
        epoch = (await transport.bounds()).epoch
    assert gap == Gap(GapReason.EPOCH, Position(epoch, 0))
    assert rest == [1, 11, 12, 13, 14]
