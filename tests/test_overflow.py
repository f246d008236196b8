"""What streams drop for clients that read too slowly, and how they are told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_kit import (
    CatchUp,
    CloseReason,
    ConnectionRegistry,
    Disconnect,
    DropOldest,
    Gap,
    GapReason,
    NewestOnly,
    Position,
    SSEMessage,
)
from sse_kit.codec import dump_payload
from sse_kit.errors import InvalidMessage, InvalidSetting
from sse_kit.hub import Hub
from sse_kit.overflow import LossySubscription, policies_of
from sse_kit.subscription import Ask
from sse_kit.transports.base import Batch, Record
from tests.registry_tools import happens, probe, request, seen

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from sse_kit.config import Overflow
    from sse_kit.subscription import Item

START = Position("e", 0)


def symbol(message: SSEMessage) -> object:
    """Return the first word of a message."""
    return (message.data or "").split()[0]


class Stream:
    """A hub with one subscription, and what a test does with them."""

    def __init__(
        self,
        overflow: Overflow | Mapping[str, Overflow],
        *,
        max_items: int = 3,
        max_bytes: int = 100_000,
    ) -> None:
        self.hub = Hub(START, replay=False, ring_size=1_000, ring_bytes=1_000_000)
        self.ends: list[tuple[CloseReason, str | None]] = []
        policies = policies_of(overflow)
        assert policies is not None
        self.subscription = LossySubscription(
            {"t"},
            START,
            wake=lambda: None,
            max_items=max_items,
            max_bytes=max_bytes,
            policies=policies,
            end=self.end,
        )
        self.hub.add(self.subscription)
        self.published = 0

    def end(self, reason: CloseReason, *, error: str | None = None) -> None:
        self.ends.append((reason, error))
        self.hub.discard(self.subscription)

    def publish(self, *texts: str, event: str | None = None, topics: tuple[str, ...] = ()) -> None:
        """Let one batch come."""
        records: list[Record] = []
        for text in texts:
            self.published += 1
            position = Position("e", self.published)
            payload = dump_payload(SSEMessage(text, event=event))
            records.append(Record(position, ("t", *topics), payload))
        self.hub.apply(Batch(tuple(records)))

    def take(self) -> list[Item]:
        """Take what there is, as a writer does."""
        taken: list[Item] = []
        while self.hub.step(self.subscription) is Ask.READY:
            taken += self.subscription.take()
        return taken

    def shown(self) -> list[object]:
        """Take what there is: data of messages, and the count of each gap."""
        return [
            each.missed if isinstance(each, Gap) else each.message and each.message.data
            for each in self.take()
        ]


# One policy for all ------------------------------------------------------------------------------


def test_the_oldest_are_dropped_and_counted_first() -> None:
    """The client is told how many before it gets what has remained."""
    stream = Stream(DropOldest())
    stream.publish("1", "2", "3", "4", "5")
    assert stream.shown() == [2, "3", "4", "5"]


def test_a_burst_of_losses_is_told_once_and_the_next_one_anew() -> None:
    """One gap for all that was lost since the client last read."""
    stream = Stream(DropOldest(), max_items=1)
    stream.publish("1", "2")
    stream.publish("3")
    assert stream.shown() == [2, "3"]
    stream.publish("4", "5")
    assert stream.shown() == [1, "5"]


def test_who_keeps_up_is_told_nothing() -> None:
    """A policy is for a full queue."""
    stream = Stream(DropOldest())
    for number in range(20):
        stream.publish(str(number))
        assert stream.shown() == [str(number)]
    assert stream.subscription.dropped == 0


def test_the_gap_of_what_was_dropped_has_no_resume_of_its_own() -> None:
    """It stands where the last dropped message was."""
    stream = Stream(DropOldest(), max_items=1)
    stream.publish("1", "2", "3")
    gap = stream.take()[0]
    assert gap == Gap(GapReason.DROPPED, Position("e", 2), 2)


def test_bytes_count_as_items_do() -> None:
    """Frames are counted, not the data alone."""
    stream = Stream(DropOldest(), max_items=100, max_bytes=250)
    stream.publish("a" * 100, "b" * 100, "c" * 100)
    assert stream.shown() == [1, "b" * 100, "c" * 100]


def test_one_larger_than_the_queue_displaces_all_others() -> None:
    """An empty queue takes a record of any size."""
    stream = Stream(DropOldest(), max_items=100, max_bytes=250)
    stream.publish("a", "b", "c" * 1_000)
    assert stream.shown() == [2, "c" * 1_000]


def test_the_newest_of_each_key_wins() -> None:
    """It takes its own place in the order, not that of the one before."""
    stream = Stream(NewestOnly(key=symbol))
    stream.publish("x 1", "y 1", "x 2", "x 3", "z 1")
    assert stream.shown() == [2, "y 1", "x 3", "z 1"]


def test_without_a_key_the_newest_of_each_set_of_topics_wins() -> None:
    """The topics are those of the message, not of the connection."""
    stream = Stream(NewestOnly())
    stream.publish("1", "2")
    stream.publish("3", topics=("u",))
    assert stream.shown() == [1, "2", "3"]


def test_the_same_key_of_another_event_is_another_one() -> None:
    """Event names divide the keys."""
    stream = Stream(NewestOnly(key=symbol))
    stream.publish("x 1", event="price")
    stream.publish("x 2", event="size")
    assert stream.shown() == ["x 1", "x 2"]


def test_more_keys_than_there_is_room_for_drop_the_oldest() -> None:
    """Keys do not make a queue larger."""
    stream = Stream(NewestOnly(key=symbol), max_items=2)
    stream.publish("x 1", "y 1", "z 1")
    assert stream.shown() == [1, "y 1", "z 1"]


def test_a_key_that_was_taken_is_not_replaced() -> None:
    """What the client has is no loss."""
    stream = Stream(NewestOnly(key=symbol))
    stream.publish("x 1")
    assert stream.shown() == ["x 1"]
    stream.publish("x 2")
    assert stream.shown() == ["x 2"]


def test_a_full_queue_ends_the_stream() -> None:
    """With a reason of its own."""
    stream = Stream(Disconnect())
    stream.publish("1", "2", "3")
    assert stream.ends == []
    stream.publish("4")
    assert stream.ends == [(CloseReason.OVERFLOW, None)]


def test_what_waited_at_the_end_is_still_taken_and_nothing_was_dropped() -> None:
    """So the client's last id is the last one before the end."""
    stream = Stream(Disconnect())
    stream.publish("1", "2", "3", "4")
    assert [each.position.offset for each in stream.subscription.take()] == [1, 2, 3]  # type: ignore[union-attr]
    assert stream.subscription.dropped == 0


@pytest.mark.parametrize("key", [lambda _: 1 / 0, lambda _: []])
def test_a_key_that_fails_ends_the_stream_with_its_error(
    key: Callable[[SSEMessage], Hashable],
) -> None:
    """Raised by the function, or a key that cannot be one."""
    stream = Stream(NewestOnly(key=key))
    stream.publish("1")
    ((reason, error),) = stream.ends
    assert reason is CloseReason.ERROR
    assert "Error" in str(error)


# By event ----------------------------------------------------------------------------------------


def test_an_event_without_a_policy_of_its_own_is_never_dropped() -> None:
    """Promise 1 holds for the others of the same stream."""
    stream = Stream({"price": DropOldest()})
    stream.publish("1", "2", "3")
    stream.publish("4", "5", event="price")
    stream.publish("6")
    assert stream.shown() == [2, "1", "2", "3", "6"]


def test_what_may_be_dropped_makes_room_for_what_may_not() -> None:
    """The oldest of it goes."""
    stream = Stream({"price": DropOldest()})
    stream.publish("1", "2", "3", event="price")
    stream.publish("4")
    assert stream.shown() == [1, "2", "3", "4"]


def test_where_only_others_wait_the_new_one_is_dropped() -> None:
    """It is the oldest that may be."""
    stream = Stream({"price": DropOldest()})
    stream.publish("1", "2", "3")
    stream.publish("4", event="price")
    assert stream.shown() == [1, "1", "2", "3"]


def test_message_names_those_without_a_name() -> None:
    """As it does in a browser."""
    stream = Stream({"message": DropOldest(), "trade": CatchUp()}, max_items=1)
    stream.publish("1", "2")
    assert stream.shown() == [1, "2"]


def test_a_full_queue_of_what_may_not_be_dropped_catches_up_from_the_ring() -> None:
    """As without any policy."""
    stream = Stream({"price": NewestOnly()}, max_items=2)
    stream.publish("1", "2", "3", "4", "5")
    assert stream.shown() == ["1", "2", "3", "4", "5"]


def test_who_catches_up_gets_the_newest_of_each_key_too() -> None:
    """The queue is filled from the ring by the same rules."""
    stream = Stream({"price": NewestOnly()}, max_items=3)
    stream.publish("1", "2", "3", "4")  # the fourth is in the ring alone
    stream.publish("5", "6", event="price")
    assert stream.shown() == ["1", "2", "3", 1, "4", "6"]


# At random ---------------------------------------------------------------------------------------

EVENTS = ("lossless", "oldest", "newest")
BY_EVENT: dict[str, Overflow] = {"oldest": DropOldest(), "newest": NewestOnly(key=symbol)}
published = st.tuples(
    st.sampled_from(EVENTS), st.sampled_from("xyz"), st.sampled_from([0, 10, 200])
)
steps = st.lists(st.one_of(published, st.just("take")), max_size=60)


@given(steps=steps, max_items=st.integers(1, 5), max_bytes=st.sampled_from([1, 150, 500, 10_000]))
def test_each_message_is_taken_once_in_order_or_counted(
    steps: list[Any], max_items: int, max_bytes: int
) -> None:
    """And what has no policy is always taken; the queue keeps to its bounds."""
    stream = Stream(BY_EVENT, max_items=max_items, max_bytes=max_bytes)
    sent: dict[int, str] = {}
    taken: list[Item] = []
    for step in steps:
        if step == "take":
            taken += stream.take()
        else:
            event, key, size = step
            stream.publish(f"{key} {'.' * size}", event=event)
            sent[stream.published] = event
        queue = stream.subscription.queue
        assert len(queue) <= max_items
        assert stream.subscription.queued_bytes <= max_bytes or len(queue) == 1
    taken += stream.take()
    offsets = [each.position.offset for each in taken if not isinstance(each, Gap)]
    told = sum(each.missed or 0 for each in taken if isinstance(each, Gap))
    assert offsets == sorted(set(offsets))
    assert len(offsets) + told == len(sent)
    assert told == stream.subscription.dropped
    assert {each for each, event in sent.items() if event == "lossless"} <= set(offsets)


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.booleans()), max_size=40))
def test_the_last_value_of_each_key_is_always_taken(changes: list[tuple[str, bool]]) -> None:
    """However often the client reads in between."""
    stream = Stream(NewestOnly(key=symbol), max_items=3)
    last: dict[str, str] = {}
    shown: dict[str, str] = {}
    for number, (key, takes) in enumerate([*changes, ("x", True)]):
        last[key] = f"{key} {number}"
        stream.publish(last[key])
        if takes:
            shown |= {str(each)[0]: str(each) for each in stream.shown() if isinstance(each, str)}
    assert shown == last


# Bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("overflow", ["drop", None, DropOldest, {"price": "newest"}])
def test_what_is_no_policy_is_refused_with_those_that_are(overflow: object) -> None:
    """The sentence names all four."""
    with pytest.raises(InvalidSetting, match=r"NewestOnly\(\)"):
        policies_of(overflow)


@pytest.mark.parametrize("event", ["", "two\nlines", 1])
def test_a_policy_for_what_is_no_event_is_refused(event: object) -> None:
    """By the rules for the names of events."""
    with pytest.raises(InvalidMessage, match="event"):
        policies_of({event: DropOldest()})


@pytest.mark.anyio
async def test_a_route_with_a_bad_policy_fails_before_anything_is_sent() -> None:
    """In ``stream()`` itself."""
    async with ConnectionRegistry() as registry:
        with pytest.raises(InvalidSetting):
            registry.stream(request(), ["news"], overflow="drop")  # type: ignore[arg-type]


# Over ASGI ---------------------------------------------------------------------------------------


async def fill(registry: ConnectionRegistry, count: int) -> None:
    """Publish that many, one in a turn of the event loop."""
    for number in range(count):
        position = await registry.publish("news", str(number))
        await seen(registry, position)


@pytest.mark.anyio
async def test_a_slow_client_is_told_in_band_what_it_missed() -> None:
    """And stays where it is: the gap has no id."""
    async with (
        ConnectionRegistry(queue_size=5) as registry,
        probe(registry, overflow=DropOldest()).get("/") as stream,
    ):
        await fill(registry, 1)
        before = await stream.next_event()
        stream.stall()
        await fill(registry, 50)
        stream.resume()
        events = [await stream.next_event() for _ in range(7)]
        (gap,) = [each for each in events if each.event == "gap"]
        values = [each.data for each in events if each.event is None]
        assert before.data == "0"
        assert gap.id is None
        reason = json.loads(gap.data or "")
        (connection,) = registry.get_connections()
        assert reason == {"reason": "dropped", "missed": connection.info().dropped}
        assert values[-5:] == ["45", "46", "47", "48", "49"]
        assert registry.get_stats()["dropped"] == reason["missed"]


@pytest.mark.anyio
async def test_a_slow_client_of_a_stream_that_disconnects_is_gone_at_once() -> None:
    """It is not waited for, and comes back with its last id."""
    async with (
        ConnectionRegistry(queue_size=5) as registry,
        probe(registry, overflow=Disconnect()).get("/") as stream,
    ):
        (connection,) = registry.get_connections()
        stream.stall()
        await fill(registry, 50)
        await happens(lambda: not connection.is_active())
        assert connection.close_reason is CloseReason.OVERFLOW


@pytest.mark.anyio
async def test_a_connection_without_http_has_policies_too() -> None:
    """Its iterator gets the gap as a message."""
    async with ConnectionRegistry() as registry:
        connection = await registry.add_connection(
            queue_size=2, topics=["news"], overflow=NewestOnly()
        )
        await fill(registry, 10)
        with anyio.fail_after(10):
            gap, newest = await anext(connection), await anext(connection)
        assert json.loads(gap.data or "") == {"reason": "dropped", "missed": 9}
        assert newest.data == "9"
