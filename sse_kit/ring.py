"""The last records of the log, for clients that come back: they need no engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sse_kit.subscription import Entry
    from sse_kit.transports.base import Position


class Ring:
    """Offsets ``floor + 1`` to ``head`` of ``epoch``; at most ``size`` records, ``max_bytes``.

    ``position`` is the head with its mark.
    """

    __slots__ = (
        "_entries",
        "_floor_mark",
        "_max_bytes",
        "_size",
        "bytes",
        "epoch",
        "floor",
        "head",
        "position",
    )

    def __init__(self, start: Position, *, size: int, max_bytes: int) -> None:
        self._size = size
        self._max_bytes = max_bytes
        self._entries: dict[int, Entry] = {}
        self.begin(start)

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, position: Position) -> None:
        """Forget all, and go on from ``position``."""
        self.position = position
        self.epoch = position.epoch
        self.head = self.floor = position.offset
        self._floor_mark = position.mark
        self._entries.clear()
        self.bytes = 0

    def add(self, entry: Entry) -> None:
        """Take the record after the head; the oldest ones make room."""
        self.position = entry.position
        self.head = entry.position.offset
        self._entries[self.head] = entry
        self.bytes += len(entry.frame)
        while len(self._entries) > self._size or self.bytes > self._max_bytes:
            self.floor += 1
            oldest = self._entries.pop(self.floor)
            self._floor_mark = oldest.position.mark
            self.bytes -= len(oldest.frame)

    def after(self, offset: int) -> Iterator[Entry]:
        """Yield the records after ``offset``, which is ``floor`` or more."""
        return (self._entries[each] for each in range(offset + 1, self.head + 1))

    def mark_at(self, offset: int) -> str | None:
        """Return the mark of the floor, or of a record that is here."""
        return self._floor_mark if offset == self.floor else self._entries[offset].position.mark

    def is_here(self, position: Position) -> bool:
        """Tell whether a position is between floor and head; its mark may be another one."""
        return position.epoch == self.epoch and self.floor <= position.offset <= self.head

    def differs(self, position: Position) -> bool:
        """Tell whether another record is here than at ``position``, by their marks."""
        return position.mark is not None and self.mark_at(position.offset) != position.mark
