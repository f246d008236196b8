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
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Self

import anyio
from anyio import lowlevel

from sse_kit.config import Retention
from sse_kit.errors import (
    InvalidPosition,
    InvalidSetting,
    Misuse,
    PayloadTooLarge,
    TransportNotRunning,
)
from sse_kit.transports.base import (
    TAIL_BUFFER,
    Batch,
    Bounds,
    Feed,
    Gap,
    GapReason,
    Page,
    Position,
    Published,
    Rebase,
    Record,
    SupportsReplay,
    Traits,
    Transport,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from sse_kit.transports.base import Publication

DEDUP_WINDOW = 120.0
"""Seconds; JetStream's default. A remembered key costs some 300 bytes."""

TAIL_BATCH = 256
BURST = 64
"""Publishes after which ``publish`` lets other tasks run, so that a busy loop starves nobody."""


class _Kept(NamedTuple):
    record: Record
    size: int
    at: float


class _Key(NamedTuple):
    at: float
    offset: int


class MemoryLog:
    """A log: the data behind one or more ``MemoryTransport``. Belongs to one event loop at a time.

    ``retention`` bounds what is kept; the newest record is kept whatever its size, until it is too
    old. ``dedup_window`` is for how many seconds keys are remembered, 0 for none. ``clock`` returns
    seconds, monotonic. What is too old is let go at the next call, whatever it is. ``forks`` holds
    the last offset that each earlier generation has in common with the present one.
    """

    def __init__(
        self,
        retention: Retention | None = None,
        *,
        dedup_window: float = DEDUP_WINDOW,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.retention = retention or Retention()
        self.dedup_window = dedup_window
        self._clock = clock
        self._kept: dict[int, _Kept] = {}
        self._keys: OrderedDict[str, _Key] = OrderedDict()
        self.forks: dict[str, int] = {}
        self._waiting: set[anyio.Event] = set()
        self._begin()

    def _begin(self) -> None:
        self._base = self._epoch = secrets.token_urlsafe(6)
        self._generation = 0
        self._first, self._last, self._size = 1, 0, 0

    def append(self, publication: Publication) -> Published:
        """Store it, or find it by its key; wake the tails."""
        now = self._clock()
        self._forget_keys(now)
        key = publication.key
        if key is not None and (known := self._keys.get(key)):
            return Published(Position(self._epoch, known.offset), duplicate=True)
        self._last += 1
        position = Position(self._epoch, self._last)
        record = Record(position, publication.topics, publication.payload)
        size = len(publication.payload) + sum(len(topic.encode()) for topic in publication.topics)
        self._kept[self._last] = _Kept(record, size, now)
        self._size += size
        if key is not None and self.dedup_window:
            self._keys[key] = _Key(now, self._last)
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
        present = position.epoch == self._epoch
        fork = bounds.last if present else self.forks.get(position.epoch)
        if fork is None:
            return Gap(GapReason.EPOCH, bounds.start)
        if position.offset > fork:
            # What is trimmed already is part of this gap, not of a second one.
            return Gap(GapReason.AHEAD, Position(self._epoch, max(fork, bounds.start.offset)))
        return Position(self._epoch, position.offset)

    def clear(self) -> None:
        """Lose everything, as an engine whose data was wiped: a new log begins."""
        self._kept.clear()
        self._keys.clear()
        self.forks.clear()
        self._begin()
        self._wake()

    def rewind(self, offset: int) -> None:
        """Lose what is after ``offset``, as an engine restored from an older copy.

        A new generation begins at the fork: what is kept is of the new epoch, and so are keys.

        Raises:
            InvalidPosition: ``offset`` is not between ``first - 1`` and ``last``.

        """
        bounds = self.bounds()
        if not bounds.start.offset <= offset <= bounds.last:
            raise InvalidPosition("offset", offset, "is not kept", f"rewind inside {bounds}")
        self.forks = {epoch: min(fork, offset) for epoch, fork in self.forks.items()}
        self.forks[self._epoch] = offset
        self._generation += 1
        self._epoch = f"{self._base}-{self._generation}"
        self._forget_after(offset)
        self._wake()

    def _forget_after(self, offset: int) -> None:
        for lost in range(offset + 1, self._last + 1):
            self._size -= self._kept.pop(lost).size
        self._last = offset
        for key in [key for key, known in self._keys.items() if known.offset > offset]:
            del self._keys[key]
        for kept, old in self._kept.items():
            record = replace(old.record, position=Position(self._epoch, kept))
            self._kept[kept] = old._replace(record=record)

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
            key, known = next(iter(self._keys.items()))
            if now - known.at <= self.dedup_window:
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

    Raises:
        InvalidSetting: both are given.

    """

    def __init__(self, *, log: MemoryLog | None = None, retention: Retention | None = None) -> None:
        if log is not None and retention is not None:
            raise InvalidSetting("retention", retention, "is given beside a log", "give it to that")
        self.log = log or MemoryLog(retention)
        self._traits = Traits(
            shared=False,
            durable=False,
            dedup_window=self.log.dedup_window,
            max_payload=self.log.retention.max_bytes,
        )
        self._tasks: TaskGroup | None = None
        self._burst = 0

    @property
    def traits(self) -> Traits:
        """Neither shared nor durable; a payload may be as large as the whole log."""
        return self._traits

    async def __aenter__(self) -> Self:
        """Start the task group that the tails live in."""
        if self._tasks is not None:
            message = "this transport is running already: each registry needs its own"
            raise Misuse(message)
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the tails."""
        tasks, self._tasks = self._tasks, None
        if tasks is not None:
            # Shielded, and told of no error: so that the body's own leaves as it is (T12).
            tasks.cancel_scope.shield = True
            tasks.cancel_scope.cancel()
            await tasks.__aexit__(None, None, None)

    async def publish(self, publication: Publication, /) -> Published:
        """Append; waits for nobody, and yields to other tasks only now and then."""
        limit = self._traits.max_payload
        if limit is not None and len(publication.payload) > limit:
            raise PayloadTooLarge(len(publication.payload), limit)
        await lowlevel.checkpoint_if_cancelled()
        published = self.log.append(publication)
        self._burst += 1
        if self._burst >= BURST:
            self._burst = 0
            await lowlevel.cancel_shielded_checkpoint()
        return published

    def tail(
        self, after: Position | None = None, /
    ) -> AbstractAsyncContextManager[MemoryObjectReceiveStream[Feed]]:
        """Follow the log; see :meth:`Transport.tail`."""
        return self._tail(after)

    @asynccontextmanager
    async def _tail(
        self, after: Position | None
    ) -> AsyncGenerator[MemoryObjectReceiveStream[Feed]]:
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
        """Read up to ``limit`` records after ``after``; yields, so that long catch-ups are fair."""
        await lowlevel.checkpoint()
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
        if cursor == self.log.bounds().end:
            return None, cursor
        found = self.log.locate(cursor)
        if isinstance(found, Gap):
            return found, found.resume
        if found.epoch != cursor.epoch:
            return Rebase(cursor.epoch, found.epoch, self.log.forks[cursor.epoch]), found
        page = self.log.read(cursor.offset, TAIL_BATCH)
        if page.bounds.first - 1 > cursor.offset:
            missed = page.bounds.first - 1 - cursor.offset
            return Gap(GapReason.TRIMMED, page.bounds.start, missed), page.bounds.start
        return Batch(page.records), page.records[-1].position
