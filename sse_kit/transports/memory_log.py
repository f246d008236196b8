"""The log behind the embedded default: what is kept in this process's memory."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import anyio

from sse_kit.config import Retention
from sse_kit.errors import InvalidPosition
from sse_kit.transports.base import Bounds, Gap, GapReason, Page, Position, Published, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sse_kit.transports.base import Publication

DEDUP_WINDOW = 120.0
"""Seconds; JetStream's default. A remembered key costs some 300 bytes."""


class _Kept(NamedTuple):
    record: Record
    size: int
    at: float


class _Key(NamedTuple):
    at: float
    offset: int


class _Node(NamedTuple):
    until: float
    counts: dict[str, int]


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
        self._nodes: dict[str, _Node] = {}
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

    def beat(self, node: str, counts: Mapping[str, int], lease: float) -> None:
        """Note what a node counts; see P1."""
        self._nodes[node] = _Node(self._clock() + lease, dict(counts))

    def leave(self, node: str) -> None:
        """Forget a node; see P3."""
        self._nodes.pop(node, None)

    def nodes(self) -> dict[str, dict[str, int]]:
        """Return the counts of the nodes whose lease is not over; see P2."""
        now = self._clock()
        self._nodes = {name: node for name, node in self._nodes.items() if node.until > now}
        return {name: dict(node.counts) for name, node in self._nodes.items()}
