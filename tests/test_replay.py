"""Asking the engine: together, patiently, and for nobody who has left."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sse_kit import Gap, GapReason, MemoryLog, MemoryTransport, Position, SSEMessage
from sse_kit.codec import dump_payload
from sse_kit.errors import EngineUnavailable
from sse_kit.hub import Hub
from sse_kit.replay import PARALLEL, Follower, Replayer
from sse_kit.subscription import Subscription
from sse_kit.transports.base import Page, Publication

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from sse_kit.subscription import Entry
    from sse_kit.transports.base import Record

pytestmark = pytest.mark.anyio


class Engine(MemoryTransport):
    """An engine that counts what it is asked, fails on demand, and answers when it may."""

    def __init__(self, log: MemoryLog, *, failures: int = 0) -> None:
        super().__init__(log=log)
        self.asked: list[object] = []
        self.failures = failures
        self.may_answer = anyio.Event()
        self.may_answer.set()

    async def _work(self, question: object) -> None:
        self.asked.append(question)
        await self.may_answer.wait()
        if self.failures:
            self.failures -= 1
            raise ConnectionError

    async def read(self, after: int, /, *, limit: int) -> Page:
        """Answer, or fail."""
        await self._work(after)
        return await super().read(after, limit=limit)

    async def locate(self, position: Position, /) -> Position | Gap:
        """Answer, or fail."""
        await self._work(position)
        return await super().locate(position)


class Stage:
    """A log of nine records, and a hub that has only the last in its ring."""

    def __init__(self, *, failures: int = 0) -> None:
        self.log = MemoryLog()
        for number in range(1, 10):
            self.log.append(Publication(("a",), dump_payload(SSEMessage(str(number)))))
        self.engine = Engine(self.log, failures=failures)
        self.hub = Hub(self.log.bounds().end, replay=True, ring_size=1, ring_bytes=9_999)
        self.replayer: Replayer

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Run the replayer."""
        async with anyio.create_task_group() as tasks:
            self.replayer = Replayer(self.hub, self.engine, tasks)
            yield
            tasks.cancel_scope.cancel()

    def follower(self, start: Position, *, max_items: int = 100) -> tuple[Follower, anyio.Event]:
        """Return a reader, and the event of its being woken."""
        woken = anyio.Event()
        subscription = Subscription(
            ("a",), start, wake=woken.set, max_items=max_items, max_bytes=9_999
        )
        self.hub.add(subscription)
        return Follower(self.hub, subscription, self.replayer), woken

    def at(self, offset: int) -> Position:
        """Return a position of the log."""
        return Position(self.log.bounds().epoch, offset)


async def test_a_page_is_read_and_queued() -> None:
    """What the ring has not comes from the engine, in order."""
    stage = Stage()
    async with stage.running():
        follower, woken = stage.follower(stage.at(5))
        assert not follower.advance()
        await woken.wait()
        assert follower.advance()
        offsets = [
            item.position.offset
            for item in follower.subscription.take()
            if not isinstance(item, Gap)
        ]
        assert offsets == [6, 7, 8, 9]


async def test_equal_questions_are_asked_once() -> None:
    """A thousand clients at the same cursor cost the engine one read."""
    stage = Stage()
    async with stage.running():
        everyone = [stage.follower(stage.at(5)) for _ in range(1000)]
        for follower, _ in everyone:
            follower.advance()
        for follower, woken in everyone:
            await woken.wait()
            assert follower.advance()
    assert stage.engine.asked == [5]


async def test_a_reader_asks_one_question_at_a_time() -> None:
    """Asking again while the answer is on its way changes nothing."""
    stage = Stage()
    async with stage.running():
        follower, woken = stage.follower(stage.at(5))
        follower.advance()
        follower.advance()
        await woken.wait()
    assert stage.engine.asked == [5]


async def test_a_position_is_located() -> None:
    """Another log's position becomes a gap by the engine's word."""
    stage = Stage()
    async with stage.running():
        follower, woken = stage.follower(Position("other", 5))
        follower.advance()
        await woken.wait()
        (gap,) = follower.subscription.take()
        assert gap == Gap(GapReason.EPOCH, stage.at(0))


async def test_a_failing_engine_is_asked_until_it_answers(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage delays a reader, and is logged."""
    monkeypatch.setattr("sse_kit.replay.FIRST_DELAY", 0.0)
    stage = Stage(failures=3)
    with caplog.at_level(logging.ERROR):
        async with stage.running():
            follower, woken = stage.follower(stage.at(5))
            follower.advance()
            with anyio.fail_after(5):
                await woken.wait()
            assert follower.advance()
    assert stage.engine.asked == [5] * 4
    assert "transport failed to answer" in caplog.text


async def test_questions_that_fail_are_in_nobodys_way() -> None:
    """As many as may be asked at once fail for as long as anyone waits; another one is answered."""
    stage = Stage()

    class HalfDown(Engine):
        async def locate(self, position: Position, /) -> Position | Gap:
            self.asked.append(position)
            address = "half down"
            raise EngineUnavailable(address, "no answer")

    stage.engine = HalfDown(stage.log)
    async with stage.running():
        for number in range(PARALLEL):
            stage.follower(Position("other", number))[0].advance()
        while len(stage.engine.asked) < PARALLEL:
            await checkpoint()
        follower, woken = stage.follower(stage.at(5))
        follower.advance()
        with anyio.fail_after(5):
            await woken.wait()
        assert follower.advance()


async def test_nobody_waits_for_one_who_has_left() -> None:
    """A reader that leaves is not answered, and those who asked the same are."""
    stage = Stage()
    stage.engine.may_answer = anyio.Event()
    async with stage.running():
        gone, never = stage.follower(stage.at(5))
        stays, woken = stage.follower(stage.at(5))
        gone.advance()
        stays.advance()
        gone.release()
        stage.engine.may_answer.set()
        await woken.wait()
    assert not never.is_set()
    assert not gone.subscription.queue


async def test_an_engine_is_not_asked_for_those_who_all_left() -> None:
    """Questions that wait for their turn are dropped with the last who asked."""
    stage = Stage()
    async with stage.running():
        follower, _ = stage.follower(stage.at(5))
        follower.advance()
        follower.release()
        follower.release()
        for _ in range(5):
            await checkpoint()
    assert stage.engine.asked == []


async def test_a_lag_is_counted_in_records() -> None:
    """Behind the ring it is the distance to the head; live, what is queued."""
    stage = Stage()
    async with stage.running():
        behind, _ = stage.follower(stage.at(5))
        live, _ = stage.follower(stage.at(9))
        assert behind.lag() == 4
        assert live.lag() == 0
        assert live.checkpoint() == stage.at(9)


async def test_a_page_is_made_ready_only_as_far_as_a_queue_takes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And once for all who ask for it."""
    stage = Stage()
    async with stage.running():
        made: list[int] = []
        ready = stage.hub.ready

        def counted(record: Record) -> Entry:
            made.append(record.position.offset)
            return ready(record)

        monkeypatch.setattr(stage.hub, "ready", counted)
        followers = [stage.follower(stage.at(2), max_items=3) for _ in range(2)]
        for follower, _ in followers:
            assert not follower.advance()
        for follower, woken in followers:
            await woken.wait()
            assert [item.position.offset for item in follower.subscription.queue] == [3, 4, 5]  # type: ignore[union-attr]
        assert made == [3, 4, 5, 6]
