"""The embedded default: a log in this process's memory.

It keeps every promise of :mod:`sse_kit.transports.base` but durability: when the process ends its
history ends, and the epoch, random per log, tells every client that comes back.

**In one of several worker processes it reaches that worker's own clients only.** Two registries of
one process can share a :class:`MemoryLog`, which is how tests make a cluster.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple, Self

import anyio
from anyio import lowlevel

from sse_kit.config import Retention
from sse_kit.errors import PayloadTooLarge, TransportNotRunning
from sse_kit.transports.base import (
    TAIL_BUFFER,
    Batch,
    Bounds,
    Feed,
    Gap,
    GapReason,
    Page,
    Position,
    Publication,
    Published,
    Rebase,
    Record,
    SupportsReplay,
    Traits,
    Transport,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from types import TracebackType

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

DEDUP_WINDOW = 120.0
"""Seconds; JetStream's default."""

TAIL_BATCH = 256
BURST = 64
"""Publishes after which ``publish`` lets other tasks run, so that a busy loop starves nobody."""


class _Kept(NamedTuple):
    record: Record
    size: int
    at: float


class MemoryLog:
    """A log: the data behind one or more ``MemoryTransport``. Belongs to one event loop at a time.

    ``retention`` bounds what is kept; the newest record is kept whatever its size, until it is too
    old. ``clock`` returns seconds, monotonic.
    """

    def __init__(
        self,
        retention: Retention | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.retention = retention or Retention()
        self._clock = clock
        self._base = secrets.token_urlsafe(6)
        self._epoch = self._base
        self._generation = 0
        self._forks: dict[str, int] = {}
        self._kept: dict[int, _Kept] = {}
        self._first = 1
        self._last = 0
        self._size = 0
        self._keys: OrderedDict[str, tuple[float, Position]] = OrderedDict()
        self._waiting: set[anyio.Event] = set()

    def append(self, publication: Publication) -> Published:
        """Store it, or find it by its key; wake the tails."""
        now = self._clock()
        self._forget_keys(now)
        key = publication.key
        if key is not None and key in self._keys:
            return Published(self._keys[key][1], duplicate=True)
        self._last += 1
        position = Position(self._epoch, self._last)
        size = len(publication.payload) + sum(map(len, publication.topics))
        record = Record(position, publication.topics, publication.payload)
        self._kept[self._last] = _Kept(record, size, now)
        self._size += size
        if key is not None:
            self._keys[key] = (now, position)
        self._trim(now)
        self._wake()
        return Published(position)

    def bounds(self) -> Bounds:
        """Tell what is kept now."""
        self._trim(self._clock())
        return Bounds(self._epoch, self._first, self._last)

    def read(self, after: int, limit: int) -> Page:
        """Return up to ``limit`` records after ``after``; see R2."""
        bounds = self.bounds()
        start = max(after + 1, bounds.first)
        stop = min(start + limit, bounds.last + 1)
        return Page(bounds, tuple(self._kept[offset].record for offset in range(start, stop)))

    def locate(self, position: Position) -> Position | Gap:
        """Find ``position`` in the present generation; see R3."""
        bounds = self.bounds()
        if position.epoch == self._epoch:
            fork = bounds.last
        elif position.epoch in self._forks:
            fork = self._forks[position.epoch]
        else:
            return Gap(GapReason.EPOCH, bounds.start)
        if position.offset > fork:
            return Gap(GapReason.AHEAD, Position(self._epoch, fork))
        return Position(self._epoch, position.offset)

    def clear(self) -> None:
        """Lose everything, as an engine whose data was wiped: a new log begins."""
        self._base = secrets.token_urlsafe(6)
        self._epoch = self._base
        self._generation = 0
        self._forks.clear()
        self._kept.clear()
        self._keys.clear()
        self._first, self._last, self._size = 1, 0, 0
        self._wake()

    def rewind(self, offset: int) -> None:
        """Lose what is after ``offset``, as an engine restored from an older copy.

        A new generation begins at the fork; ``offset`` is between ``first - 1`` and ``last``.
        """
        for lost in range(offset + 1, self._last + 1):
            self._size -= self._kept.pop(lost).size
        self._last = offset
        self._keys.clear()
        self._forks = {epoch: min(fork, offset) for epoch, fork in self._forks.items()}
        self._forks[self._epoch] = offset
        self._generation += 1
        self._epoch = f"{self._base}-{self._generation}"
        self._wake()

    async def wait(self) -> None:
        """Wait until the log changes."""
        event = anyio.Event()
        self._waiting.add(event)
        try:
            await event.wait()
        finally:
            self._waiting.discard(event)

    def _wake(self) -> None:
        for event in self._waiting:
            event.set()
        self._waiting.clear()

    def _forget_keys(self, now: float) -> None:
        while self._keys:
            key, (at, _) = next(iter(self._keys.items()))
            if now - at <= DEDUP_WINDOW:
                return
            del self._keys[key]

    def _trim(self, now: float) -> None:
        keep = self.retention
        while self._first <= self._last:
            oldest = self._kept[self._first]
            too_many = keep.max_records is not None and len(self._kept) > keep.max_records
            too_large = keep.max_bytes is not None and self._size > keep.max_bytes
            too_old = keep.max_age is not None and now - oldest.at > keep.max_age
            if not (too_old or (self._first < self._last and (too_many or too_large))):
                return
            del self._kept[self._first]
            self._size -= oldest.size
            self._first += 1


class MemoryTransport(Transport, SupportsReplay):
    """Carries messages inside one process, over a log in memory.

    Pass ``log`` to share one; else a log of its own is made with ``retention``.
    """

    def __init__(self, *, log: MemoryLog | None = None, retention: Retention | None = None) -> None:
        self.log = log or MemoryLog(retention)
        self._tasks: TaskGroup | None = None
        self._burst = 0

    @property
    def traits(self) -> Traits:
        """Neither shared nor durable; a payload may be as large as the whole log."""
        return Traits(
            shared=False,
            durable=False,
            dedup_window=DEDUP_WINDOW,
            max_payload=self.log.retention.max_bytes,
        )

    async def __aenter__(self) -> Self:
        """Start the task group that the tails live in."""
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """End the tails."""
        tasks, self._tasks = self._tasks, None
        if tasks is None:
            return None
        tasks.cancel_scope.cancel()
        return await tasks.__aexit__(exc_type, exc, traceback)

    async def publish(self, publication: Publication, /) -> Published:
        """Append; waits for nobody, and yields to other tasks only now and then."""
        limit = self.traits.max_payload
        if limit is not None and len(publication.payload) > limit:
            raise PayloadTooLarge(len(publication.payload), limit)
        await lowlevel.checkpoint_if_cancelled()
        published = self.log.append(publication)
        self._burst += 1
        if self._burst >= BURST:
            self._burst = 0
            await lowlevel.cancel_shielded_checkpoint()
        return published

    @asynccontextmanager
    async def tail(
        self, after: Position | None = None, /
    ) -> AsyncGenerator[MemoryObjectReceiveStream[Feed], None]:
        """Follow the log; see :meth:`Transport.tail`."""
        if self._tasks is None:
            raise TransportNotRunning
        send, receive = anyio.create_memory_object_stream[Feed](TAIL_BUFFER)
        cursor = self.log.bounds().end if after is None else after
        scope = anyio.CancelScope()
        self._tasks.start_soon(self._follow, cursor, send, scope)
        try:
            with receive:
                yield receive
        finally:
            scope.cancel()

    async def bounds(self) -> Bounds:
        """Tell what is kept."""
        await lowlevel.checkpoint_if_cancelled()
        return self.log.bounds()

    async def read(self, after: int, /, *, limit: int) -> Page:
        """Read up to ``limit`` records after ``after``."""
        await lowlevel.checkpoint_if_cancelled()
        return self.log.read(after, limit)

    async def locate(self, position: Position, /) -> Position | Gap:
        """Find ``position`` in the present log."""
        await lowlevel.checkpoint_if_cancelled()
        return self.log.locate(position)

    async def _follow(
        self, cursor: Position, send: MemoryObjectSendStream[Feed], scope: anyio.CancelScope
    ) -> None:
        with scope, send:
            while True:
                feed, cursor = self._next(cursor)
                if feed is None:
                    await self.log.wait()
                    continue
                try:
                    await send.send(feed)
                except anyio.BrokenResourceError:
                    return

    def _next(self, cursor: Position) -> tuple[Feed | None, Position]:
        """Return what follows ``cursor``, and the cursor after it."""
        found = self.log.locate(cursor)
        if isinstance(found, Gap):
            return found, found.resume
        if found.epoch != cursor.epoch:
            return Rebase(cursor.epoch, found.epoch, found.offset), found
        page = self.log.read(cursor.offset, TAIL_BATCH)
        if page.bounds.first - 1 > cursor.offset:
            missed = page.bounds.first - 1 - cursor.offset
            return Gap(GapReason.TRIMMED, page.bounds.start, missed), page.bounds.start
        if not page.records:
            return None, cursor
        return Batch(page.records), page.records[-1].position
