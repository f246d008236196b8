"""What was really written, and who checks against it what a client is sent.

A *line* is one history. A log restored from an older copy goes on in a new one: that is also a new
epoch, or it is not, and then only the marks of positions tell.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sse_kit import Position
from sse_kit.transports.base import GapReason
from tests.marked_log import MarkedLog

if TYPE_CHECKING:
    from sse_kit import MemoryLog, ReceivedMessage

END = "end"
"""The topic of the last record."""


class Place(NamedTuple):
    """A position as the history knows it."""

    line: str
    offset: int


@dataclass
class History:
    """What was really written: the records of each line, and where lines fork."""

    records: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)
    forks: dict[str, tuple[str, int]] = field(default_factory=dict)

    def forks_of(self, place: Place) -> list[int]:
        """Return the forks that a place is beyond, in the order in which they came."""
        line, least, passed = place.line, place.offset, list[int]()
        while line in self.forks:
            line, fork = self.forks[line]
            if fork < least:
                least = fork
                passed.append(fork)
        return passed

    def translate(self, place: Place, line: str) -> int | None:
        """Return the offset in ``line`` of a place of an earlier one; None: forked off."""
        current = place.line
        while current != line:
            if current not in self.forks:
                return None
            current, fork = self.forks[current]
            if place.offset > fork:
                return None
        return place.offset

    def next_match(self, line: str, after: int, topics: frozenset[str]) -> int | None:
        """Return the offset of the next record for these topics."""
        for offset, named in enumerate(self.records[line][after:], start=after + 1):
            if not topics.isdisjoint(named):
                return offset
        return None

    def matches(self, line: str, after: int, upto: int, topics: frozenset[str]) -> int:
        """Count the records for these topics in ``after + 1 … upto``."""
        return sum(not topics.isdisjoint(named) for named in self.records[line][after:upto])


@dataclass
class Witness:
    """Checks one client's blocks: exactly the log from its start on, gaps told truly."""

    history: History
    log: MemoryLog
    topics: frozenset[str]
    cursor: Position | None = None
    events: int = 0
    gaps: int = 0
    at_end: bool = False

    def see(self, block: ReceivedMessage) -> None:
        """Check a block."""
        if block.id is None:
            assert block.data is None or block.event == "bye"
            return
        position = Position.parse(block.id)
        assert position is not None
        place = self._place(position)
        if block.event == "gap":
            self._see_gap(place, position, json.loads(block.data or ""))
        elif block.data is None:
            self._see_checkpoint(place)
        else:
            self._see_event(place, block.data)
        self.cursor = position

    def _place(self, position: Position) -> Place:
        log = self.log
        line = log.line_at(position) if isinstance(log, MarkedLog) else position.epoch
        return Place(line, position.offset)

    def _offset_before(self, line: str) -> int:
        assert self.cursor is not None, "an event before the first checkpoint"
        offset = self._translate(line)
        assert offset is not None, f"from {self.cursor} to {line} without a gap"
        return offset

    def _translate(self, line: str) -> int | None:
        """Return the cursor's offset in another line, or in an older one that shares it."""
        assert self.cursor is not None
        cursor, log = self._place(self.cursor), self.log
        if not isinstance(log, MarkedLog):
            return self.history.translate(cursor, line)
        if log.epoch_of(cursor.line) != log.epoch_of(line):
            return None
        if log.is_unmarked(cursor.line) or log.is_unmarked(line):
            return cursor.offset  # it is taken as it is
        back = Place(line, cursor.offset)
        found = self.history.translate(cursor, line)
        return self.history.translate(back, cursor.line) if found is None else found

    def _shown(self, line: str) -> str:
        """Return the line whose records are meant."""
        log = self.log
        return log.latest.get(line, line) if isinstance(log, MarkedLog) else line

    def _see_event(self, place: Place, data: str) -> None:
        before = self._offset_before(place.line)
        expected = self.history.next_match(self._shown(place.line), before, self.topics)
        assert place.offset == expected, f"{place} came, {expected} was next"
        assert data == f"{place.offset}"
        self.events += 1
        self.at_end = END in self.history.records[place.line][place.offset - 1]

    def _see_checkpoint(self, place: Place) -> None:
        if self.cursor is None:
            return
        before = self._offset_before(place.line)
        assert before <= place.offset, f"checkpoint back from {before} to {place}"
        skipped = self.history.next_match(self._shown(place.line), before, self.topics)
        assert skipped is None or skipped > place.offset, f"{place} skips {skipped}"

    def _see_gap(self, place: Place, resume: Position, data: dict[str, object]) -> None:
        assert self.cursor is not None
        self.gaps += 1
        bounds = self.log.bounds()
        # Whoever lags behind the log may tell of what was true before.
        begins_late = resume.epoch == bounds.epoch and resume.offset >= bounds.first
        here, cursor = self._translate(place.line), self._place(self.cursor)
        match GapReason(str(data["reason"])):
            case GapReason.TRIMMED:
                assert here is not None
                # An upper bound: what does not match may be known to, or not.
                lost = self.history.matches(
                    self._shown(place.line), here, place.offset, self.topics
                )
                assert lost <= int(str(data["missed"])) <= place.offset - here
                assert not begins_late, "told of a gap that is none"
            case GapReason.EPOCH:
                assert here is None, "told of another log, in the same one"
                assert not begins_late, "did not begin at the start"
            case GapReason.AHEAD:
                if begins_late and place.offset in self.history.forks_of(cursor):
                    return
                marked = isinstance(self.log, MarkedLog)
                assert here is None or marked or place.line != cursor.line, "told to be ahead"
                # Its process may have seen further than it was told: then nothing was left out.
                assert here is None or not self.history.matches(
                    self._shown(place.line), here, place.offset, self.topics
                )
            case reason:
                raise AssertionError(reason)
