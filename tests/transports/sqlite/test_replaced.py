"""A file that is deleted or replaced while it is open is noticed: nothing goes into the void."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sse_kit.errors import EngineRefused, TransportError
from sse_kit.testing.suite import TailReader
from sse_kit.transports.base import Gap, GapReason, HealthStatus, Position, Publication
from sse_kit.transports.sqlite import SqliteTransport
from sse_kit.transports.sqlite_file import DatabaseFile
from tests.transports.sqlite.tools import (
    PATIENCE,
    backup,
    contents,
    fill,
    move,
    numbers,
    part,
    publish,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


async def assert_down(transport: SqliteTransport, sentence: str) -> None:
    health = await transport.health()
    assert health.status is HealthStatus.DOWN
    assert sentence in health.detail
    # One attempt: publish would make it again and again, until its time is over.
    with pytest.raises(EngineRefused) as caught:
        await transport.append([Publication(("t",), b"99", "key")])
    assert sentence in str(caught.value)
    with pytest.raises(TransportError, match=r"log\.db"):
        await transport.read(0, limit=1)


async def test_a_deleted_file_is_told_and_not_made_anew(path: Path) -> None:
    """A volume that is not there must not be hidden; what comes back goes on as it was."""
    folder = path.parent
    async with SqliteTransport(path) as transport:
        await publish(transport, 1)
        move(path, path.with_name("away.db"))
        await assert_down(transport, "the file is gone): put it back, or stop and start all")
        assert not list(folder.glob("log.db*"))
        move(path.with_name("away.db"), path)
        assert (await publish(transport, 2))[0].offset == 2
        assert (await transport.health()).status is HealthStatus.OK
    assert await contents(path) == [1, 2]


async def assert_follows(path: Path, patience: float = PATIENCE) -> None:
    other = path.with_name("other.db")
    async with SqliteTransport(path) as transport:
        end = (await publish(transport, 1, 2, 3))[-1]
        async with transport.tail() as stream:
            reader = TailReader(stream, patience)
            await fill(other, 11, 12)
            move(path, path.with_name("away.db"))
            move(other, path)
            gap = await reader.gap()
            assert gap == Gap(GapReason.EPOCH, Position(gap.resume.epoch, 0))
            assert gap.resume.epoch != end.epoch
            await publish(transport, 13)
            assert numbers([await reader.record() for _ in range(3)]) == [11, 12, 13]
    assert await contents(path) == [11, 12, 13]


async def test_another_database_in_its_place_is_followed(path: Path) -> None:
    """Tails are told of another log, and publishes go to it."""
    await assert_follows(path)


async def test_an_open_file_tells_nothing_of_its_path(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a look at the path, a publish is acknowledged that nobody will ever find."""
    monkeypatch.setattr(DatabaseFile, "use", lambda file: file._connection)  # noqa: SLF001  the naive way
    monkeypatch.setattr(DatabaseFile, "check", lambda _: None)
    with pytest.raises(BaseException, match="silent"):
        await assert_follows(path, patience=0.5)


def link(path: Path, name: str) -> None:
    """Let the path be a link to ``name``, in one step."""
    new = path.with_name("new")
    new.symlink_to(name)
    new.rename(path)


async def test_a_link_that_is_switched_is_followed(path: Path) -> None:
    """As a deployment does it: the path is a link, to one database or to another."""
    await fill(path.with_name("one.db"), 1)
    await fill(path.with_name("two.db"), 21)
    link(path, "one.db")
    async with SqliteTransport(path) as transport:
        await publish(transport, 2)
        link(path, "two.db")
        await publish(transport, 22)
    assert await contents(path.with_name("one.db")) == [1, 2]
    assert await contents(path.with_name("two.db")) == [21, 22]


async def assert_no_commit_is_lost(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the file between a commit and its acknowledgement."""
    other = path.with_name("other.db")
    await fill(other, 11)
    check = DatabaseFile.check

    def replaced_first(file: DatabaseFile) -> None:
        if other.exists():
            move(path, path.with_name("away.db"))
            move(other, path)
        check(file)

    async with SqliteTransport(path) as transport:
        monkeypatch.setattr(DatabaseFile, "check", replaced_first)
        await publish(transport, 12)
    assert await contents(path) == [11, 12]


async def test_a_commit_into_a_file_that_is_gone_is_none(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stored again in the file that is there now, before it is acknowledged."""
    await assert_no_commit_is_lost(path, monkeypatch)


async def test_a_look_before_the_commit_is_too_early(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the one after it the acknowledged record is lost."""
    monkeypatch.setattr(DatabaseFile, "check", lambda _: None)
    with pytest.raises(AssertionError):
        await assert_no_commit_is_lost(path, monkeypatch)


async def test_a_deleted_write_ahead_log_is_told(path: Path) -> None:
    """Nothing more is taken, and what was acknowledged is there after a restart."""
    async with SqliteTransport(path) as transport:
        await publish(transport, 1, 2)
        part(path, "-wal").unlink()
        await assert_down(transport, "its -wal was deleted or replaced while it was open")
    assert await contents(path) == [1, 2]


async def test_a_database_beside_the_log_of_another_is_told(path: Path) -> None:
    """Put in place without care, it would be mixed with what the -wal of the old one holds."""
    await fill(path, 1)
    async with SqliteTransport(path) as transport:
        old = backup(path, path.with_name("old.db"))
        await publish(transport, 2)
        old.rename(path)
        await assert_down(transport, "its -wal is still that of the old one")
