"""A log in a database file: tables and statements, all of it blocking.

``append``, ``beat``, ``leave`` and ``tidy`` write, ``page``, ``find`` and ``nodes`` read, and
``version`` watches: each of the three has a connection of its own, for one thread at a time.

The log's row is the truth: a publish takes the write lock, then the next offset from that row, and
both are stored or neither, so offsets have no hole and their order is the order of the commits.
"""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from pydantic_core import from_json

from sse_kit.errors import EngineRefused
from sse_kit.transports.base import (
    Gap,
    GapReason,
    Page,
    Position,
    Published,
    Record,
)
from sse_kit.transports.sqlite_file import (
    DatabaseFile,
    Identity,
    Life,
    check_place,
    refusals,
    transaction,
)
from sse_kit.transports.sqlite_tables import (
    State,
    check_ours,
    fork_all,
    is_older,
    load,
    open_log,
    recount,
    save,
    store,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from sse_kit.transports.base import Publication
    from sse_kit.transports.settings import LogSettings

WAL_KEPT = 16 * 1024 * 1024
"""Bytes to which the write-ahead log is cut after it had to grow."""

CHECKPOINT = 16 * 1024 * 1024
"""Bytes written, at most, after which they are moved into the database itself: half as many, as a
rule, for changed rows share pages; SQLite's own measure is 4 MiB."""

BYTES_A_ROW = 4_096
"""What a changed row costs: a page, at most, for neighbours share theirs."""

PAGE_BYTES = 1024 * 1024
"""Bytes of payload after which a page is full."""

STEP = 1_000
"""Rows that one transaction deletes at most, so that nobody waits long for it."""


class SqliteLog:
    """The log of ``settings.namespace`` in the file at ``path``, made if it is new.

    Raises:
        EngineRefused: there can be no such log there.
        sqlite3.Error: anything else; busy: try again.

    """

    def __init__(self, path: str, settings: LogSettings) -> None:
        self.path = path
        self._settings = settings
        self._seen: Position | None = None
        check_place(path)
        with ExitStack() as stack, refusals(path):
            life = stack.enter_context(closing(Life(path)))
            self._alone = life.begin()
            self._writer = DatabaseFile(path, self._prepare_writer, create=True)
            stack.enter_context(closing(self._writer))
            if self._alone:
                life.share()
            self._reader = self._follower(stack)
            self._watcher = self._follower(stack)
            self._mover = self._follower(stack)
            self._written = self._writer.wal_bytes()
            self._stack = stack.pop_all()

    def _follower(self, stack: ExitStack) -> DatabaseFile:
        file = DatabaseFile(self.path, _prepare_reader, leader=self._writer)
        return stack.enter_context(closing(file))

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def _prepare_writer(self, connection: sqlite3.Connection, replaced: bool) -> None:  # noqa: FBT001  a callback
        check_ours(connection, self.path)
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise EngineRefused(
                self.path, f"it stays in journal mode {mode!r}", "give a local disk"
            )
        # A commit is on the disk when it returns, also where that takes a special call (macOS).
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT}").fetchall()
        connection.execute("PRAGMA wal_autocheckpoint = 0").fetchall()  # see _write
        with transaction(connection, "IMMEDIATE"):
            anew = replaced or self._alone
            open_log(connection, self._settings.namespace, anew=anew)
        self._seen = None

    def _state(self, connection: sqlite3.Connection) -> State:
        return load(connection, self._settings.namespace)

    # Writing ------------------------------------------------------------------------------------

    @contextmanager
    def _write(self, size: int = 0) -> Generator[tuple[sqlite3.Connection, State]]:
        """Do the body, which writes ``size`` bytes of payload, as one transaction.

        What is in the -wal is moved to the database only here, while nobody can commit: SQLite
        before 3.51.3 may else lose a commit that comes at that moment (sqlite.org/wal.html, "the
        WAL-reset bug").
        """
        connection = self._writer.use()
        if self._written >= CHECKPOINT:
            with transaction(connection, "IMMEDIATE"):
                self._checkpoint()
        before = connection.total_changes
        with transaction(connection, "IMMEDIATE"):
            state = self._state(connection)
            if is_older(connection, state, self._seen):
                # Somebody put an older copy into the open file, by SQLite's own means.
                fork_all(connection)
                state = self._state(connection)
            yield connection, state
        self._see(state.bounds.end)
        self._written += size + BYTES_A_ROW * (connection.total_changes - before)

    def _checkpoint(self) -> None:
        self._written = 0
        with suppress(sqlite3.OperationalError):  # without room, say: the -wal holds it still
            self._mover.use().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def append(self, publications: Sequence[Publication]) -> list[Published]:
        """Store publications, each once by its key (T1 to T4)."""
        now = time.time()
        size = sum(len(each.payload) for each in publications)
        with self._write(size) as (connection, state):
            answers = self._insert(connection, state, publications, now)
            self._trim(connection, state, now)
        # Else the commit went into a file that nobody will find again.
        self._writer.check()
        return answers

    def _insert(
        self,
        connection: sqlite3.Connection,
        state: State,
        publications: Iterable[Publication],
        now: float,
    ) -> list[Published]:
        answers: list[Published] = []
        for publication in publications:
            known = self._known(connection, state, publication.key, now)
            if known is None:
                state.last += 1
                state.bytes += store(connection, state, publication, now)
            offset = known or state.last
            answers.append(Published(Position(state.epoch, offset), duplicate=known is not None))
        return answers

    def _known(
        self, connection: sqlite3.Connection, state: State, key: str | None, now: float
    ) -> int | None:
        select = "SELECT offset FROM key WHERE log = ? AND key = ? AND at >= ?"
        values = (state.id, key, now - self._settings.dedup_window)
        row = connection.execute(select, values).fetchone()
        return None if row is None else int(row[0])

    def tidy(self) -> None:
        """Let go of what is too old, or too much; a little at a time."""
        with self._write() as (connection, state):
            self._trim(connection, state, time.time())

    def _trim(self, connection: sqlite3.Connection, state: State, now: float) -> None:
        """Delete from the head of the log, and store its state."""
        select = (
            "SELECT offset, size, at FROM record WHERE log = ? AND offset BETWEEN ? AND ? "
            "ORDER BY offset LIMIT ?"
        )
        values = (state.id, state.first, state.last, STEP)
        oldest = connection.execute(select, values).fetchall()
        if not oldest:
            recount(connection, state)
        for offset, size, at in oldest:
            if offset != state.first:
                recount(connection, state)
            if not self._is_due(state, at, now):
                break
            state.first = offset + 1
            state.bytes -= size
        delete = "DELETE FROM record WHERE log = ? AND offset < ?"
        connection.execute(delete, (state.id, state.first))
        self._forget_keys(connection, state, now)
        save(connection, state)

    def _is_due(self, state: State, at: float, now: float) -> bool:
        keep = self._settings.retention
        too_many = keep.max_records is not None and state.last >= state.first + keep.max_records
        too_large = keep.max_bytes is not None and state.bytes > keep.max_bytes
        too_old = keep.max_age is not None and now - at > keep.max_age
        return too_old or (state.first < state.last and (too_many or too_large))

    def _forget_keys(self, connection: sqlite3.Connection, state: State, now: float) -> None:
        delete = (
            "DELETE FROM key WHERE log = ? AND key IN "
            "(SELECT key FROM key WHERE log = ? AND at < ? ORDER BY at LIMIT ?)"
        )
        oldest = now - self._settings.dedup_window
        connection.execute(delete, (state.id, state.id, oldest, STEP))

    # Reading ------------------------------------------------------------------------------------

    def page(self, after: int, limit: int) -> Page | None:
        """Return up to ``limit`` records after ``after``, and what is kept (R2).

        What somebody deleted from the file counts as trimmed, so that whoever needs it is told.
        None: an older copy was put into the file, so the next write begins a new generation.
        """
        connection = self._reader.use()
        seen = self._seen  # before there is a view: the writer may go on meanwhile
        with transaction(connection, "DEFERRED"):
            state = self._state(connection)
            if is_older(connection, state, seen):
                return None
            start = max(min(after, state.last) + 1, state.first)
            select = (
                "SELECT offset, topics, payload FROM record "
                "WHERE log = ? AND offset BETWEEN ? AND ? ORDER BY offset LIMIT ?"
            )
            with closing(connection.cursor()) as rows:
                rows.execute(select, (state.id, start, state.last, limit))
                records = _run(state.epoch, rows)
        self._see(state.bounds.end)
        bounds = state.bounds
        if start <= state.last:
            kept = records[0].position.offset if records else state.last + 1
            bounds = replace(bounds, first=kept if kept > start else state.first)
        return Page(bounds, records)

    def _see(self, end: Position) -> None:
        """Remember how far this epoch was."""
        seen = self._seen
        if seen is None or end.epoch != seen.epoch or end.offset > seen.offset:
            self._seen = end

    def find(self, position: Position) -> Position | Gap:
        """Find ``position`` in the present generation (R3)."""
        connection = self._reader.use()
        with transaction(connection, "DEFERRED"):
            state = self._state(connection)
            select = "SELECT upto FROM fork WHERE log = ? AND epoch = ?"
            row = connection.execute(select, (state.id, position.epoch)).fetchone()
        upto = (state.last,) if position.epoch == state.epoch else row
        if upto is None:
            return Gap(GapReason.EPOCH, state.bounds.start)
        if position.offset > upto[0]:
            # What is trimmed already is part of this gap, not of a second one.
            return Gap(GapReason.AHEAD, Position(state.epoch, max(upto[0], state.first - 1)))
        return Position(state.epoch, position.offset)

    def version(self) -> tuple[Identity, int]:
        """Return what is another one as soon as somebody wrote; it takes microseconds."""
        row = self._watcher.use().execute("PRAGMA data_version").fetchone()
        return self._watcher.identity, row[0]

    def wal_bytes(self) -> int:
        """Return how large the write-ahead log is."""
        return self._writer.wal_bytes()

    # Presence -----------------------------------------------------------------------------------

    def beat(self, node: str, counts: Mapping[str, int], lease: float) -> None:
        """Let ``node`` live for ``lease`` seconds; forget those whose lease is over."""
        now = time.time()
        with self._write() as (connection, state):
            connection.execute("DELETE FROM node WHERE log = ? AND until <= ?", (state.id, now))
            insert = "INSERT OR REPLACE INTO node (log, node, until, counts) VALUES (?, ?, ?, ?)"
            connection.execute(insert, (state.id, node, now + lease, json.dumps(dict(counts))))

    def leave(self, node: str) -> None:
        """Forget ``node``."""
        with self._write() as (connection, state):
            connection.execute("DELETE FROM node WHERE log = ? AND node = ?", (state.id, node))

    def nodes(self) -> dict[str, dict[str, int]]:
        """Return the counts of each node whose lease is not over."""
        connection = self._reader.use()
        with transaction(connection, "DEFERRED"):
            log = self._state(connection).id
            select = "SELECT node, counts FROM node WHERE log = ? AND until > ?"
            rows = connection.execute(select, (log, time.time())).fetchall()
        return {node: from_json(counts) for node, counts in rows}


def _prepare_reader(connection: sqlite3.Connection, replaced: bool) -> None:  # noqa: ARG001, FBT001  a callback
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA checkpoint_fullfsync = ON")  # for the one that moves: as commits


def _run(epoch: str, rows: Iterable[tuple[int, object, object]]) -> tuple[Record, ...]:
    """Return the records up to the first hole, or until there are enough bytes of them."""
    records: list[Record] = []
    size = 0
    for offset, topics, payload in rows:
        if records and offset != records[-1].position.offset + 1:
            break
        record = _record(Position(epoch, offset), topics, payload)
        records.append(record)
        size += len(record.payload)
        if size >= PAGE_BYTES:
            break
    return tuple(records)


def _record(position: Position, topics: object, payload: object) -> Record:
    """Return the record; what a stranger wrote keeps its place, and has an empty payload."""
    try:
        names: object = from_json(topics) if isinstance(topics, str) else None
    except ValueError:
        names = None
    if not isinstance(names, list) or not isinstance(payload, bytes):
        return Record(position, (), b"")
    found = cast("list[object]", names)
    own = tuple(name for name in found if isinstance(name, str))
    return Record(position, own, payload if len(own) == len(found) else b"")
