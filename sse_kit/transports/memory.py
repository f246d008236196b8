"""The embedded default: a log in this process's memory.

It keeps every promise of :mod:`sse_kit.transports.base` but durability: when the process ends its
history ends, and the epoch, random per log, tells every client that comes back.

**In one of several worker processes it reaches that worker's own clients only.** Two registries of
one process can share a :class:`MemoryLog`, which is how tests make a cluster.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

import anyio
from anyio import lowlevel

from sse_kit.errors import (
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
    SupportsReplay,
    Traits,
    Transport,
)
from sse_kit.transports.memory_log import MemoryLog
from sse_kit.transports.presence import SupportsPresence

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from sse_kit.config import Retention
    from sse_kit.transports.base import Publication

TAIL_BATCH = 256
BURST = 64
"""Publishes after which ``publish`` lets other tasks run, so that a busy loop starves nobody."""


class MemoryTransport(Transport, SupportsReplay, SupportsPresence):
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

    async def beat(self, node: str, counts: Mapping[str, int], /, *, lease: float) -> None:
        """Note what a node counts."""
        await lowlevel.checkpoint_if_cancelled()
        self.log.beat(node, counts, lease)

    async def leave(self, node: str, /) -> None:
        """Forget a node."""
        await lowlevel.checkpoint_if_cancelled()
        self.log.leave(node)

    async def nodes(self) -> dict[str, dict[str, int]]:
        """Return the counts of each node."""
        await lowlevel.checkpoint_if_cancelled()
        return self.log.nodes()

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
