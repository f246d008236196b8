"""What cannot be a log is refused, before anything in it is changed, with what to do about it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sse_kit.config import Retention
from sse_kit.errors import EngineRefused, EngineUnavailable, InvalidSetting
from sse_kit.transports import sqlite_file
from sse_kit.transports.sqlite import MAX_PAYLOAD, SqliteTransport
from sse_kit.transports.sqlite_file import Life, network
from tests.transports.sqlite.tools import ROOT, contents, crash, fill, part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        (":memory:", r"use MemoryTransport\(\)"),
        ("file::memory:?cache=shared", r"use MemoryTransport\(\)"),
        ("file:log.db", "use transport_from_url"),
        ("sqlite:///log.db", "use transport_from_url"),
        ("", "give the path of a file"),
        ("log\0.db", "give the path of a file"),
        (b"log.db", "valid string"),
    ],
)
def test_what_is_no_path_is_refused(path: str, remedy: str) -> None:
    """At construction, with the value and the remedy."""
    with pytest.raises(InvalidSetting, match=remedy) as caught:
        SqliteTransport(path)
    assert caught.value.value == path


@pytest.mark.parametrize("option", [{"namespace": "a b"}, {"dedup_window": -1.0}, {"tls": True}])
def test_an_option_outside_its_range_is_refused(option: dict[str, Any]) -> None:
    """At construction, by name."""
    with pytest.raises(InvalidSetting, match=next(iter(option))):
        SqliteTransport("log.db", **option)


def test_a_relative_path_is_meant_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working directory may become another one before it is entered."""
    monkeypatch.chdir(tmp_path)
    assert SqliteTransport(Path("log.db")).contact.address == str(tmp_path / "log.db")


def test_a_payload_is_bounded_by_what_is_kept() -> None:
    """The smaller of the transport's own limit and the retention's."""
    limits = [
        SqliteTransport("log.db", retention=Retention(max_bytes=most)).traits.max_payload
        for most in (None, 2 * MAX_PAYLOAD, 1_000)
    ]
    assert limits == [MAX_PAYLOAD, MAX_PAYLOAD, 1_000]


# Places -------------------------------------------------------------------------------------------


async def enter(path: Path) -> None:
    with anyio.fail_after(5):
        async with SqliteTransport(path, connect_timeout=60.0):
            pytest.fail("it was not refused")


def refusal(path: Path) -> str:
    with pytest.raises(EngineRefused) as caught:
        anyio.run(enter, path)
    return str(caught.value)


def test_a_directory_that_is_missing_is_told(path: Path) -> None:
    """It is not made: a typing error, or a volume that is not there, must not be hidden."""
    sentence = refusal(path.with_name("missing") / "log.db")
    assert "there is no directory" in sentence
    assert sentence.endswith("make it")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    """It says what it found."""
    assert "it is a directory" in refusal(tmp_path)


def test_what_is_no_database_is_left_alone(path: Path) -> None:
    """A file of text keeps every byte."""
    text = "dear diary, " * 1_000
    path.write_text(text)
    assert "file is not a database" in refusal(path)
    assert path.read_text() == text


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE users (id)", "PRAGMA user_version = 7", "PRAGMA application_id = 7"],
)
def test_a_database_of_something_else_is_left_alone(path: Path, statement: str) -> None:
    """Not even its journal mode is changed."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()
    before = path.read_bytes()
    assert "a database of something else): give a path of its own" in refusal(path)
    assert path.read_bytes() == before


def test_newer_tables_are_left_alone(path: Path) -> None:
    """An old version of the code does not write into what it does not know."""
    anyio.run(fill, path, 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    assert "version 2 of the tables, and this knows 1): update sse-kit" in refusal(path)


def test_what_is_left_of_a_database_is_told(path: Path) -> None:
    """A new one would be mixed with the old one's -wal."""
    crash(path, 1)
    path.unlink()
    assert "there is no database, but its -wal and -shm" in refusal(path)


def test_a_torn_file_is_told(path: Path) -> None:
    """What SQLite finds malformed is not tried again and again."""
    anyio.run(fill, path, *range(200))
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 16 * 4096)
    assert "put a copy in its place" in refusal(path)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_a_network_share_is_refused(path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machines that share a file don't share the memory that WAL needs."""
    device = path.parent.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    table = path.with_name("mountinfo")
    table.write_text(
        "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
        f"36 27 {number} / /mnt rw,relatime shared:1 - {kind} server:/export rw\n",
    )
    monkeypatch.setattr(sqlite_file, "MOUNTS", table)
    assert f"it is on a network share ({kind})): give a local disk" in refusal(path)


def test_a_local_disk_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by this machine's own table nor where there is no table."""
    assert network(str(tmp_path)) is None
    monkeypatch.setattr(sqlite_file, "MOUNTS", tmp_path / "none")
    assert network(str(tmp_path)) is None


OPEN = """
import os, sys, anyio
from sse_kit.errors import EngineRefused
from sse_kit.transports.sqlite import SqliteTransport

async def main():
    async with SqliteTransport(sys.argv[1]):
        pass

os.chdir(sys.argv[2])
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
try:
    anyio.run(main)
except EngineRefused as error:
    print(error)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that any user can reach."""
    with TemporaryDirectory() as name:
        made = Path(name)
        made.chmod(0o755)
        yield made
        made.chmod(0o755)


def empty(path: Path) -> None:
    """Make no file; the folder may be read only."""


def full(path: Path) -> None:
    anyio.run(fill, path, 1)


@pytest.mark.parametrize("prepare", [empty, full])
def test_what_may_not_be_written_is_told(folder: Path, prepare: Callable[[Path], None]) -> None:
    """A directory, and a file, that this user may only read."""
    path = folder / "log.db"
    prepare(path)
    for each in folder.iterdir():
        each.chmod(0o444)
    folder.chmod(0o555)
    command = [sys.executable, "-c", OPEN, str(path), str(ROOT)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith(
        "let this user read and write the file and its directory"
    ), done.stderr


def test_a_life_that_cannot_begin_yet_leaves_nothing_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else is just opening the file alone: each attempt closes what it opened."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite_file.connect

    def watched(path: str, *, create: bool) -> sqlite3.Connection:
        opened.append(connect(path, create=create))
        return opened[-1]

    with closing(Life(str(path))) as other:
        assert other.begin()
        monkeypatch.setattr(sqlite_file, "connect", watched)
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            Life(str(path))
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        opened[0].execute("SELECT 1")


@pytest.mark.anyio
async def test_a_file_that_stays_locked_is_not_waited_for_in_vain(path: Path) -> None:
    """``connect_timeout`` bounds how long entering waits for somebody else's transaction."""
    await fill(path, 1)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with anyio.fail_after(5), pytest.raises(EngineUnavailable, match="database is locked"):
            async with SqliteTransport(path, connect_timeout=0, request_timeout=0.2):
                pytest.fail("it was locked")
    await fill(path, 2)


def test_a_left_over_of_a_crash_is_no_hindrance(path: Path) -> None:
    """What a killed process left in the -wal is there for the next one."""
    crash(path, 1, 2)
    assert part(path, "-wal").stat().st_size
    assert anyio.run(contents, path) == [1, 2]
