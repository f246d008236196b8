"""What is in a database file: tables, and for each namespace the row that says where its log is."""

from __future__ import annotations

import json
import secrets
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sse_kit.errors import EngineRefused
from sse_kit.transports.base import Bounds

if TYPE_CHECKING:
    from sse_kit.transports.base import Position, Publication

APPLICATION = 0x5353454B
"""What a database of ours has in its header: "SSEK"."""

VERSION = 1
SCHEMA = """
CREATE TABLE log (
    id INTEGER PRIMARY KEY, namespace TEXT NOT NULL UNIQUE, epoch TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE record (
    log INTEGER NOT NULL, offset INTEGER NOT NULL, at REAL NOT NULL, size INTEGER NOT NULL,
    topics TEXT NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (log, offset)) WITHOUT ROWID;
CREATE TABLE key (
    log INTEGER NOT NULL, key TEXT NOT NULL, offset INTEGER NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (log, key)) WITHOUT ROWID;
CREATE INDEX key_at ON key (log, at);
CREATE TABLE fork (
    id INTEGER PRIMARY KEY, log INTEGER NOT NULL, epoch TEXT NOT NULL, upto INTEGER NOT NULL,
    UNIQUE (log, epoch));
CREATE TABLE node (
    log INTEGER NOT NULL, node TEXT NOT NULL, until REAL NOT NULL, counts TEXT NOT NULL,
    PRIMARY KEY (log, node)) WITHOUT ROWID;
"""
"""``at`` and ``until`` are in seconds since 1970, by the machine's clock; sizes are in bytes."""

FORKS = 1_000
"""Earlier epochs that are known; clients of older ones are told of another log."""


@dataclass(slots=True)
class State:
    """The row of a log."""

    id: int
    epoch: str
    first: int
    last: int
    bytes: int

    @property
    def bounds(self) -> Bounds:
        """What is kept."""
        return Bounds(self.epoch, self.first, self.last)


def check_ours(connection: sqlite3.Connection, path: str) -> None:
    """Refuse a database that is somebody else's, before anything in it is changed."""
    application, version, tables = (
        connection.execute(query).fetchone()[0]
        for query in (
            "PRAGMA application_id",
            "PRAGMA user_version",
            "SELECT count(*) FROM sqlite_master",
        )
    )
    if application != APPLICATION and (application or version or tables):
        raise EngineRefused(path, "it is a database of something else", "give a path of its own")
    if version > VERSION:
        reason = f"it has version {version} of the tables, and this knows {VERSION}"
        raise EngineRefused(path, reason, "update sse-kit, or give another path")


def open_log(connection: sqlite3.Connection, namespace: str, *, anew: bool) -> None:
    """Make what is not there yet, in a transaction; ``anew``: all logs begin a new generation."""
    _make_tables(connection)
    if anew:
        fork_all(connection)
    insert = "INSERT OR IGNORE INTO log (namespace, epoch, first, last, bytes)"
    connection.execute(f"{insert} VALUES (?, ?, 1, 0, 0)", (namespace, new_epoch()))


def _make_tables(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA user_version").fetchone()[0]:
        return
    for statement in SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def new_epoch() -> str:
    """Return a name that no other generation has, of this log or of a copy of it."""
    return secrets.token_urlsafe(6)


def load(connection: sqlite3.Connection, namespace: str) -> State:
    """Return where the log is.

    Raises:
        sqlite3.DatabaseError: it is in the file no more.

    """
    select = "SELECT id, epoch, first, last, bytes FROM log WHERE namespace = ?"
    row = connection.execute(select, (namespace,)).fetchone()
    if row is None:
        message = f"the log {namespace!r} was deleted from the file"
        raise sqlite3.DatabaseError(message)
    return State(*row)


def save(connection: sqlite3.Connection, state: State) -> None:
    """Store where the log is, if that is news."""
    kept = (state.first, state.last, state.bytes)
    update = (
        "UPDATE log SET first = ?, last = ?, bytes = ? "
        "WHERE id = ? AND (first, last, bytes) != (?, ?, ?)"
    )
    connection.execute(update, (*kept, state.id, *kept))


def is_older(connection: sqlite3.Connection, state: State, seen: Position | None) -> bool:
    """Tell whether the log does not go on from where it was seen."""
    if seen is None:
        return False
    if seen.epoch == state.epoch:
        return state.last < seen.offset
    select = "SELECT 1 FROM fork WHERE log = ? AND epoch = ?"
    return connection.execute(select, (state.id, seen.epoch)).fetchone() is None


def fork_all(connection: sqlite3.Connection) -> None:
    """Begin a new generation of every log in the file."""
    for (name,) in connection.execute("SELECT namespace FROM log").fetchall():
        fork(connection, load(connection, name))


def fork(connection: sqlite3.Connection, state: State) -> None:
    """Begin a new generation: what follows may differ from what another copy goes on with."""
    insert = "INSERT INTO fork (log, epoch, upto) VALUES (?, ?, ?)"
    connection.execute(insert, (state.id, state.epoch, state.last))
    forget = (
        "DELETE FROM fork WHERE log = ? AND id < (SELECT min(id) FROM "
        "(SELECT id FROM fork WHERE log = ? ORDER BY id DESC LIMIT ?))"
    )
    connection.execute(forget, (state.id, state.id, FORKS))
    state.epoch = new_epoch()
    connection.execute("UPDATE log SET epoch = ? WHERE id = ?", (state.epoch, state.id))


def store(
    connection: sqlite3.Connection, state: State, publication: Publication, now: float
) -> int:
    """Store a publication at the end, with its key; return its size."""
    topics = json.dumps(publication.topics)
    size = len(publication.payload) + sum(len(topic.encode()) for topic in publication.topics)
    # In place of what a stranger may have put there.
    insert = "INSERT OR REPLACE INTO record (log, offset, at, size, topics, payload)"
    values = (state.id, state.last, now, size, topics, publication.payload)
    connection.execute(f"{insert} VALUES (?, ?, ?, ?, ?, ?)", values)
    insert = "INSERT OR REPLACE INTO key (log, key, offset, at) VALUES (?, ?, ?, ?)"
    connection.execute(insert, (state.id, publication.key, state.last, now))
    return size


def recount(connection: sqlite3.Connection, state: State) -> None:
    """Put right what the log's row says, after somebody deleted records."""
    select = (
        "SELECT coalesce(min(offset), ?), coalesce(sum(size), 0) FROM record "
        "WHERE log = ? AND offset BETWEEN ? AND ?"
    )
    values = (state.last + 1, state.id, state.first, state.last)
    state.first, state.bytes = connection.execute(select, values).fetchone()
