"""A database file as ``SqliteTransport`` uses it: opened with care, and known from any other.

Two things that SQLite leaves to its users are done here:

*Is it the same file?* A file that is deleted, or renamed over, stays open: one would go on writing
into nothing. So each use compares the file at the path with the one that was opened, by device and
inode, and its ``-wal`` as well, without which a part of the data is gone.

*Does anybody else have it open?* Whoever opens it alone begins a new life of the log: between two
lives the file may have been copied, or an older copy put in its place. The answer is a lock on a
file beside it, ``-life``, which all who are there share, and one who comes can only have alone if
nobody is. It is a database of SQLite's for the sake of its locks, which work everywhere.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from sse_kit.errors import EngineRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

BUSY_TIMEOUT = 0.05
"""Seconds that SQLite itself waits for a lock; the transport then tries again, and can be left."""

MOUNTS = Path("/proc/self/mountinfo")
NETWORK = {
    *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "lustre", "gfs2", "ocfs2"),
    *("fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone"),
}
"""Kinds of file systems on which machines share files, but not the memory that WAL needs."""

Inode: TypeAlias = tuple[int, int] | None
"""What a file is, whatever its name; None: there is none."""


class Identity(NamedTuple):
    """The files at a path: the database, and its write-ahead log."""

    database: Inode
    wal: Inode


def inode(path: str) -> Inode:
    """Tell which file is at ``path``."""
    try:
        status = os.stat(path)  # noqa: PTH116  fifty times a second, and pathlib is slower
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


class DatabaseFile:
    """A connection to the file at ``path``, for one thread at a time.

    ``prepare`` is called with each new connection, and whether the file was another one before.
    ``leader`` has to be there first when the file was replaced. ``create`` makes the file.
    """

    def __init__(
        self,
        path: str,
        prepare: Callable[[sqlite3.Connection, bool], None],
        *,
        leader: DatabaseFile | None = None,
        create: bool = False,
    ) -> None:
        self.path = path
        self._prepare = prepare
        self._leader = leader
        self._open(replaced=False, create=create)

    def _open(self, *, replaced: bool, create: bool = False) -> None:
        real = os.path.realpath(self.path)  # where SQLite puts what belongs to it
        with refusals(self.path):
            connection = connect(real, create=create)
            try:
                self._prepare(connection, replaced)
                # Reading makes the -wal, if there is none yet.
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        self._wal = f"{real}-wal"
        self.identity = self.found()

    def found(self) -> Identity:
        """Tell what is at the path now."""
        return Identity(inode(self.path), inode(self._wal))

    def use(self) -> sqlite3.Connection:
        """Return the connection, to the file that is at the path now.

        Raises:
            EngineRefused: there is none, or one that cannot be opened while this runs.

        """
        if self.found() != self.identity:
            self._follow()
        return self._connection

    def check(self) -> None:
        """Raise EngineRefused if the file at the path is another one."""
        if self.found() != self.identity:
            self._refuse(self.found())

    def _follow(self) -> None:
        """Open the file that was put in place of the one that is open."""
        wal = f"{os.path.realpath(self.path)}-wal"  # a link may have been switched
        found = Identity(inode(self.path), inode(wal))
        own = self.identity
        if found.database in {None, own.database} or found.wal == own.wal:
            self._refuse(found)
        if self._leader is not None and self._leader.identity.database != found.database:
            self._refuse(found)
        old = self._connection
        self._open(replaced=True)
        old.close()

    def _refuse(self, found: Identity) -> None:
        if found.database is None:
            raise EngineRefused(self.path, "the file is gone", "put it back, or stop and start all")
        if found.database == self.identity.database:
            reason = "its -wal was deleted or replaced while it was open"
            raise EngineRefused(self.path, reason, "stop all that use it, then start them again")
        if found.wal == self.identity.wal:
            reason = "the file was replaced, but its -wal is still that of the old one"
            remedy = "stop all that use it, delete the -wal and -shm, then start them again"
            raise EngineRefused(self.path, reason, remedy)
        raise EngineRefused(self.path, "the file was replaced", "it is opened again in a second")

    def wal_bytes(self) -> int:
        """Return how large the write-ahead log is."""
        return Path(self._wal).stat().st_size if inode(self._wal) else 0

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def connect(path: str, *, create: bool) -> sqlite3.Connection:
    """Open a database; all that it needs is said by statements of ours."""
    return sqlite3.connect(
        f"{Path(path).as_uri()}?mode={'rwc' if create else 'rw'}",
        uri=True,
        timeout=BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
    )


@contextmanager
def transaction(connection: sqlite3.Connection, kind: str) -> Generator[None]:
    """Do the body as one transaction: IMMEDIATE to write, DEFERRED to read from one view."""
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A disk that is full has ended it already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class Life:
    """The lock that tells who is alone with the file at ``path``, and that somebody is there."""

    def __init__(self, path: str) -> None:
        self._connection = connect(f"{os.path.realpath(path)}-life", create=True)
        try:
            self._connection.execute("PRAGMA journal_mode = MEMORY")
            self._connection.execute("PRAGMA synchronous = OFF")  # it holds nothing
        except BaseException:
            self._connection.close()
            raise

    def begin(self) -> bool:
        """Be there; tell whether nobody else is. Nobody comes then, until :meth:`share`."""
        try:
            self._connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            self._read()
            return False
        return True

    def share(self) -> None:
        """Be there, and let others come."""
        self._connection.execute("COMMIT")
        self._read()

    def _read(self) -> None:
        self._connection.execute("BEGIN")
        self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def close(self) -> None:
        """Be gone."""
        self._connection.close()


# What is refused ----------------------------------------------------------------------------------


def code_of(error: sqlite3.Error) -> int:
    """Return SQLite's primary code for ``error``."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether somebody else holds the lock that is needed."""
    return code_of(error) == sqlite3.SQLITE_BUSY


@contextmanager
def refusals(path: str) -> Generator[None]:
    """Turn the errors of opening that waiting does not mend into EngineRefused."""
    try:
        yield
    except sqlite3.Error as error:
        if (remedy := REMEDIES.get(code_of(error))) is None:
            raise
        raise EngineRefused(path, str(error), remedy) from error


_ACCESS = "let this user read and write the file and its directory"
REMEDIES = {
    sqlite3.SQLITE_CANTOPEN: _ACCESS,
    sqlite3.SQLITE_READONLY: _ACCESS,
    sqlite3.SQLITE_PERM: _ACCESS,
    sqlite3.SQLITE_NOTADB: "give a path of its own",
    sqlite3.SQLITE_CORRUPT: "put a copy in its place, or move it away to begin anew",
}


def check_place(path: str) -> None:
    """Refuse a place where no database can be, before anything is made there.

    Raises:
        EngineRefused: it is a directory, or in none, or on a network share; or what is left of a
            database is there without it.

    """
    folder = os.path.dirname(os.path.realpath(path))  # noqa: PTH120  realpath gives a str
    if not Path(folder).is_dir():
        raise EngineRefused(path, f"there is no directory {folder!r}", "make it")
    if Path(path).is_dir():
        raise EngineRefused(path, "it is a directory", "give the path of a file")
    if (kind := network(folder)) is not None:
        reason = f"it is on a network share ({kind})"
        raise EngineRefused(path, reason, "give a local disk, or use an engine that is a server")
    left = [suffix for suffix in ("-wal", "-shm") if inode(f"{os.path.realpath(path)}{suffix}")]
    if left and inode(path) is None:
        reason = f"there is no database, but its {' and '.join(left)}"
        raise EngineRefused(path, reason, "put the database back, or delete these too")


def network(folder: str) -> str | None:
    """Return the kind of the network share that ``folder`` is on, None where there is none.

    Only Linux tells (proc(5), mountinfo): "36 35 98:0 / /mnt rw shared:1 - nfs4 server:/ rw".
    """
    if not MOUNTS.exists():
        return None
    device = os.stat(folder).st_dev  # noqa: PTH116  as above
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in MOUNTS.read_text().splitlines():
        mount, _, system = line.partition(" - ")
        if mount.split()[2] == number and (kind := system.split()[0]) in NETWORK:
            return kind
    return None
