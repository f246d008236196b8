"""A durable transport without a server: a database file, for the processes of one machine.

Every publish is on the disk when it returns. The processes need nothing but the file: the others
notice a commit within :data:`WATCH` seconds, by SQLite's ``data_version``, which a thread of its
own looks at; in the process itself it is told at once. All calls of SQLite run in threads.

An epoch lasts as long as anybody has the file open. Whoever opens it alone begins the next one and
remembers where the last ended, for nobody knows what happened in between: the file may be an older
copy, or there may be two of them now. Clients that stand in the common history go on unharmed.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar, TypeVarTuple, Unpack

import anyio
from anyio import CapacityLimiter, from_thread, to_thread
from pydantic import AfterValidator

from sse_kit.errors import InvalidSetting, TransportError
from sse_kit.transports.base import Health, HealthStatus, Traits
from sse_kit.transports.log import LogTransport
from sse_kit.transports.presence import SupportsPresence
from sse_kit.transports.settings import LogOptions, LogSettings
from sse_kit.transports.sqlite_file import BUSY_TIMEOUT, is_busy
from sse_kit.transports.sqlite_log import SqliteLog

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from sse_kit.transports.base import Gap, Page, Position, Publication, Published

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

WATCH = 0.02
"""Seconds between two looks for what other processes wrote; a look takes some 50 µs."""

TIDY = 1.0
"""Seconds between two looks for what is too old, or for an older log."""

MAX_PAYLOAD = 16 * 1024 * 1024
"""Bytes; SQLite takes 10^9, but a slow disk shall write one well within ``request_timeout``."""

LARGE_WAL = 64 * 1024 * 1024
"""Bytes of the write-ahead log; a quarter is much, if nobody reads for long."""


def _absolute(path: str) -> str:
    """Return ``path`` as it is meant now, whatever the working directory becomes."""
    if path == ":memory:" or path.startswith("file::memory:"):
        problem = "is a database that no other process sees, and no restart survives"
        raise InvalidSetting("path", path, problem, "use MemoryTransport()")
    if path.startswith("file:") or "://" in path:
        raise InvalidSetting("path", path, "is a URL", "give the path, or use transport_from_url")
    if not path or "\0" in path:
        raise InvalidSetting("path", path, "is no path", "give the path of a file")
    return os.path.abspath(path)  # noqa: PTH100  pathlib keeps "..", or follows links


class SqliteSettings(LogSettings):
    """What a :class:`SqliteTransport` is made of; ``path`` becomes absolute."""

    path: Annotated[str, AfterValidator(_absolute)]


class SqliteTransport(LogTransport, SupportsPresence):
    """Carries messages between the processes of one machine, over a database file at ``path``.

    The file is made if it is new; its directory must be there, on a local disk. ``options`` are
    those of :class:`~sse_kit.transports.settings.LogSettings`. Several namespaces may share a file.

    Raises:
        InvalidSetting: an option outside its range, or a path that is none.

    """

    def __init__(self, path: str | os.PathLike[str], **options: Unpack[LogOptions]) -> None:
        settings = SqliteSettings(path=os.fspath(path), **options)
        traits = Traits(
            shared=True,
            durable=True,
            dedup_window=settings.dedup_window,
            max_payload=min(settings.retention.max_bytes or MAX_PAYLOAD, MAX_PAYLOAD),
        )
        super().__init__(settings, traits, address=settings.path)

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None]:
        """Open the file, watch it and keep it tidy."""
        self._writing, self._reading = CapacityLimiter(1), CapacityLimiter(1)
        log = self._log = await self._patiently(
            self._writing, SqliteLog, self.contact.address, self.settings
        )
        stop = threading.Event()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, stop)
                tasks.start_soon(self._tidy)
                try:
                    yield
                finally:
                    stop.set()
                    tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                # Neither thread is in SQLite then: to close under one that is would be a crash.
                async with self._reading:
                    await to_thread.run_sync(log.close, limiter=self._writing)

    async def _patiently(self, limiter: CapacityLimiter, step: Callable[[*Ts], T], *args: *Ts) -> T:
        """Do ``step`` in a thread; try again while somebody else holds the lock it needs.

        A thread cannot be cancelled, so it is in SQLite only shortly: leaving needn't wait for it.
        """
        last = time.monotonic() + self.settings.request_timeout - 2 * BUSY_TIMEOUT
        while True:
            try:
                return await to_thread.run_sync(step, *args, limiter=limiter)
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > last:
                    raise

    async def _write(self, step: Callable[[SqliteLog, *Ts], T], *args: *Ts) -> T:
        return await self._patiently(self._writing, step, self._log, *args)

    async def _read(self, step: Callable[[SqliteLog, *Ts], T], *args: *Ts) -> T:
        return await self._patiently(self._reading, step, self._log, *args)

    async def append(self, publications: Sequence[Publication], /) -> Sequence[Published]:
        """Store publications in one transaction."""
        return await self._write(SqliteLog.append, publications)

    async def page(self, after: int, limit: int, /) -> Page:
        """Read records; before that begin a new epoch, if an older state was put into the file."""
        while (page := await self._read(SqliteLog.page, after, limit)) is None:
            await self._write(SqliteLog.tidy)
        return page

    async def find(self, position: Position, /) -> Position | Gap:
        """Find a position, also of an earlier generation."""
        return await self._read(SqliteLog.find, position)

    async def beat(self, node: str, counts: Mapping[str, int], /, *, lease: float) -> None:
        """Say that ``node`` lives; see :class:`SupportsPresence`."""
        await self._ask(self._write, SqliteLog.beat, node, counts, lease)

    async def leave(self, node: str, /) -> None:
        """Take ``node`` away."""
        await self._ask(self._write, SqliteLog.leave, node)

    async def nodes(self) -> dict[str, dict[str, int]]:
        """Return the counts of each node that lives."""
        return await self._ask(self._read, SqliteLog.nodes)

    async def health(self) -> Health:
        """Tell whether the file can be used, and whether something makes it grow."""
        health = await super().health()
        if health.status is not HealthStatus.OK or (size := self._log.wal_bytes()) < LARGE_WAL:
            return health
        detail = (
            f"{self.contact.address}-wal has grown to {size} bytes, for somebody reads from the "
            f"file in one long transaction: end it"
        )
        return Health(HealthStatus.DEGRADED, detail)

    # Beside the messages ------------------------------------------------------------------------

    async def _watch(self, stop: threading.Event) -> None:
        """Wake the tails when another connection wrote, or the file became another one."""
        while not stop.is_set():
            try:
                await to_thread.run_sync(self._look, stop, limiter=CapacityLimiter(1))
            except Exception as error:  # noqa: BLE001  no thread to be had: the tails have poll
                self.contact.failed(error)
                await anyio.sleep(TIDY)

    def _look(self, stop: threading.Event) -> None:
        seen: object = None
        while not stop.wait(WATCH):
            try:
                found: object = self._log.version()
            except (sqlite3.Error, TransportError, OSError) as error:
                found = str(error)  # the tails shall run into it too
            if found != seen:
                seen = found
                from_thread.run_sync(self.wake)

    async def _tidy(self) -> None:
        while True:
            await anyio.sleep(TIDY)
            try:
                await self._write(SqliteLog.tidy)
            except Exception as error:  # noqa: BLE001  an outage, told by health
                self.contact.failed(error)
