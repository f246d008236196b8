"""What the wire carries, as tables: streams and their blocks, messages and their bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from sse_kit.codec import StreamDecoder
from sse_kit.messages import MAX_RETRY, ReceivedMessage, SSEMessage
from sse_kit.testing.strategies import hostile_text

if TYPE_CHECKING:
    from collections.abc import Iterable

BOM = "\ufeff"


@dataclass(frozen=True)
class Case:
    """A stream, and what a decoder makes of it; ``rule`` is its number in the checklist."""

    rule: str
    stream: bytes
    blocks: tuple[ReceivedMessage, ...]
    last_event_id: str = ""
    retry: int | None = None


def block(data: str | None = None, *, last: str | None = None, **fields: Any) -> ReceivedMessage:
    """Expect a block; its sticky id is ``last``, or its own."""
    return ReceivedMessage(data, **fields, last_event_id=last or fields.get("id") or "")


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
    case("D1: a sequence cut by a line's end", b"data:\xe2\x82\ndata:\xac\n\n", "\ufffd\n\ufffd"),
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
    case("D8: an id without data counts", "id: 1\n\ndata\n\n", block(id="1"), block("", last="1")),
    case("D8: the id stays", "id: 1\ndata\n\ndata\n\n", block("", id="1"), block("", last="1")),
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
    case("D9: an empty id resets", "id: 1\n\nid\ndata: x\n\n", block(id="1"), block("x", id="")),
    case("D9: an id of one space too", "id: 1\n\nid: \n\n", block(id="1"), block(id="")),
    case("D10: no empty line", "data: x\n"),
    case("D10: no end of the line", "data: x"),
    case("D10: an id without an empty line", "id: 1\n\nid: 2\ndata: y\n", block(id="1")),
    case("D10: nothing", ""),
    case("D13: EventSource's own names", "event: error\ndata: x\n\n", block("x", event="error")),
)  # fmt: skip

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


def whole(stream: bytes) -> list[bytes]:
    return [stream]


def byte_by_byte(stream: bytes) -> list[bytes]:
    return [stream[place : place + 1] for place in range(len(stream))]


def with_trailing_data(stream: bytes) -> list[bytes]:
    """Put more behind it, that is not complete and so must change nothing."""
    return [stream + b"id: trailing\ndata: trailing"]


def with_empty_chunks(stream: bytes) -> list[bytes]:
    return [part for octet in byte_by_byte(stream) for part in (b"", octet, b"")]


def decode(
    chunks: Iterable[bytes], decoder: StreamDecoder | None = None
) -> tuple[ReceivedMessage, ...]:
    decoder = decoder or StreamDecoder()
    return tuple(found for chunk in chunks for found in decoder.feed(chunk))
