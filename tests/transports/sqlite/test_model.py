"""The log in a file and the log in memory are the same log, whatever is done to both."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sse_kit.config import Retention
from sse_kit.transports import sqlite_log
from sse_kit.transports.base import Gap, Page, Position, Publication
from sse_kit.transports.memory_log import MemoryLog
from sse_kit.transports.settings import LogSettings
from sse_kit.transports.sqlite_log import SqliteLog

RETENTION = Retention(max_records=6, max_bytes=100, max_age=40.0)
WINDOW = 15.0


class LogMachine(RuleBasedStateMachine):
    """Both logs, one clock; ``epochs`` are pairs of names, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        folder = self.stack.enter_context(TemporaryDirectory())
        self.now = 1_000.0
        clock = self.stack.enter_context(patch.object(sqlite_log, "time"))
        clock.time.side_effect = lambda: self.now
        self.settings = LogSettings(retention=RETENTION, dedup_window=WINDOW)
        self.path = str(Path(folder, "log.db"))
        self.log = SqliteLog(self.path, self.settings)
        self.model = MemoryLog(RETENTION, dedup_window=WINDOW, clock=lambda: self.now)
        self.epochs = [self.pair()]

    def page(self, after: int, limit: int) -> Page:
        page = self.log.page(after, limit)
        assert page is not None
        return page

    def pair(self) -> tuple[str, str]:
        return self.page(0, 1).bounds.epoch, self.model.bounds().epoch

    def theirs(self, position: Position) -> Position:
        """Return the model's name of a position."""
        return Position(dict(self.epochs)[position.epoch], position.offset)

    @rule(keys=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4), size=st.integers(0, 40))
    def publish(self, keys: list[str], size: int) -> None:
        batch = [Publication(("t",), bytes(size), key) for key in keys]
        expected = [self.model.append(each) for each in batch]
        answers = self.log.append(batch)
        assert [each.duplicate for each in answers] == [each.duplicate for each in expected]
        positions = [each.position for each in answers]
        assert [*map(self.theirs, positions)] == [each.position for each in expected]

    @rule(seconds=st.sampled_from([1.0, 9.0, 30.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def live_again(self) -> None:
        self.log.tidy()
        self.log.close()
        self.log = SqliteLog(self.path, self.settings)
        self.model.rewind(self.model.bounds().last)
        self.epochs.append(self.pair())

    @rule(after=st.integers(0, 40), limit=st.integers(1, 9))
    def read(self, after: int, limit: int) -> None:
        self.log.tidy()
        page, expected = self.page(after, limit), self.model.read(after, limit)
        shown = [(self.theirs(each.position), each.payload) for each in page.records]
        assert shown == [(each.position, each.payload) for each in expected.records]

    @rule(which=st.integers(0, 9), offset=st.integers(0, 40))
    def locate(self, which: int, offset: int) -> None:
        self.log.tidy()
        ours, theirs = self.epochs[which % len(self.epochs)]
        found = self.log.find(Position(ours, offset))
        expected = self.model.locate(Position(theirs, offset))
        if isinstance(found, Gap):
            assert isinstance(expected, Gap)
            assert (found.reason, self.theirs(found.resume)) == (expected.reason, expected.resume)
        else:
            assert self.theirs(found) == expected

    @invariant()
    def same_bounds(self) -> None:
        self.log.tidy()
        bounds, expected = self.page(0, 1).bounds, self.model.bounds()
        assert (bounds.first, bounds.last) == (expected.first, expected.last)

    def teardown(self) -> None:
        self.log.close()
        self.stack.close()


TestLog = LogMachine.TestCase
TestLog.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
