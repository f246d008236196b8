"""The hub's steps, one fact each; random worlds are in test_two_hubs.py."""

from __future__ import annotations

import logging

import pytest

from sse_kit import Gap, GapReason, Position, SSEMessage
from sse_kit.codec import dump_payload
from sse_kit.hub import Hub
from sse_kit.subscription import Ask, Entry, Item, Locate, Read, Subscription, push_all
from sse_kit.transports.base import Batch, Bounds, Rebase, Record

EPOCH = "e"


def at(offset: int, epoch: str = EPOCH) -> Position:
    """Return a position."""
    return Position(epoch, offset)


def record(offset: int, *topics: str, epoch: str = EPOCH, payload: bytes | None = None) -> Record:
    """Return a record of some topics; its data is its offset."""
    data = dump_payload(SSEMessage(str(offset))) if payload is None else payload
    return Record(Position(epoch, offset), topics or ("a",), data)


def batch(first: int, last: int, *topics: str, epoch: str = EPOCH) -> Batch:
    """Return records ``first`` to ``last``."""
    return Batch(tuple(record(each, *topics, epoch=epoch) for each in range(first, last + 1)))


def make_hub(
    head: int = 0, *, replay: bool = True, ring_size: int = 100, ring_bytes: int = 100_000
) -> Hub:
    """Return a hub that stands at ``head``."""
    return Hub(at(head), replay=replay, ring_size=ring_size, ring_bytes=ring_bytes)


class Reader:
    """A subscription whose wake-ups are counted."""

    def __init__(
        self, hub: Hub, start: Position | None = None, *topics: str, max_items: int = 100
    ) -> None:
        self.wakes = 0
        self.subscription = Subscription(
            topics or ("a",),
            start or hub.position,
            wake=self._wake,
            max_items=max_items,
            max_bytes=10_000,
        )
        hub.add(self.subscription)

    def _wake(self) -> None:
        self.wakes += 1

    def take(self) -> list[int | Gap]:
        """Return the offsets and gaps that waited."""
        return [show(item) for item in self.subscription.take()]


def show(item: Item) -> int | Gap:
    """Return a record's offset, or the gap."""
    return item.position.offset if isinstance(item, Entry) else item


def test_a_reader_at_the_head_is_live_at_once() -> None:
    """A subscription at the head needs nothing."""
    hub = make_hub(3)
    reader = Reader(hub)
    assert hub.step(reader.subscription) is Ask.WAIT
    assert reader.subscription.live


def test_a_live_reader_is_pushed_what_matches() -> None:
    """Records of other topics are not queued."""
    hub = make_hub()
    reader = Reader(hub)
    hub.apply(Batch((record(1, "a"), record(2, "b"), record(3, "a", "b"))))
    assert hub.step(reader.subscription) is Ask.READY
    assert reader.take() == [1, 3]


def test_a_record_of_two_topics_reaches_a_reader_of_both_once() -> None:
    """The cursor tells that it was queued already."""
    hub = make_hub()
    reader = Reader(hub, None, "a", "b")
    hub.apply(batch(1, 1, "a", "b"))
    assert reader.take() == [1]


def test_a_push_wakes() -> None:
    """Whoever waits for the subscription is told once for each batch."""
    hub = make_hub()
    reader = Reader(hub)
    hub.apply(batch(1, 2), batch(3, 3))
    assert reader.wakes == 1


def test_the_frame_carries_the_position_as_id() -> None:
    """The id of an event is where its record stands in the log."""
    hub = make_hub()
    reader = Reader(hub)
    hub.apply(batch(1, 1))
    (entry,) = reader.subscription.take()
    assert isinstance(entry, Entry)
    assert entry.frame == b"id: e.1\ndata: 1\n\n"


def test_a_reader_in_the_ring_catches_up_without_the_engine() -> None:
    """What the ring still has is copied, and the reader is live in the same step."""
    hub = make_hub()
    hub.apply(batch(1, 5))
    reader = Reader(hub, at(2))
    assert hub.step(reader.subscription) is Ask.READY
    assert reader.take() == [3, 4, 5]
    assert reader.subscription.live


def test_a_reader_below_the_ring_asks_for_a_page() -> None:
    """What the ring has dropped is read from the engine, from the cursor on."""
    hub = make_hub(ring_size=2)
    hub.apply(batch(1, 5))
    reader = Reader(hub, at(1))
    step = hub.step(reader.subscription)
    assert isinstance(step, Read)
    assert step.position == at(1)


def test_a_page_moves_the_cursor_also_past_what_does_not_match() -> None:
    """After a page without matches the reader is in the ring."""
    hub = make_hub(ring_size=1)
    hub.apply(batch(1, 5, "b"))
    reader = Reader(hub, at(1))
    step = hub.step(reader.subscription)
    assert isinstance(step, Read)
    entries = tuple(hub.ready(record(each, "b")) for each in (2, 3, 4))
    hub.page_read(reader.subscription, step, Bounds(EPOCH, 1, 5), entries)
    assert hub.step(reader.subscription) is Ask.WAIT
    assert reader.subscription.live


def test_a_full_queue_sends_the_reader_back_to_catching_up() -> None:
    """Overflow drops nothing: the record that found no room is read again."""
    hub = make_hub()
    reader = Reader(hub, max_items=2)
    hub.apply(batch(1, 5))
    assert not reader.subscription.live
    assert reader.take() == [1, 2]
    hub.step(reader.subscription)
    assert reader.take() == [3, 4]
    hub.step(reader.subscription)
    assert reader.take() == [5]
    assert reader.subscription.live


def test_a_queue_is_bounded_by_bytes_too() -> None:
    """Frames over ``max_bytes`` don't pile up, but one always fits."""
    hub = make_hub()
    reader = Reader(hub)
    reader.subscription.max_bytes = 5
    hub.apply(batch(1, 3))
    assert reader.take() == [1]


def test_a_reader_ahead_of_this_process_asks_where_it_stands() -> None:
    """Only the engine can tell a process that lags from a position beyond the end."""
    hub = make_hub(2)
    reader = Reader(hub, at(5))
    assert hub.step(reader.subscription) == Locate(at(5), 1)


def test_a_reader_that_was_ahead_skips_what_it_has_seen() -> None:
    """Once the engine confirms the position, earlier records of a late tail are not repeated."""
    hub = make_hub(2)
    reader = Reader(hub, at(4))
    step = hub.step(reader.subscription)
    assert isinstance(step, Locate)
    hub.located(reader.subscription, step, at(4))
    assert hub.step(reader.subscription) is Ask.WAIT
    hub.apply(batch(3, 5))
    assert hub.step(reader.subscription) is Ask.READY
    assert reader.take() == [5]


def test_a_reader_that_was_ahead_is_woken_when_the_tail_is_there() -> None:
    """Not before: until then there is nothing for it."""
    hub = make_hub(2)
    reader = Reader(hub, at(4))
    step = hub.step(reader.subscription)
    assert isinstance(step, Locate)
    hub.located(reader.subscription, step, at(4))
    hub.apply(batch(3, 3))
    assert reader.wakes == 0
    hub.apply(batch(4, 4))
    assert reader.wakes == 1


def test_a_position_beyond_the_end_is_told_ahead() -> None:
    """The engine's gap reaches the reader, which goes on from where it resumes."""
    hub = make_hub(2)
    reader = Reader(hub, at(9))
    step = hub.step(reader.subscription)
    assert isinstance(step, Locate)
    gap = Gap(GapReason.AHEAD, at(2))
    hub.located(reader.subscription, step, gap)
    assert hub.step(reader.subscription) is Ask.READY
    assert reader.take() == [gap]
    hub.apply(batch(3, 3))
    assert hub.step(reader.subscription) is Ask.READY
    assert reader.take() == [3]


def test_a_position_of_another_epoch_is_translated_without_a_word() -> None:
    """A rebase inside the common history is no gap."""
    hub = make_hub(2)
    reader = Reader(hub, at(2, "old"))
    step = hub.step(reader.subscription)
    assert step == Locate(at(2, "old"), 1)
    assert isinstance(step, Locate)
    hub.located(reader.subscription, step, at(2))
    assert hub.step(reader.subscription) is Ask.WAIT
    assert reader.subscription.live


def test_a_page_that_was_asked_for_in_an_older_epoch_is_not_taken() -> None:
    """The log went on as another one meanwhile: the reader is to be located first."""
    hub = make_hub(ring_size=1)
    hub.apply(batch(1, 9))
    reader = Reader(hub, at(2))
    step = hub.step(reader.subscription)
    assert isinstance(step, Read)
    hub.apply(Rebase(EPOCH, "new", 9))
    page = tuple(hub.ready(record(each, epoch="new")) for each in (3, 4))
    hub.page_read(reader.subscription, step, Bounds("new", 1, 9), page)
    assert reader.take() == []
    assert isinstance(hub.step(reader.subscription), Locate)


def test_trimmed_records_are_counted() -> None:
    """The gap says how many records of all topics are gone, and resumes before the first kept."""
    hub = make_hub(ring_size=1)
    hub.apply(batch(1, 9))
    reader = Reader(hub, at(2))
    step = hub.step(reader.subscription)
    assert isinstance(step, Read)
    hub.page_read(reader.subscription, step, Bounds(EPOCH, 6, 9), ())
    assert reader.take() == [Gap(GapReason.TRIMMED, at(5), 3)]
    assert reader.subscription.position == at(5)


def test_a_hole_in_a_page_is_told() -> None:
    """A page that does not begin where it should is a gap too: offsets have no holes."""
    hub = make_hub(ring_size=1)
    hub.apply(batch(1, 9))
    reader = Reader(hub, at(2))
    step = hub.step(reader.subscription)
    assert isinstance(step, Read)
    hub.page_read(reader.subscription, step, Bounds(EPOCH, 1, 9), (hub.ready(record(5)),))
    assert reader.take() == [Gap(GapReason.TRIMMED, at(4), 2)]


def test_a_page_of_a_newer_epoch_parks_the_reader_until_the_tail_is_there() -> None:
    """The engine is ahead of the tail: no gap is declared from here."""
    hub = make_hub(ring_size=1)
    hub.apply(batch(1, 9))
    reader = Reader(hub, at(2))
    step = hub.step(reader.subscription)
    assert isinstance(step, Read)
    hub.page_read(reader.subscription, step, Bounds("new", 1, 9), ())
    assert hub.step(reader.subscription) is Ask.WAIT
    hub.apply(Rebase(EPOCH, "new", 9))
    assert isinstance(hub.step(reader.subscription), Locate)


def test_an_answer_from_a_newer_epoch_parks_the_reader() -> None:
    """A position that this process does not know yet waits for the tail."""
    hub = make_hub(2)
    reader = Reader(hub, at(2, "old"))
    step = hub.step(reader.subscription)
    assert isinstance(step, Locate)
    hub.located(reader.subscription, step, at(2, "newer"))
    assert hub.step(reader.subscription) is Ask.WAIT


def test_a_parked_reader_asks_again_when_told_to() -> None:
    """An answer may have come from a replica that lags."""
    hub = make_hub(2)
    reader, other = Reader(hub, at(2, "old")), Reader(hub)
    step = hub.step(reader.subscription)
    assert isinstance(step, Locate)
    hub.located(reader.subscription, step, at(2, "newer"))
    hub.unpark()
    assert (reader.wakes, other.wakes) == (1, 0)
    assert isinstance(hub.step(reader.subscription), Locate)


@pytest.mark.parametrize("upto", [4, 5, 20])
def test_a_reader_ahead_of_the_tail_goes_on_when_that_has_come_to_it(upto: int) -> None:
    """Also if it went past it in one step, by more than the ring has."""
    hub = make_hub(2, ring_size=5)
    reader = Reader(hub, at(5))
    step = hub.step(reader.subscription)
    assert isinstance(step, Locate)
    hub.located(reader.subscription, step, at(5))
    assert hub.step(reader.subscription) is Ask.WAIT
    hub.apply(batch(3, upto))
    assert reader.wakes == (upto >= 5)
    step = hub.step(reader.subscription)
    assert step is Ask.WAIT if upto <= 5 else isinstance(step, Read)


def test_an_answer_older_than_the_tail_is_asked_again() -> None:
    """The tail moved on while the engine was answering: waiting for it would be for ever."""
    hub = make_hub(2)
    reader = Reader(hub, at(2, "old"))
    step = hub.step(reader.subscription)
    assert isinstance(step, Locate)
    hub.apply(Rebase(EPOCH, "new", 2))
    hub.located(reader.subscription, step, at(2))
    assert isinstance(hub.step(reader.subscription), Locate)


def test_a_page_that_shows_less_than_the_tail_saw_parks_the_reader() -> None:
    """An engine that lost its end has news for the tail; nothing is decided before."""
    hub = make_hub(ring_size=1)
    hub.apply(batch(1, 9))
    reader = Reader(hub, at(5))
    step = hub.step(reader.subscription)
    assert isinstance(step, Read)
    hub.page_read(reader.subscription, step, Bounds(EPOCH, 1, 5), ())
    assert hub.step(reader.subscription) is Ask.WAIT


@pytest.mark.parametrize("live", [True, False])
def test_an_answer_that_comes_too_late_is_ignored(live: bool) -> None:  # noqa: FBT001
    """A reader that went on by itself is not moved back."""
    hub = make_hub(ring_size=1)
    hub.apply(batch(1, 9))
    reader = Reader(hub, at(5))
    step = hub.step(reader.subscription)
    assert isinstance(step, Read)
    reader.subscription.position = at(9)
    if live:
        reader.subscription.go_live()
    hub.page_read(reader.subscription, step, Bounds(EPOCH, 1, 9), (hub.ready(record(6)),))
    hub.located(reader.subscription, Locate(at(5), step.turn), at(5))
    assert reader.take() == []
    assert reader.subscription.position == at(9)


def test_a_gap_of_the_tail_sends_everyone_to_the_engine() -> None:
    """A live reader keeps what it has seen, and finds out by itself what it missed."""
    hub = make_hub()
    reader = Reader(hub)
    hub.apply(batch(1, 3, "b"))
    hub.apply(Gap(GapReason.TRIMMED, at(8), 5))
    assert hub.position == at(8)
    assert hub.step(reader.subscription) == Read(at(3), 2)


def test_what_came_before_a_gap_of_the_tail_is_pushed_before_it() -> None:
    """Also when both were waiting, and are taken in one step."""
    hub = make_hub()
    reader = Reader(hub)
    hub.apply(batch(1, 2), Gap(GapReason.TRIMMED, at(8), 6), batch(9, 9))
    assert reader.take() == [1, 2]
    assert hub.step(reader.subscription) == Read(at(2), 2)


def test_subscriptions_of_the_same_topics_are_pushed_the_same_list() -> None:
    """What a batch has for them is worked out once; the others get their own."""
    hub = make_hub()
    Reader(hub), Reader(hub), Reader(hub, None, "b", "a")
    pushed: list[tuple[int, list[Entry]]] = []
    hub.deliver = lambda subscriptions, entries: pushed.append((len(subscriptions), entries))
    hub.apply(Batch((record(1, "a"), record(2, "b"), record(3, "a", "b"))))
    assert [(count, [each.position.offset for each in entries]) for count, entries in pushed] == [
        (2, [1, 3]),
        (1, [1, 2, 3]),
    ]


def test_who_goes_live_while_others_are_pushed_to_gets_nothing_twice() -> None:
    """A push may run an application's code, which may open a stream."""
    hub = make_hub()
    late: list[Reader] = []
    Reader(hub)

    def deliver(subscriptions: tuple[Subscription, ...], entries: list[Entry]) -> None:
        if not late:
            late.append(Reader(hub, at(0)))
            hub.step(late[0].subscription)
        push_all(subscriptions, entries)

    hub.deliver = deliver
    hub.apply(batch(1, 2))
    assert late[0].take() == [1, 2]


def test_accepted_counts_what_was_pushed_and_what_was_caught_up_with() -> None:
    """Across overflow and the way back, each record once."""
    hub = make_hub()
    reader = Reader(hub, max_items=2)
    hub.apply(batch(1, 5))
    assert reader.subscription.accepted == 2
    while reader.take():
        hub.step(reader.subscription)
    assert (reader.subscription.accepted, reader.subscription.live) == (5, True)
    hub.apply(batch(6, 6))
    assert reader.subscription.accepted == 6
    hub.discard(reader.subscription)
    assert reader.subscription.accepted == 6


def test_a_rebase_keeps_what_both_histories_share() -> None:
    """A process that saw beyond the fork goes back to it; one that did not stays where it was."""
    beyond, before = make_hub(9), make_hub(3)
    for hub in (beyond, before):
        hub.apply(Rebase(EPOCH, "new", 5))
    assert beyond.position == at(5, "new")
    assert before.position == at(3, "new")


def test_a_repeated_record_is_dropped() -> None:
    """A tail that hands out a record twice harms nobody."""
    hub = make_hub()
    reader = Reader(hub)
    hub.apply(batch(1, 2))
    hub.apply(batch(2, 2))
    assert reader.take() == [1, 2]


def test_a_tail_that_skips_is_found_out(caplog: pytest.LogCaptureFixture) -> None:
    """A hole that the transport did not announce sends everyone to the engine, and is logged."""
    hub = make_hub()
    reader = Reader(hub)
    with caplog.at_level(logging.WARNING):
        hub.apply(batch(4, 4))
    assert hub.step(reader.subscription) == Read(at(0), 2)
    assert "tail skipped from e.0 to e.4" in caplog.text


def test_a_malformed_record_takes_its_place_and_reaches_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its offset is consumed, it is counted, and it is logged once."""
    hub = make_hub()
    reader = Reader(hub)
    bad = (record(1, payload=b"junk"), record(2, payload=b"{}"), record(3))
    with caplog.at_level(logging.WARNING):
        hub.apply(Batch(bad))
    assert reader.take() == [3]
    assert hub.statistics().malformed == 2
    assert len(caplog.records) == 1


def test_the_ring_is_bounded_by_count_and_bytes() -> None:
    """The oldest records leave first."""
    by_count, by_bytes = make_hub(ring_size=2), make_hub(ring_bytes=40)
    for hub in (by_count, by_bytes):
        hub.apply(batch(1, 9))
        assert hub.statistics().ring_records == 2


def test_a_checkpoint_is_the_head_while_nothing_waits() -> None:
    """A silent topic's client keeps up with a busy log."""
    hub = make_hub()
    reader = Reader(hub)
    hub.apply(batch(1, 3, "b"))
    assert hub.checkpoint(reader.subscription) == at(3)


def test_no_checkpoint_while_something_is_queued() -> None:
    """It would skip what the client has not been sent."""
    hub = make_hub()
    reader = Reader(hub)
    hub.apply(batch(1, 1))
    assert hub.checkpoint(reader.subscription) is None


def test_no_checkpoint_while_catching_up() -> None:
    """It would skip what has not been read."""
    hub = make_hub()
    hub.apply(batch(1, 3))
    assert hub.checkpoint(Reader(hub, at(1)).subscription) is None


def test_a_checkpoint_never_goes_back() -> None:
    """A reader ahead of this process is told none before the tail is there."""
    hub = make_hub(2)
    reader = Reader(hub, at(4))
    step = hub.step(reader.subscription)
    assert isinstance(step, Locate)
    hub.located(reader.subscription, step, at(4))
    assert hub.checkpoint(reader.subscription) is None


def test_what_is_no_position_starts_at_the_head_with_a_gap() -> None:
    """The client is told, and is live from now on."""
    hub = make_hub(4)
    reader = Reader(hub)
    hub.refuse(reader.subscription)
    hub.apply(batch(5, 5))
    assert reader.take() == [Gap(GapReason.INVALID, at(4)), 5]


def test_a_discarded_reader_is_forgotten() -> None:
    """Neither it nor its topics stay behind; discarding twice is harmless."""
    hub = make_hub()
    one, other = Reader(hub, None, "a", "b"), Reader(hub, None, "b")
    hub.discard(one.subscription)
    hub.discard(one.subscription)
    assert hub.statistics().topics == 1
    hub.discard(other.subscription)
    assert hub.statistics()[3:6] == (0, 0, 0)


def test_statistics_count_what_there_is() -> None:
    """Each field says what its name says."""
    hub = make_hub()
    Reader(hub)
    Reader(hub, at(0, "old"))
    hub.apply(batch(1, 2))
    counted = hub.statistics()
    assert counted.position == at(2)
    assert (counted.ring_records, counted.topics, counted.subscriptions) == (2, 1, 2)
    assert (counted.catching_up, counted.records, counted.gaps) == (1, 2, 0)
    assert counted.ring_bytes == len(b"id: e.1\ndata: 1\n\n") * 2


# Without an engine to ask ------------------------------------------------------------------------


def test_without_replay_the_first_record_tells_the_epoch() -> None:
    """Whoever was live from the start has missed nothing, and keeps no other position."""
    hub = Hub(None, replay=False, ring_size=9, ring_bytes=9_999)
    reader = Reader(hub)
    late = Reader(hub, at(7, "other"))
    hub.apply(batch(41, 42))
    assert reader.take() == [41, 42]
    assert hub.step(late.subscription) is Ask.READY
    assert late.take() == [Gap(GapReason.EPOCH, at(42))]


def test_without_replay_another_epoch_resumes_at_the_head() -> None:
    """What another process numbered cannot be found here."""
    hub = make_hub(replay=False)
    hub.apply(batch(1, 3))
    reader = Reader(hub, at(2, "other"))
    hub.step(reader.subscription)
    assert reader.take() == [Gap(GapReason.EPOCH, at(3))]


def test_without_replay_the_ring_still_serves_a_short_absence() -> None:
    """A client that was away for a moment misses nothing."""
    hub = make_hub(replay=False)
    hub.apply(batch(1, 3))
    reader = Reader(hub, at(1))
    hub.step(reader.subscription)
    assert reader.take() == [2, 3]


def test_without_replay_what_left_the_ring_is_a_gap() -> None:
    """The gap counts what the ring has dropped."""
    hub = make_hub(replay=False, ring_size=1)
    hub.apply(batch(1, 5))
    reader = Reader(hub, at(1))
    hub.step(reader.subscription)
    assert reader.take() == [Gap(GapReason.TRIMMED, at(4), 3), 5]


def test_without_replay_a_position_beyond_the_head_is_a_gap() -> None:
    """There is nobody to ask whether it exists."""
    hub = make_hub(2, replay=False)
    reader = Reader(hub, at(9))
    hub.step(reader.subscription)
    assert reader.take() == [Gap(GapReason.AHEAD, at(2))]


def test_without_replay_a_broken_tail_is_a_gap_for_everyone() -> None:
    """Nobody can know what was missed, so nobody is told that nothing was."""
    hub = make_hub(2, replay=False)
    reader = Reader(hub)
    hub.lose()
    assert hub.step(reader.subscription) is Ask.READY
    (gap,) = reader.take()
    assert isinstance(gap, Gap)
    assert gap.reason is GapReason.EPOCH
