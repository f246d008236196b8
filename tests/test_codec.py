"""The wire: tables of blocks, run both ways and in several chunkings, and the standard itself."""

from __future__ import annotations

import doctest
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sse_kit import codec
from sse_kit.codec import StreamDecoder, encode
from sse_kit.messages import ReceivedMessage, SSEMessage
from sse_kit.testing.strategies import chunkings, messages
from tests.wire_tables import (
    BLOCKS,
    CASES,
    STREAMS,
    Case,
    block,
    byte_by_byte,
    decode,
    whole,
    with_empty_chunks,
    with_trailing_data,
)

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNKINGS = pytest.mark.parametrize(
    "cut", [whole, byte_by_byte, with_trailing_data, with_empty_chunks]
)


@CHUNKINGS
@pytest.mark.parametrize("example", CASES, ids=[each.rule for each in CASES])
def test_a_stream_is_read_by_the_rules(example: Case, cut: Callable[[bytes], list[bytes]]) -> None:
    """Rules D1 to D10: the same blocks, ids and times however the stream arrives."""
    decoder = StreamDecoder()
    assert decode(cut(example.stream), decoder) == example.blocks
    assert decoder.last_event_id == example.last_event_id
    assert decoder.retry == example.retry


@pytest.mark.parametrize("example", CASES, ids=[each.rule for each in CASES])
def test_a_stream_may_be_cut_in_two_anywhere(example: Case) -> None:
    """Rule D11."""
    stream = example.stream
    for place in range(0, len(stream) + 1, 1 + len(stream) // 200):
        assert decode([stream[:place], stream[place:]]) == example.blocks


@pytest.mark.parametrize(
    ("stream", "place"),
    [
        (b"data: x\n\n", 8),
        (b"data: x\r\r", 8),
        (b"data: x\r\n\r\n", 9),
        (b"data: x\n\r\n", 8),
        (b"data: x\r\n\n", 9),
        (b": x\r\r\n", 4),
        (b"id: 1\r\r", 6),
    ],
)
def test_a_block_comes_with_the_byte_that_completes_it(stream: bytes, place: int) -> None:
    """Rule D4: a CR ends the line at once, whatever may follow."""
    decoder = StreamDecoder()
    given_out = [len(decoder.feed(octet)) for octet in byte_by_byte(stream)]
    assert given_out.index(1) == place
    assert sum(given_out) == 1


def test_the_time_to_reconnect_counts_as_soon_as_its_line_ends() -> None:
    """Section 9.2.6 sets it with the field; only the id waits for the empty line."""
    decoder = StreamDecoder()
    decoder.feed(b"retry: 5\nid: 1\n")
    assert (decoder.retry, decoder.last_event_id) == (5, "")


def test_a_decoder_goes_on_with_the_id_of_an_earlier_stream() -> None:
    """Browsers keep it over a reconnect: blocks without an id don't reset it."""
    decoder = StreamDecoder(last_event_id="7")
    assert decoder.last_event_id == "7"
    assert decode([b"retry: 1\n\n", b"data: x\n\n"], decoder) == (
        block(retry=1, last="7"),
        block("x", last="7"),
    )


def test_an_empty_id_resets_the_id_of_an_earlier_stream() -> None:
    """Rule D9: the next request brings no Last-Event-ID."""
    decoder = StreamDecoder(last_event_id="7")
    decoder.feed(b"id\n\n")
    assert decoder.last_event_id == ""


# --- against the standard, written a second time --------------------------------------------------


def by_the_standard(stream: bytes) -> tuple[list[tuple[str, str, str]], str]:
    """Interpret ``stream`` as section 9.2.6 does, sentence by sentence: events and last id."""
    text = stream.decode("utf-8-sig", "replace")
    *lines, _unfinished = re.split("\r\n|\r|\n", text)
    events: list[tuple[str, str, str]] = []
    data = kind = id_buffer = last_id = ""
    for line in lines:
        field, colon, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if line == "":
            last_id = id_buffer
            if data != "":
                events.append((kind or "message", data[:-1], last_id))
            data = kind = ""
        elif colon == ":" and field == "":
            pass
        elif field == "event":
            kind = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            id_buffer = value
    return events, last_id


@given(STREAMS)
@example(b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n")
def test_any_stream_is_read_as_the_standard_says(stream: bytes) -> None:
    """Compared with the standard's algorithm, written down again without any chunking."""
    decoder = StreamDecoder()
    found = decode([stream], decoder)
    events = [(each.type, each.data, each.last_event_id) for each in found if each.data is not None]
    assert (events, decoder.last_event_id) == by_the_standard(stream)


@given(STREAMS.flatmap(lambda stream: st.tuples(st.just(stream), chunkings(stream))))
def test_any_stream_may_come_in_any_chunks(drawn: tuple[bytes, list[bytes]]) -> None:
    """Rule D11: the blocks and what the decoder holds are the same."""
    stream, chunks = drawn
    once, parts = StreamDecoder(), StreamDecoder()
    assert decode([stream], once) == decode(chunks, parts)
    assert (once.last_event_id, once.retry) == (parts.last_event_id, parts.retry)


# --- encoding -------------------------------------------------------------------------------------


def as_received(message: SSEMessage) -> ReceivedMessage:
    return block(**message.model_dump())


@pytest.mark.parametrize(("message", "octets"), BLOCKS.values(), ids=BLOCKS)
def test_a_message_has_one_form_on_the_wire(message: SSEMessage, octets: bytes) -> None:
    """Rules E1 to E7, forwards."""
    assert encode(message) == octets


@CHUNKINGS
@pytest.mark.parametrize(("message", "octets"), BLOCKS.values(), ids=BLOCKS)
def test_the_form_on_the_wire_gives_back_the_message(
    message: SSEMessage, octets: bytes, cut: Callable[[bytes], list[bytes]]
) -> None:
    """Rules E1 to E7, backwards."""
    assert decode(cut(octets)) == (as_received(message),)


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_every_line_end_of_data_and_comments_arrives_as_lf(end: str) -> None:
    """The format knows lines, not what ended them."""
    message = SSEMessage(f"a{end}{end}b{end}", comment=f"c{end}d")
    assert encode(message) == b": c\n: d\ndata: a\ndata: \ndata: b\ndata: \n\n"


def with_lf(text: str | None) -> str | None:
    return None if text is None else text.replace("\r\n", "\n").replace("\r", "\n")


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    """All of Unicode but lone surrogates; CR and CRLF become LF."""
    (found,) = decode([encode(SSEMessage(text))])
    assert found == block(with_lf(text))


@given(st.lists(messages(), min_size=1, max_size=5), st.data())
def test_any_messages_come_back_in_any_chunks(sent: list[SSEMessage], data: st.DataObject) -> None:
    """The round trip of all five fields."""
    stream = b"".join(map(encode, sent))
    found = decode(data.draw(chunkings(stream)))
    assert [each.to_message() for each in found] == [
        each.model_copy(update={"data": with_lf(each.data), "comment": with_lf(each.comment)})
        for each in sent
    ]


@given(messages())
def test_nothing_in_a_message_changes_the_framing(message: SSEMessage) -> None:
    """Promise 2: one block, its lines are the given fields, ended by LF and one empty line."""
    *lines, last, rest = encode(message).split(b"\n")
    assert (last, rest) == (b"", b"")
    names = {line.split(b": ")[0] for line in lines}
    assert names == {
        b"" if name == "comment" else name.encode() for name, value in message if value is not None
    }
    assert all(b": " in line and b"\r" not in line for line in lines)


def test_the_examples_of_the_docstrings_are_true() -> None:
    """They run."""
    result = doctest.testmod(codec)
    assert result.attempted >= 2
    assert result.failed == 0
