"""What may go in, what a connection hands out, and as what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_kit import Gap, GapReason, Position, SSEMessage, StreamDecoder
from sse_kit.codec import encode
from sse_kit.errors import InvalidTopic
from sse_kit.outgoing import Outbox, Outgoing, Sent, as_frame, as_message, topics_of
from sse_kit.subscription import Entry
from sse_kit.testing.strategies import messages, positions

POSITION = Position("epoch", 7)


def sent(size: int) -> Sent:
    return Sent(SSEMessage(""), b"x" * size)


def entry(message: SSEMessage, position: Position = POSITION) -> Entry:
    return Entry(position, ("news",), f"id: {position}\n".encode() + encode(message), message)


@given(message=messages().filter(lambda message: message.id is None), position=positions())
def test_a_record_is_the_same_message_on_the_wire_and_in_an_iteration(
    message: SSEMessage, position: Position
) -> None:
    """With its position as id, and its data as every stream has it."""
    record = entry(message, position)
    [block] = StreamDecoder().feed(as_frame(record))
    [given_] = StreamDecoder().feed(encode(as_message(record)))
    assert block == given_
    assert block.id == str(position)


@given(message=messages())
def test_what_was_sent_to_one_comes_out_as_it_went_in(message: SSEMessage) -> None:
    """As a frame, and as a message."""
    item = Sent(message, encode(message))
    assert as_frame(item) == encode(message)
    assert as_message(item) is message


def test_a_gap_is_an_event_with_the_id_where_it_goes_on() -> None:
    """The same on the wire and in an iteration."""
    gap = Gap(GapReason.TRIMMED, POSITION, 3)
    message = as_message(gap)
    assert as_frame(gap) == encode(message)
    assert message == SSEMessage('{"reason": "trimmed", "missed": 3}', event="gap", id="epoch.7")


def test_a_checkpoint_is_an_id_alone() -> None:
    """It is no message, so an iteration that were handed one would be wrong."""
    assert as_frame(POSITION) == b"id: epoch.7\n\n"
    with pytest.raises(AssertionError):
        as_message(POSITION)


def test_a_malformed_record_is_no_message() -> None:
    """It has no topics, so it is handed to nobody."""
    malformed: Outgoing = Entry(POSITION, (), b"", None)
    with pytest.raises(AssertionError):
        as_message(malformed)


@pytest.mark.parametrize(
    ("given_", "topics"),
    [("news", ("news",)), (["b", "a", "b"], ("b", "a")), (iter("ab"), ("a", "b"))],
    ids=["one", "several", "an iterator"],
)
def test_topics_are_each_taken_once(given_: object, topics: tuple[str, ...]) -> None:
    """In their order; one may be given by itself."""
    assert topics_of(given_) == topics


@pytest.mark.parametrize("given_", [(), [], "", b"news", None, 7, ["news", ""], ["a\nb"]], ids=repr)
def test_what_is_no_topic_is_refused(given_: object) -> None:
    """And so is none at all."""
    with pytest.raises(InvalidTopic):
        topics_of(given_)


@given(
    sizes=st.lists(st.integers(0, 30)),
    max_items=st.integers(1, 5),
    max_bytes=st.integers(1, 50),
)
def test_an_outbox_is_bounded_by_both_its_limits(
    sizes: list[int], max_items: int, max_bytes: int
) -> None:
    """One message always fits; taking empties it, in order."""
    outbox = Outbox(max_items=max_items, max_bytes=max_bytes)
    inside: list[Sent] = []
    for item in map(sent, sizes):
        if not outbox.has_room(item):
            assert inside
            total = sum(len(each.frame) for each in [*inside, item])
            assert len(inside) == max_items or total > max_bytes
            assert outbox.take() == inside
            inside = []
        outbox.put(item)
        inside.append(item)
        assert len(outbox) == len(inside) <= max_items
        assert len(inside) == 1 or sum(len(each.frame) for each in inside) <= max_bytes
    assert outbox.take() == inside
    assert outbox.take() == []
