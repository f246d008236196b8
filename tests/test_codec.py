"""The wire: tables of blocks, run both ways and in several chunkings, and what hostile bytes do."""

from __future__ import annotations

import doctest
import json
import re
from collections import deque
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, Protocol, SupportsIndex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sse_kit import codec
from sse_kit.codec import StreamDecoder, dump_payload, encode, load_payload
from sse_kit.errors import EventTooLong, LineTooLong, MalformedPayload, ProtocolError
from sse_kit.messages import MAX_RETRY, ReceivedMessage, SSEMessage
from sse_kit.testing.strategies import chunkings, hostile_text, messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Buffer

BOM = "\ufeff"


@dataclass(frozen=True)
class Case:
    """A stream, and what a decoder makes of it; ``rule`` is its number in the checklist."""

    rule: str
    stream: bytes
    blocks: tuple[ReceivedMessage, ...]
    last_event_id: str = ""
    retry: int | None = None


def block(
    data: str | None = None,
    *,
    event: str | None = None,
    id: str | None = None,  # noqa: A002  the standard's own name
    retry: int | None = None,
    comment: str | None = None,
    last: str | None = None,
) -> ReceivedMessage:
    """Expect a block; its sticky id is ``last``, or its own."""
    return ReceivedMessage(data, event, id, retry, comment, last or id or "")


def case(
    rule: str, stream: str | bytes, *blocks: ReceivedMessage | str, last: str | None = None
) -> Case:
    """Expect ``blocks`` of ``stream``, a text being a block with that data; ``last`` at its end."""
    found = tuple(block(each) if isinstance(each, str) else each for each in blocks)
    ids = ["", *(each.last_event_id for each in found)]
    times = [None, *(each.retry for each in found if each.retry is not None)]
    octets = stream.encode() if isinstance(stream, str) else stream
    return Case(rule, octets, found, ids[-1] if last is None else last, times[-1])


HUGE = "9" * 5_000
FALSE_ENDS = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\x1dh\x1ei"

CASES = (
    case("D1: UTF-8", "data: é€😀\n\n", "é€😀"),
    case("D1: invalid bytes", b"data: a\xffb\n\n", "a\ufffdb"),
    case("D1: a sequence cut by the line's end", b"data: \xe2\x82\ndata: \xac\n\n", "\ufffd\n\ufffd"),
    case("D1: a surrogate's bytes", b"data: \xed\xa0\x80\n\n", "\ufffd\ufffd\ufffd"),
    case("D1: invalid bytes in a name", b"dat\xffa: x\n\n"),
    case("D1: invalid bytes in an id", b"id: \xff\n\n", block(id="\ufffd")),
    case("D1: invalid bytes in an event name", b"event: \xff\ndata\n\n", block("", event="\ufffd")),
    case("D2: a BOM", f"{BOM}data: x\n\n", "x"),
    case("D2: a BOM before an empty line", f"{BOM}\ndata: x\n\n", "x"),
    case("D2: a BOM before a comment", f"{BOM}: x\n\n", block(comment="x")),
    case("D2: a BOM and nothing else", BOM),
    case("D2: two BOMs", f"{BOM}{BOM}data: x\ndata: y\n\n", "y"),
    case("D2: a later BOM", f"data: x\n{BOM}data: y\n\n", "x"),
    case("D2: a BOM after the first block", f"data: x\n\n{BOM}data: y\n\n", "x"),
    case("D2: a BOM after an empty line", f"\n{BOM}data: x\n\n"),
    case("D2: a BOM in a value", f"data: {BOM}x\n\n", f"{BOM}x"),
    case("D2: half a BOM", b"\xef\xbb\ndata: x\n\n", "x"),
    case("D3: LF", "data: a\ndata: b\n\n", "a\nb"),
    case("D3: CR", "data: a\rdata: b\r\r", "a\nb"),
    case("D3: CRLF", "data: a\r\ndata: b\r\n\r\n", "a\nb"),
    case("D3: a mixture", "data: a\r\ndata: b\rdata: c\n\r", "a\nb\nc"),
    case("D3: nothing else", f"data: {FALSE_ENDS}\n\n", FALSE_ENDS),
    case("D3: NUL is no end", "data: a\0b\n\n", "a\0b"),
    case("D4: CR CR ends a block", "data: x\r\r", "x"),
    case("D4: CR LF CR ends a block", "data: x\r\n\r", "x"),
    case("D4: CRLF is one end", "data: a\r\ndata: b\n\n", "a\nb"),
    case("D4: LF CR is two ends", "data: a\n\rdata: b\n\r", "a", "b"),
    case("D4: only one LF belongs to a CR", "data: a\r\n\ndata: b\r\n\n", "a", "b"),
    case("D5: one space is removed", "data: x\n\n", "x"),
    case("D5: none", "data:x\n\n", "x"),
    case("D5: only one", "data:  x \n\n", " x "),
    case("D5: no tab", "data:\tx\n\n", "\tx"),
    case("D5: no tab after a space", "data: \tx\n\n", "\tx"),
    case("D5: no other space", "data:\u00a0x\n\n", "\u00a0x"),
    case("D5: a line without a colon is a name", "data\ndata\n\n", "\n"),
    case("D5: the first colon separates", "data: a: b:\n\n", "a: b:"),
    case("D5: a colon in the value", "data::\n\n", ":"),
    case("D5: a comment", ": x\n\n", block(comment="x")),
    case("D5: comments", ":\n:a\n:  b\n\n", block(comment="\na\n b")),
    case("D5: a comment between data", "data: a\n:c\ndata: b\n\n", block("a\nb", comment="c")),
    case("D5: empty lines", "\n\r\n\r\n\r\r"),
    case("D6: names are exact", "Data: a\n data: b\ndata : c\ndatas: d\ndat: e\n\n"),
    case("D6: NUL in a name", "data\0: x\n\n"),
    case("D6: an unknown name", "foo: x\ndata: y\n\n", "y"),
    case("D6: an unknown name without a colon", "foo\ndata: y\n\n", "y"),
    case("D7: data is appended", "data: a\ndata:\ndata: b\n\n", "a\n\nb"),
    case("D7: the last event wins", "event: a\nevent: b\ndata: x\n\n", block("x", event="b")),
    case("D7: an empty event clears", "event: a\nevent\ndata: x\n\n", "x"),
    case("D7: the last id wins", "id: 1\nid: 2\ndata: x\n\n", block("x", id="2")),
    case("D7: an id with NUL is ignored", "id: 1\nid: a\0b\ndata: x\n\n", block("x", id="1")),
    case("D7: an id that is NUL", "id: \0\n\n"),
    case("D7: retry", "retry: 3000\n\n", block(retry=3_000)),
    case("D7: leading zeros", "retry: 03000\n\n", block(retry=3_000)),
    case("D7: retry of nothing but zeros", "retry: 000\n\n", block(retry=0)),
    case("D7: many zeros", f"retry: {'0' * 5_000}7\n\n", block(retry=7)),
    case("D7: the longest retry", f"retry: {MAX_RETRY}\n\n", block(retry=MAX_RETRY)),
    case("D7: a retry that is too long", f"retry: {MAX_RETRY + 1}\nretry: {HUGE}\n\n"),
    case("D7: the last good retry wins", "retry: 1\nretry: 2\nretry: x\n\n", block(retry=2)),
    *(
        case(f"D7: retry {value!a} is ignored", f"retry:{value}\n\n")
        for value in (
            *("", " ", "  5", " 5 ", "-1", "+1", "1e3", "1.0", "1_0", "0x1", "٣", "²", "5\0", "a"),
        )
    ),
    case("D8: empty data is an event", "data:\n\n", ""),
    case("D8: so is data without a colon", "data\n\n", ""),
    case("D8: an event without data is none", "event: x\n\ndata: y\n\n", "y"),
    case("D8: an id without data counts", "id: 1\n\ndata: x\n\n", block(id="1"), block("x", last="1")),
    case("D8: the id stays", "id: 1\ndata: x\n\ndata: y\n\n", block("x", id="1"), block("y", last="1")),
    case("D8: the type does not", "event: a\ndata: x\n\ndata: y\n\n", block("x", event="a"), "y"),
    case("D8: nor does a comment", ": c\ndata: x\n\ndata: y\n\n", block("x", comment="c"), "y"),
    case("D8: nor does a retry", "retry: 1\ndata: x\n\ndata: y\n\n", block("x", retry=1), "y"),
    case("D8: only one LF is removed", "data\ndata\ndata\n\n", "\n\n"),
    case(
        "D8: an event name without data, with an id",
        "event: a\nid: 1\n\ndata: x\n\n",
        block(event="a", id="1"),
        block("x", last="1"),
    ),
    case("D9: an empty id resets", "id: 1\ndata: x\n\nid\ndata: y\n\n", block("x", id="1"), block("y", id="")),
    case("D9: an id of one space too", "id: 1\n\nid: \n\n", block(id="1"), block(id="")),
    case("D10: no empty line", "data: x\n"),
    case("D10: no end of the line", "data: x"),
    case("D10: an id without an empty line", "id: 1\ndata: x\n\nid: 2\ndata: y\n", block("x", id="1")),
    case("D10: nothing", ""),
    case("D13: names that EventSource uses", "event: error\ndata: x\n\n", block("x", event="error")),
)  # fmt: skip


def whole(stream: bytes) -> list[bytes]:
    return [stream]


def byte_by_byte(stream: bytes) -> list[bytes]:
    return [stream[place : place + 1] for place in range(len(stream))]


def with_trailing_data(stream: bytes) -> list[bytes]:
    """Put more behind it, that is not complete and so must change nothing."""
    return [stream + b"id: trailing\ndata: trailing"]


def with_empty_chunks(stream: bytes) -> list[bytes]:
    return [part for octet in byte_by_byte(stream) for part in (b"", octet, b"")]


CHUNKINGS = pytest.mark.parametrize(
    "cut", [whole, byte_by_byte, with_trailing_data, with_empty_chunks]
)


def decode(
    chunks: Iterable[bytes], decoder: StreamDecoder | None = None
) -> tuple[ReceivedMessage, ...]:
    decoder = decoder or StreamDecoder()
    return tuple(found for chunk in chunks for found in decoder.feed(chunk))


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
    """Interpret ``stream`` sentence by sentence as section 9.2.6 does; return events and last id."""
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


FIELDS = ("data", "event", "id", "retry", "", "foo", "Data", "\ufeff", "data ")
LINES = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(FIELDS),
    st.sampled_from((":", ": ", "", ":  ", ":\t", " :")),
    st.sampled_from(("", "x", "7", "\0", "\ufeff", "é😀", " ")) | hostile_text(),
    st.sampled_from(("\n", "\r", "\r\n", "\n\n", "\r\r", "\r\n\r\n", "")),
)
TEXTS = st.lists(LINES, max_size=12).map("".join).map(str.encode)
STREAMS = (
    TEXTS | st.binary(max_size=60) | st.tuples(TEXTS, st.binary(max_size=3), TEXTS).map(b"".join)
)


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


# --- limits ---------------------------------------------------------------------------------------

TEN = b"data: 6789"


@CHUNKINGS
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_line_of_the_limit_is_taken(end: bytes, cut: Callable[[bytes], list[bytes]]) -> None:
    """Rule D12: the limit is in bytes, without the line's end."""
    chunks = cut(TEN + end + end)
    decoder = StreamDecoder(max_line=28)  # the trailing data's longest line is shorter
    assert decode(chunks, decoder) == (block("6789"),)
    exact = StreamDecoder(max_line=10)
    assert decode([TEN + end + end], exact) == (block("6789"),)


@pytest.mark.parametrize("cut", [whole, byte_by_byte, with_empty_chunks])
@pytest.mark.parametrize("line", [TEN + b"x\n", TEN + b"x", b":2345678901\r", "data: éé€".encode()])
def test_a_line_over_the_limit_is_refused(line: bytes, cut: Callable[[bytes], list[bytes]]) -> None:
    """Rule D12: not cut off, not kept, also if it never ends; the error names the limit."""
    with pytest.raises(LineTooLong) as caught:
        decode(cut(b"\n" + line), StreamDecoder(max_line=10))
    assert caught.value.limit == 10


@pytest.mark.parametrize("cut", [whole, byte_by_byte, with_empty_chunks])
@pytest.mark.parametrize("line", [TEN, b":234567890", b"unknown:90"])
def test_an_event_over_the_limit_is_refused(
    line: bytes, cut: Callable[[bytes], list[bytes]]
) -> None:
    """The lines of one event count together, whatever they are; the next event starts at 0."""
    fits = (line + b"\n") * 3 + b"\n"
    decoder = StreamDecoder(max_line=10, max_event=30)
    decode(cut(fits * 2), decoder)
    with pytest.raises(EventTooLong) as caught:
        decode(cut(fits[:-1] + b"x\n"), decoder)
    assert caught.value.limit == 30


def test_a_closed_decoder_says_so_each_time() -> None:
    """Each call raises the same error, an empty chunk's too, as a new instance."""
    decoder = StreamDecoder(max_line=3)
    caught: list[ProtocolError] = []
    for chunk in (b"data: x", b"\n\n", b"", b"data"):
        with pytest.raises(LineTooLong) as info:
            decoder.feed(chunk)
        caught.append(info.value)
    assert len({id(error) for error in caught}) == len(caught) == 4


def test_what_came_before_an_error_in_its_chunk_is_given_out_first() -> None:
    """Rule D11 holds for errors too: they come with the next call."""
    decoder = StreamDecoder(max_line=10)
    assert decoder.feed(b"data: x\n\ndata: 67890\n\ndata: y\n\n") == [block("x")]
    with pytest.raises(LineTooLong):
        decoder.feed(b"")


def test_a_closed_decoder_keeps_the_id_of_the_last_block() -> None:
    """A client reconnects from there."""
    decoder = StreamDecoder(max_line=10)
    decoder.feed(b"id: 1\n\nid: 2\nid: 34567890\n")
    with pytest.raises(LineTooLong):
        decoder.feed(b"\n")
    assert decoder.last_event_id == "1"


def outcome(chunks: Iterable[bytes]) -> tuple[list[ReceivedMessage], type[ProtocolError] | None]:
    """Return the blocks before an error, and the error: feeding nothing asks for it."""
    decoder = StreamDecoder(max_line=9, max_event=20)
    blocks: list[ReceivedMessage] = []
    try:
        for chunk in (*chunks, b""):
            blocks += decoder.feed(chunk)
    except ProtocolError as error:
        return blocks, type(error)
    return blocks, None


@given(STREAMS.flatmap(lambda stream: st.tuples(st.just(stream), chunkings(stream))))
@example((b"\xef\xbb\xbfdata: 7\n\n", byte_by_byte(b"\xef\xbb\xbfdata: 7\n\n")))
def test_limits_do_not_depend_on_chunks(drawn: tuple[bytes, list[bytes]]) -> None:
    """The same blocks come before the same error."""
    stream, chunks = drawn
    assert outcome(chunks) == outcome([stream])


# --- time -----------------------------------------------------------------------------------------


class Meter(bytearray):
    """A buffer that counts the bytes which each operation on it may look at or move."""

    work = 0

    def _count(self, size: int) -> None:
        Meter.work += size

    def __iadd__(self, other: Buffer, /) -> Meter:
        self._count(len(bytes(other)))
        super().__iadd__(other)
        return self

    def __bytes__(self) -> bytes:
        self._count(len(self))
        return super().__getitem__(slice(None)).decode("latin-1").encode("latin-1")

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401
        if not name.startswith("_"):
            Meter.work += len(self)
        return super().__getattribute__(name)

    def __add__(self, other: Buffer, /) -> bytearray:
        self._count(len(self) + len(bytes(other)))
        return super().__add__(other)

    def __contains__(self, key: SupportsIndex | Buffer, /) -> bool:
        self._count(len(self))
        return super().__contains__(key)

    def __getitem__(self, key: Any, /) -> Any:  # noqa: ANN401
        self._count(len(self))
        return super().__getitem__(key)


class Streams(Protocol):
    def __call__(self, size: int) -> Iterable[bytes]: ...


def one_line(size: int) -> Iterable[bytes]:
    return [b"data:", *repeat(b"x", size), b"\n", b"\n"]


def many_lines(size: int) -> Iterable[bytes]:
    return [*repeat(b"data\n", size), b"\n"]


def many_ends_alone(size: int) -> Iterable[bytes]:
    return [*(part for _ in range(size) for part in (b"data:x", b"\r", b"\n")), b"\n"]


def comments_in_one_chunk(size: int) -> Iterable[bytes]:
    return [b":x\n" * size + b"\n"]


@pytest.mark.parametrize("make", [one_line, many_lines, many_ends_alone, comments_in_one_chunk])
def test_the_work_is_linear_in_the_length(monkeypatch: pytest.MonkeyPatch, make: Streams) -> None:
    """Twice the stream, twice the bytes that the decoder's buffers look at: counted, not timed."""
    monkeypatch.setattr(codec, "bytearray", Meter, raising=False)

    def work(size: int) -> int:
        Meter.work = 0
        assert len(decode(make(size))) == 1
        return Meter.work

    small, large = work(1_000), work(2_000)
    assert 1_000 <= small
    assert large <= 2 * small


def test_a_line_of_10_mib_comes_in_chunks_of_one_byte() -> None:
    """What takes hours if the line is looked at again with each byte."""
    size = 10 * 1024 * 1024
    decoder = StreamDecoder()
    decoder.feed(b"data:")
    deque(map(decoder.feed, repeat(b"x", size)), maxlen=0)
    assert decoder.feed(b"\n\n") == [block("x" * size)]


# --- encoding -------------------------------------------------------------------------------------

BLOCKS: dict[str, tuple[SSEMessage, bytes]] = {
    "E1: a line": (SSEMessage("x"), b"data: x\n\n"),
    "E1: lines": (SSEMessage("a\nb"), b"data: a\ndata: b\n\n"),
    "E1: no text": (SSEMessage(""), b"data: \n\n"),
    "E1: trailing empty lines": (SSEMessage("a\n\n"), b"data: a\ndata: \ndata: \n\n"),
    "E1: leading empty lines": (SSEMessage("\n\na"), b"data: \ndata: \ndata: a\n\n"),
    "E1: leading spaces": (SSEMessage("  x\n y"), b"data:   x\ndata:  y\n\n"),
    "E1: what looks like a field": (SSEMessage("id: 1\n:c"), b"data: id: 1\ndata: :c\n\n"),
    "E1: false line ends": (SSEMessage(FALSE_ENDS), f"data: {FALSE_ENDS}\n\n".encode()),
    "E1: NUL": (SSEMessage("a\0b"), b"data: a\0b\n\n"),
    "E1: a BOM": (SSEMessage("\ufeffx"), "data: \ufeffx\n\n".encode()),
    "E1: no data but an id": (SSEMessage(id="1"), b"id: 1\n\n"),
    "E2: an event": (SSEMessage("x", event="a:b"), b"event: a:b\ndata: x\n\n"),
    "E2: an event with a space in front": (SSEMessage("x", event=" a"), b"event:  a\ndata: x\n\n"),
    "E2: an id": (SSEMessage("x", id="a b"), b"id: a b\ndata: x\n\n"),
    "E2: an empty id": (SSEMessage("x", id=""), b"id: \ndata: x\n\n"),
    "E3: a comment": (SSEMessage(comment="x"), b": x\n\n"),
    "E3: an empty comment": (SSEMessage(comment=""), b": \n\n"),
    "E3: lines of a comment": (SSEMessage(comment="a\n\ndata: b"), b": a\n: \n: data: b\n\n"),
    "E4: a retry": (SSEMessage(retry=3_000), b"retry: 3000\n\n"),
    "E4: a retry of 0": (SSEMessage(retry=0), b"retry: 0\n\n"),
    "E7: all": (
        SSEMessage("x", event="a", id="1", retry=2, comment="c"),
        b": c\nretry: 2\nid: 1\nevent: a\ndata: x\n\n",
    ),
}  # fmt: skip


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
    """Promise 2: one block, LF only, each line a field that was given, one empty line at its end."""
    *lines, last, rest = encode(message).split(b"\n")
    assert (last, rest) == (b"", b"")
    names = {line.split(b": ")[0] for line in lines}
    assert names == {
        b"" if name == "comment" else name.encode() for name, value in message if value is not None
    }
    assert all(b": " in line and b"\r" not in line for line in lines)


# --- payloads -------------------------------------------------------------------------------------


@given(messages())
def test_a_payload_gives_back_the_message_without_its_id(message: SSEMessage) -> None:
    """CR and CRLF as they were: a log keeps text, the wire has lines."""
    kept = {name: value for name, value in message if name != "id"}
    if all(value is None for value in kept.values()):
        kept["comment"] = ""
    assert load_payload(dump_payload(SSEMessage(**kept))) == SSEMessage(**kept)
    assert b'"id"' not in dump_payload(message.model_copy(update={"data": "x"}))


def test_a_payload_is_json_with_a_version() -> None:
    """Compact, in UTF-8, with what is there and nothing else."""
    message = SSEMessage("é\n", event="tick", id="1")
    assert dump_payload(message) == '{"v":1,"data":"é\\n","event":"tick"}'.encode()


MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"data: x\n\n",
    "half a JSON": b'{"v":1,"data":"x"',
    "two JSONs": b'{"v":1,"data":"x"}{}',
    "invalid UTF-8": b'{"v":1,"data":"\xff"}',
    "a surrogate in UTF-8": b'{"v":1,"data":"\xed\xa0\x80"}',
    "a surrogate in JSON": rb'{"v":1,"data":"\ud800"}',
    "UTF-16": '{"v":1,"data":"x"}'.encode("utf-16"),
    "UTF-16 without a BOM": '{"v":1,"data":"x"}'.encode("utf-16-le"),
    "a BOM": b'\xef\xbb\xbf{"v":1,"data":"x"}',
    "a pickle": b"\x80\x04K\x01.",
    "a number": b"1",
    "null": b"null",
    "a string": b'"v"',
    "an array": b'["v","data"]',
    "an empty object": b"{}",
    "no version": b'{"data":"x"}',
    "the next version": b'{"v":2,"data":"x"}',
    "version true": b'{"v":true,"data":"x"}',
    "version 1.0": b'{"v":1.0,"data":"x"}',
    "version in a string": b'{"v":"1","data":"x"}',
    "version in an array": b'{"v":[1],"data":"x"}',
    "version NaN": b'{"v":NaN,"data":"x"}',
    "an id": b'{"v":1,"data":"x","id":"1"}',
    "another field": b'{"v":1,"data":"x","topic":"a"}',
    "self": b'{"v":1,"data":"x","self":"a"}',
    "an empty name": b'{"v":1,"data":"x","":1}',
    "no field": b'{"v":1}',
    "nulls only": b'{"v":1,"data":null}',
    "an event alone": b'{"v":1,"event":"x"}',
    "an event of two lines": rb'{"v":1,"data":"x","event":"a\nb"}',
    "data NaN": b'{"v":1,"data":NaN}',
    "data that is no text": b'{"v":1,"data":{"a":1}}',
    "retry true": b'{"v":1,"retry":true}',
    "retry 1.0": b'{"v":1,"retry":1.0}',
    "retry -1": b'{"v":1,"retry":-1}',
    "a huge retry": b'{"v":1,"retry":' + b"9" * 4_000 + b"}",
    "a retry that Python refuses": b'{"v":1,"retry":' + b"9" * 100_000 + b"}",
    "deep arrays": b"[" * 1_000_000,
    "deep arrays in a field": b'{"v":1,"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"data":' * 100_000,
    "the version twice": b'{"v":1,"v":2,"data":"x"}',
}


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED)
def test_a_payload_that_is_no_message_is_refused(payload: bytes) -> None:
    """With the one typed error, whose sentence is fit for a log."""
    with pytest.raises(MalformedPayload) as caught:
        load_payload(payload)
    assert caught.value.payload is payload
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "payload",
    [
        b'{"v":1,"data":"x"}',
        b' {"data" : "x",\r\n"v" : 1, "retry":null} ',
        b'{"v":2,"v":1,"data":"y","data":"x"}',
        rb'{"\u0076":1,"data":"\u0078"}',
    ],
)
def test_a_payload_may_have_any_form_that_json_allows(payload: bytes) -> None:
    """Another program may have written it: space, order, escapes; of a name twice the last."""
    assert load_payload(payload) == SSEMessage("x")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "v": st.sampled_from((1, 1, 1, 2, True, 1.0, "1", None)),
        "data": hostile_text() | JSON,
        "event": hostile_text() | JSON,
        "retry": st.integers() | JSON,
        "comment": hostile_text() | JSON,
        "id": JSON,
    },
)


@given(OBJECTS.map(json.dumps).map(str.encode) | JSON.map(json.dumps).map(str.encode) | st.binary())
def test_any_payload_is_a_message_or_malformed(payload: bytes) -> None:
    """Whatever another program put into the log, the reader skips it or has a valid message."""
    try:
        message = load_payload(payload)
    except MalformedPayload:
        return
    assert SSEMessage(**dict(message)) == message
    assert message.id is None


def test_the_examples_of_the_docstrings_are_true() -> None:
    """They run."""
    result = doctest.testmod(codec)
    assert result.attempted >= 2
    assert result.failed == 0
