"""What the tests of the database file share."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sse_kit.testing.suite import TailReader
from sse_kit.transports.base import Position, Publication, Record
from sse_kit.transports.sqlite import SqliteTransport

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sse_kit.transports.base import Feed, Transport

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 10.0
PARTS = ("", "-wal", "-shm", "-life")
"""What a database consists of, on the disk."""


def part(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def move(path: Path, to: Path, suffixes: Iterable[str] = PARTS) -> None:
    for suffix in suffixes:
        if part(path, suffix).exists():
            part(path, suffix).rename(part(to, suffix))


def copy(path: Path, to: Path) -> Path:
    """Copy a database that nobody has open: reading it here would let go of SQLite's locks."""
    return Path(shutil.copyfile(path, to))


def backup(path: Path, to: Path) -> Path:
    """Copy a database into another one, by SQLite's own means, whoever has them open."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(to)) as target:
        source.backup(target)
    return to


async def publish(transport: Transport, *numbers: int) -> list[Position]:
    publications = [Publication(("t",), b"%d" % number) for number in numbers]
    return [(await transport.publish(each)).position for each in publications]


async def fill(path: Path, *numbers: int) -> list[Position]:
    """Publish in a life of its own."""
    async with SqliteTransport(path) as transport:
        return await publish(transport, *numbers)


async def contents(path: Path) -> list[int]:
    """Return what is in the log, whose offsets have no hole."""
    async with SqliteTransport(path) as transport:
        page = await transport.read(0, limit=100_000)
    assert [each.position.offset for each in page.records] == list(range(1, len(page.records) + 1))
    return numbers(page.records)


def numbers(records: Iterable[Record]) -> list[int]:
    return [int(record.payload) for record in records]


async def follow(transport: Transport, after: Position, *, upto: int) -> list[Feed | int]:
    """Return what a tail hands out, records as their numbers, until number ``upto`` comes."""
    items: list[Feed | int] = []
    async with transport.tail(after) as stream:
        reader = TailReader(stream, PATIENCE)
        while not items or items[-1] != upto:
            item = await reader.next()
            items.append(int(item.payload) if isinstance(item, Record) else item)
    return items


CRASH = """
import os, sys, anyio
from sse_kit.transports.base import Publication
from sse_kit.transports.sqlite import SqliteTransport

async def main():
    async with SqliteTransport(sys.argv[1]) as transport:
        for number in map(int, sys.argv[2:]):
            published = await transport.publish(Publication(("t",), b"%d" % number))
            print(published.position)
        sys.stdout.flush()
        os.kill(os.getpid(), 9)

anyio.run(main)
"""


def crash(path: Path, *numbers: int) -> list[Position]:
    """Publish in a process that is killed then, and leaves everything as it is."""
    command = [sys.executable, "-c", CRASH, str(path), *map(str, numbers)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    return [position for text in done.stdout.split() if (position := Position.parse(text))]
