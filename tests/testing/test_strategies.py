"""What the strategies promise of what they draw."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sse_kit.codec import LINE_END, StreamDecoder, encode
from sse_kit.messages import SSEMessage, check_topic
from sse_kit.testing.strategies import (
    chunkings,
    event_ids,
    event_names,
    hostile_text,
    keys,
    messages,
    payloads,
    positions,
    publications,
    topics,
)
from sse_kit.transports.base import Position, Publication


def lines(text: str | None) -> str | None:
    return None if text is None else "\n".join(LINE_END.split(text))


@given(messages())
def test_messages_survive_the_wire(message: SSEMessage) -> None:
    """Whatever is drawn is a message that a decoder gives back, line ends apart."""
    (block,) = StreamDecoder().feed(encode(message))
    assert (block.data, block.comment) == (lines(message.data), lines(message.comment))
    assert (block.event, block.id, block.retry) == (message.event, message.id, message.retry)


@given(event_names())
def test_an_event_name_is_kept(name: str) -> None:
    """None is folded into the unnamed event."""
    assert SSEMessage("", event=name).event == name


@given(event_ids())
def test_an_event_id_is_kept(event_id: str) -> None:
    """Each is one that an event may have."""
    assert SSEMessage(id=event_id).id == event_id


@given(hostile_text())
def test_hostile_text_has_a_utf8_form(text: str) -> None:
    """It may be data of a message, or a name that is refused; never a lone surrogate."""
    assert text.encode().decode() == text


@given(topics(), keys(), payloads(max_size=9))
def test_topics_and_keys_make_a_publication(
    names: tuple[str, ...], key: str, payload: bytes
) -> None:
    """What is drawn for a publication is not refused."""
    assert [check_topic(name) for name in names] == list(names)
    assert Publication(names, payload, key).key == key


@given(publications())
def test_a_publication_has_no_key(publication: Publication) -> None:
    """Two equal ones are two records."""
    assert publication.key is None
    assert publication.topics


@given(positions())
def test_a_position_is_its_text(position: Position) -> None:
    """Each can be printed and parsed."""
    assert Position.parse(str(position)) == position


@given(st.data(), st.binary(max_size=40))
def test_chunks_make_the_whole(data: st.DataObject, whole: bytes) -> None:
    """However it is cut, nothing is lost, added or moved."""
    assert b"".join(data.draw(chunkings(whole))) == whole
