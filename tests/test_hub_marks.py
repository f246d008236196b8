"""Positions with marks: a log that forks inside its epoch is seen by the hub, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit import Gap, GapReason, MemoryTransport, Position, SSEMessage
from sse_kit.codec import dump_payload
from sse_kit.hub import Hub
from sse_kit.replay import Follower, Replayer
from sse_kit.subscription import Ask, Entry, Locate, Subscription, Verify
from sse_kit.transports.base import Batch, Publication, Record
from tests.marked_log import MarkedLog

if TYPE_CHECKING:
    from sse_kit.subscription import Step

EPOCH = "e"


def at(offset: int, line: str | None = "old") -> Position:
    """Return a position; ``line`` is the history that its record is of."""
    return Position(EPOCH, offset, None if line is None else f"{line}-{offset}")


def batch(first: int, last: int, line: str = "old") -> Batch:
    """Return records ``first`` to ``last``."""
    offsets = range(first, last + 1)
    return Batch(
        tuple(
            Record(at(each, line), ("a",), dump_payload(SSEMessage(str(each)))) for each in offsets
        )
    )


def make_hub(*, ring_size: int = 100) -> Hub:
    """Return a hub that has seen nine records of the old history."""
    hub = Hub(at(0, None), replay=True, ring_size=ring_size, ring_bytes=100_000)
    hub.apply(batch(1, 9))
    return hub


def follow(hub: Hub, start: Position, *, max_items: int = 100) -> Subscription:
    """Return a subscription from ``start`` on."""
    subscription = Subscription(
        ("a",), start, wake=lambda: None, max_items=max_items, max_bytes=10_000
    )
    hub.add(subscription)
    return subscription


def fork(hub: Hub) -> None:
    """Let the tail come to the fork after the sixth record, and on."""
    hub.apply(Gap(GapReason.AHEAD, at(6)), batch(7, 12, "new"))


def offsets(subscription: Subscription) -> list[int]:
    """Return the offsets of what waited."""
    items = subscription.take()
    return [item.position.offset for item in items if isinstance(item, Entry)]


def test_the_head_and_its_checkpoint_carry_the_mark() -> None:
    """So does a client that has seen nothing yet."""
    hub = make_hub()
    assert hub.position == at(9)
    assert hub.checkpoint(follow(hub, hub.position)) == at(9)


def test_who_arrives_with_a_mark_has_the_head_verified() -> None:
    """The ring holds its record, but what follows there may be lost since: one question, once."""
    hub = make_hub()
    subscription = follow(hub, at(6))
    assert hub.step(subscription) == Verify(at(9), 1)
    subscription.arrives = False
    assert hub.step(subscription) is Ask.READY
    assert offsets(subscription) == [7, 8, 9]


def test_without_a_mark_a_position_is_taken_as_it_is() -> None:
    """As for a transport that has none."""
    hub = make_hub()
    fork(hub)
    subscription = follow(hub, at(8, None))
    assert hub.step(subscription) is Ask.READY
    assert offsets(subscription) == [9, 10, 11, 12]


@pytest.mark.parametrize("offset", [7, 9, 12])
def test_another_mark_than_that_of_the_ring_asks_the_engine(offset: int) -> None:
    """Also at the head, where the client would be LIVE at once."""
    hub = make_hub()
    fork(hub)
    subscription = follow(hub, at(offset))
    assert not subscription.live
    assert isinstance(hub.step(subscription), Locate)


def test_the_floor_of_the_ring_has_a_mark_too() -> None:
    """A client that stands right before the ring needs no page, if its mark is the one."""
    hub = make_hub(ring_size=3)
    assert isinstance(hub.step(follow(hub, at(6))), Verify)
    assert isinstance(hub.step(follow(hub, at(6, "other"))), Locate)


def test_who_was_live_asks_after_a_fork() -> None:
    """The tail is told where the fork is, each reader finds out where that leaves it."""
    hub = make_hub()
    subscription = follow(hub, hub.position)
    fork(hub)
    assert hub.step(subscription) == Locate(at(9), 2)


def test_who_overflowed_asks_after_a_fork() -> None:
    """A reader stands right before the record that found no room, with the mark of that place."""
    hub = make_hub()
    subscription = follow(hub, hub.position, max_items=1)
    hub.apply(batch(10, 12))
    assert subscription.position == at(10)
    assert offsets(subscription) == [10]
    fork(hub)
    assert isinstance(hub.step(subscription), Locate)


def test_a_record_of_the_ring_that_the_engine_denies_waits_for_the_tail() -> None:
    """A client comes from a process that has seen the fork to one that has not."""
    hub = make_hub()
    subscription = follow(hub, at(8, "new"))
    step = hub.step(subscription)
    assert isinstance(step, Locate)
    hub.located(subscription, step, at(8, "new"))
    assert hub.step(subscription) is Ask.WAIT
    fork(hub)
    assert hub.step(subscription) == Verify(at(12, "new"), 2)
    subscription.arrives = False
    assert hub.step(subscription) is Ask.READY
    assert offsets(subscription) == [9, 10, 11, 12]


def test_a_record_that_the_ring_does_not_know_is_the_engine_s() -> None:
    """The place where a hub began may have no mark: it believes the engine, once."""
    hub = Hub(at(5, None), replay=True, ring_size=9, ring_bytes=9_999)
    subscription = follow(hub, at(5))
    step = hub.step(subscription)
    assert isinstance(step, Locate)
    hub.located(subscription, step, at(5))
    assert hub.step(subscription) is Ask.WAIT
    assert subscription.live


def test_a_forged_mark_on_a_log_without_marks_costs_a_question() -> None:
    """What the engine finds has no mark, and is taken as it is."""
    hub = Hub(at(0, None), replay=True, ring_size=9, ring_bytes=9_999)
    hub.apply(Batch((Record(at(1, None), ("a",), dump_payload(SSEMessage("1"))),)))
    subscription = follow(hub, at(1, "forged"))
    step = hub.step(subscription)
    assert isinstance(step, Locate)
    hub.located(subscription, step, at(1, None))
    assert subscription.position == at(1, None)
    assert hub.step(subscription) is Ask.WAIT
    assert subscription.live


class Stage:
    """A marked log of nine records that loses the last three, and a hub that has seen the nine."""

    def __init__(self, *, ring_size: int, sees: bool) -> None:
        self.log = MarkedLog()
        self.publish(9)
        self.lost = self.log.bounds().end
        self.hub = Hub(
            Position(self.lost.epoch, 0), replay=True, ring_size=ring_size, ring_bytes=9999
        )
        self.hub.apply(Batch(self.log.read(0, 9).records))
        self.old = [record.position for record in self.log.read(0, 9).records]
        self.log.rewind(6)
        self.publish(6)
        if sees:
            self.hub.apply(Gap(GapReason.AHEAD, self.old[5]), Batch(self.log.read(6, 9).records))

    def publish(self, count: int) -> None:
        """Write."""
        for _ in range(count):
            self.log.append(Publication(("a",), dump_payload(SSEMessage("x"))))

    async def ask(self, start: Position) -> tuple[Subscription, Step]:
        """Follow from ``start``, ask the engine once; return what is needed then."""
        async with MemoryTransport(log=self.log) as engine, anyio.create_task_group() as tasks:
            answered = anyio.Event()
            subscription = Subscription(
                ("a",), start, wake=answered.set, max_items=99, max_bytes=9999
            )
            self.hub.add(subscription)
            follower = Follower(self.hub, subscription, Replayer(self.hub, engine, tasks))
            follower.advance()
            with anyio.fail_after(5):
                await answered.wait()
        return subscription, self.hub.step(subscription)


@pytest.mark.anyio
async def test_who_arrives_ahead_of_the_tail_is_not_given_what_is_lost() -> None:
    """The fork's record is in both histories: what this ring has behind it is lost, and told."""
    stage = Stage(ring_size=9, sees=False)
    subscription, step = await stage.ask(stage.old[5])
    assert (subscription.take(), step) == ([], Ask.WAIT)


@pytest.mark.anyio
async def test_who_arrives_at_a_ring_that_is_right_goes_on() -> None:
    """The engine knows the head, so it knows all of the ring."""
    stage = Stage(ring_size=9, sees=True)
    subscription, _ = await stage.ask(stage.old[5])
    assert offsets(subscription) == [7, 8, 9, 10, 11, 12]


@pytest.mark.anyio
async def test_a_page_continues_the_record_at_the_cursor() -> None:
    """Below the ring the record at the mark is read again, and left out of the page."""
    stage = Stage(ring_size=1, sees=True)
    subscription, _ = await stage.ask(stage.old[3])
    assert offsets(subscription) == [5, 6, 7, 8, 9, 10, 11, 12]


@pytest.mark.anyio
async def test_a_page_of_another_history_is_a_gap_at_the_fork() -> None:
    """What would follow the lost record in the present history is no continuation of it."""
    stage = Stage(ring_size=1, sees=True)
    subscription, _ = await stage.ask(stage.old[7])
    assert subscription.take() == [Gap(GapReason.AHEAD, stage.old[5])]


@pytest.mark.anyio
async def test_a_fork_that_the_tail_has_not_seen_is_not_told_yet() -> None:
    """The ring would hand out the lost records again, right after the gap."""
    stage = Stage(ring_size=9, sees=False)
    forged = Position(stage.lost.epoch, 8, "line9-8")
    stage.log.lines["line9"] = [None, *(f"line9-{each}" for each in range(1, 9))]
    subscription, step = await stage.ask(forged)
    assert (subscription.take(), step) == ([], Ask.WAIT)
