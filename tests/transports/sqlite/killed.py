"""Publishers that are killed, one after the other: ``python -m … PATH ROUNDS [naive]``.

Each is a process of its own, forked before anything is opened. Printed is what each was told, as
offset and number; it is killed some milliseconds after its first answer.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from sse_kit.transports import sqlite
from sse_kit.transports.base import Publication, Published
from sse_kit.transports.sqlite import SqliteTransport
from sse_kit.transports.sqlite_log import SqliteLog
from sse_kit.transports.sqlite_tables import save

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from sse_kit.transports.sqlite_tables import State

NUMBERS_EACH = 1_000_000


class NaiveLog(SqliteLog):
    """Takes offsets in a transaction of their own."""

    def _insert(
        self,
        connection: sqlite3.Connection,
        state: State,
        publications: Iterable[Publication],
        now: float,
    ) -> list[Published]:
        save(connection, replace(state, last=state.last + len(list(publications))))
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        return super()._insert(connection, state, publications, now)


async def publish(path: str, first: int) -> None:
    """Publish for ever, four at a time."""

    async def publisher(numbers: itertools.count[int]) -> None:
        for number in numbers:
            published = await transport.publish(Publication(("t",), b"%d" % number))
            os.write(1, b"%d %d\n" % (published.position.offset, number))

    async with SqliteTransport(path) as transport, anyio.create_task_group() as tasks:
        for each in range(first, first + 4):
            tasks.start_soon(publisher, itertools.count(each, 4))


def kill_one(path: str, first: int, alive: float) -> bytes:
    """Start a publisher, kill it ``alive`` seconds after its first answer; return its answers."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        os.dup2(writing, 1)
        anyio.run(publish, path, first)
    os.close(writing)
    with open(reading, "rb") as answers:  # noqa: PTH123  a descriptor
        told = answers.readline()
        time.sleep(alive)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        told += answers.read()
    return told[: told.rfind(b"\n") + 1]


def main(path: str, rounds: str, *naive: str) -> None:
    if naive:
        vars(sqlite)["SqliteLog"] = NaiveLog
    chance = random.Random(int(rounds))
    for number in range(int(rounds)):
        told = kill_one(path, number * NUMBERS_EACH, chance.uniform(0, 0.03))
        sys.stdout.buffer.write(told)
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
