"""A log that forks inside its epoch, as JetStream does; only the marks of its positions tell."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from sse_kit import Gap, GapReason, MemoryLog, Position
from sse_kit.transports.base import Bounds, Published

if TYPE_CHECKING:
    from sse_kit.transports.base import Publication


class MarkedLog(MemoryLog):
    """A mark is the line of history in which its record was written, and the offset."""

    def _begin(self) -> None:
        super()._begin()
        if not hasattr(self, "lines"):
            self.lines: dict[str, list[str | None]] = {}
            self.latest: dict[str, str] = {}
            self._epochs: dict[str, str] = {}
            self._numbers = count()
        self._begin_line([None])

    def _begin_line(self, marks: list[str | None]) -> None:
        self.line = f"line{next(self._numbers)}"
        self.marks = self.lines[self.line] = marks
        self.latest[self._epoch] = self.line
        self._epochs[self.line] = self._epoch

    def line_at(self, position: Position) -> str:
        """Return the line in which it was written; without a mark, the name of the epoch."""
        return position.epoch if position.mark is None else position.mark.partition("-")[0]

    def is_unmarked(self, line: str) -> bool:
        """Tell whether that is the name of an epoch."""
        return line in self.latest

    def epoch_of(self, line: str) -> str:
        """Return the epoch of a line."""
        return self._epochs.get(line, line)

    def append(self, publication: Publication) -> Published:
        """Store it, with a mark."""
        offset = super().append(publication).position.offset
        self.marks.append(f"{self.line}-{offset}")
        kept = self._kept[offset]
        position = self._at(offset)
        self._kept[offset] = kept._replace(record=replace(kept.record, position=position))
        return Published(Position(self._epoch, offset))

    def bounds(self) -> Bounds:
        """Tell what is kept, with the mark of the end."""
        return replace(super().bounds(), mark=self.marks[self._last])

    def locate(self, position: Position) -> Position | Gap:
        """Find the fork, if the record at this position was lost."""
        if position.mark is None or position.epoch != self._epoch:
            return super().locate(position)
        theirs = self.lines[self.line_at(position)][: position.offset + 1]
        shared = sum(one == other for one, other in zip(theirs, self.marks, strict=False)) - 1
        if shared == position.offset:
            return position
        return Gap(GapReason.AHEAD, self._at(max(shared, self.bounds().start.offset)))

    def rewind(self, offset: int) -> None:
        """Lose what is after ``offset``, and let nobody know."""
        for lost in range(offset + 1, self._last + 1):
            self._size -= self._kept.pop(lost).size
        self._last = offset
        self._begin_line(self.marks[: offset + 1])
        self._wake()

    def _at(self, offset: int) -> Position:
        return Position(self._epoch, offset, self.marks[offset])
