"""The log in memory against a list: whatever is done to it, it answers like the list."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from sse_kit.config import Retention
from sse_kit.transports.base import Gap, GapReason, Position, Publication
from sse_kit.transports.memory_log import MemoryLog

WINDOW = 20.0


class Row(NamedTuple):
    """What the list holds of a record; its offset is its place, from 1."""

    payload: bytes
    key: str | None
    at: float


class LogMachine(RuleBasedStateMachine):
    """A list of rows, the number of the first that is kept, and the epochs that there were."""

    positions = Bundle("positions")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.rows: list[Row] = []
        self.first = 1
        self.shared: dict[str, int] = {}
        self.known: dict[str, tuple[float, int]] = {}
        self.cursor: Position | None = None
        self.unseen = 0

    @initialize(
        max_records=st.none() | st.integers(1, 5),
        max_bytes=st.none() | st.integers(1, 20),
        max_age=st.none() | st.floats(1, 30),
    )
    def begin(self, max_records: int | None, max_bytes: int | None, max_age: float | None) -> None:
        self.keep = Retention(max_records=max_records, max_bytes=max_bytes, max_age=max_age)
        self.log = MemoryLog(self.keep, dedup_window=WINDOW, clock=lambda: self.now)
        self.epoch = self.log.bounds().epoch
        self.cursor = self.log.bounds().start

    @rule(
        target=positions,
        payload=st.binary(max_size=6),
        key=st.none() | st.sampled_from(["a", "b", "c"]),
    )
    def append(self, payload: bytes, key: str | None) -> Position:
        published = self.log.append(Publication(("t",), payload, key))
        at, offset = self.known.get(key or "", (float("-inf"), 0))
        duplicate = self.now - at <= WINDOW
        assert published.duplicate == duplicate
        if not duplicate:
            self.rows.append(Row(payload, key, self.now))
            offset = len(self.rows)
            if key is not None:
                self.known[key] = (self.now, offset)
        assert published.position == Position(self.epoch, offset)
        return published.position

    @rule(seconds=st.floats(0, 25))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def clear(self) -> None:
        self.log.clear()
        assert self.log.bounds().epoch != self.epoch
        self.epoch = self.log.bounds().epoch
        self.rows, self.first = [], 1
        self.shared, self.known = {}, {}

    @rule(data=st.data())
    def rewind(self, data: st.DataObject) -> None:
        offset = data.draw(st.integers(self._first() - 1, len(self.rows)))
        self.log.rewind(offset)
        del self.rows[offset:]
        self.known = {key: known for key, known in self.known.items() if known[1] <= offset}
        self.shared = {epoch: min(fork, offset) for epoch, fork in self.shared.items()}
        self.shared[self.epoch] = offset
        assert self.log.bounds().epoch not in self.shared
        self.epoch = self.log.bounds().epoch

    @rule(after=st.integers(0, 12), limit=st.integers(1, 6))
    def read(self, after: int, limit: int) -> None:
        start = max(after, self._first() - 1)
        page = self.log.read(after, limit)
        expected = self.rows[start : start + limit]
        assert [record.payload for record in page.records] == [row.payload for row in expected]
        assert [record.position for record in page.records] == [
            Position(self.epoch, start + number) for number in range(1, len(expected) + 1)
        ]

    @rule(position=positions, ahead=st.integers(0, 3))
    def locate(self, position: Position, ahead: int) -> None:
        position = Position(position.epoch, position.offset + ahead)
        shared = {**self.shared, self.epoch: len(self.rows)}.get(position.epoch)
        located = self.log.locate(position)
        if shared is None:
            assert located == Gap(GapReason.EPOCH, Position(self.epoch, self._first() - 1))
        elif position.offset > shared:
            resume = max(shared, self._first() - 1)
            assert located == Gap(GapReason.AHEAD, Position(self.epoch, resume))
        else:
            assert located == Position(self.epoch, position.offset)

    @rule()
    def follow(self) -> None:
        """Read on as a subscriber does, who must see each row, or be told that it cannot."""
        assert self.cursor is not None
        found = self.log.locate(self.cursor)
        if isinstance(found, Gap):
            found = found.resume
        page = self.log.read(found.offset, 100)
        begin = max(found.offset, page.bounds.first - 1)
        assert begin == found.offset or page.bounds.first == self._first()
        assert [record.payload for record in page.records] == [
            row.payload for row in self.rows[begin:]
        ]
        self.cursor = page.bounds.end

    @invariant()
    def bounds_are_those_of_the_list(self) -> None:
        if self.cursor is not None:
            bounds = self.log.bounds()
            assert (bounds.first, bounds.last) == (self._first(), len(self.rows))
            assert bounds.epoch == self.epoch

    def _first(self) -> int:
        while self.first <= len(self.rows) and self._goes():
            self.first += 1
        return self.first

    def _goes(self) -> bool:
        kept = self.rows[self.first - 1 :]
        size = sum(len(row.payload) + len("t") for row in kept)
        old = self.keep.max_age is not None and self.now - kept[0].at > self.keep.max_age
        many = self.keep.max_records is not None and len(kept) > self.keep.max_records
        large = self.keep.max_bytes is not None and size > self.keep.max_bytes
        return old or (len(kept) > 1 and (many or large))


LogMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


TestLog = LogMachine.TestCase
