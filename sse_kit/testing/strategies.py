"""Hypothesis strategies for all that goes over a wire or into a log, hostile values included.

Each is a function that returns a strategy. What a type refuses is never drawn where the type is
promised: ``messages()`` draws messages, ``hostile_text()`` draws anything that somebody may try.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from sse_kit.messages import MAX_RETRY, SSEMessage, breaks_line
from sse_kit.transports.base import MAX_OFFSET, Position, Publication

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hypothesis.strategies import SearchStrategy

LINE_ENDS = ("\n", "\r", "\r\n")
FALSE_LINE_ENDS = ("\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
"""Where ``str.splitlines`` cuts and an event stream does not."""

SPECIALS = (*"*>%.:$'\"`;,|/\\ \t#?&={}[]()<>~^!@+-_", "..", "->", "--", "/*", "%s", "{}", "$1")
"""What brokers, SQL, URLs and templates give a meaning to."""

NAME_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-"


def hostile_text() -> SearchStrategy[str]:
    """Text of any kind but lone surrogates: line ends true and false, NUL, fields, JSON, HTML."""
    fields = ("data:", "id: 7", "event:x", "retry: 1", ":", "\ufeff", "\0", "</script>", '{"v":1}')
    letters = st.text(st.characters(codec="utf-8"), max_size=8)
    part = st.sampled_from((*LINE_ENDS, *FALSE_LINE_ENDS, *SPECIALS, *fields)) | letters
    return st.lists(part, max_size=8).map("".join)


def _lines(*, min_size: int = 1) -> SearchStrategy[str]:
    """Draw text that is one line: what an event name, a topic or a key may be."""
    part = st.sampled_from((*SPECIALS, *FALSE_LINE_ENDS)) | st.text(
        st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8
    )
    text = st.lists(part, max_size=6).map("".join)
    return text.filter(lambda line: len(line) >= min_size and not breaks_line(line))


def event_names() -> SearchStrategy[str]:
    """Names that an event may have; never ``"message"``, which is the name of an unnamed one."""
    return _lines().filter(lambda name: name != "message")


def event_ids() -> SearchStrategy[str]:
    """Ids that an event may have, ``""`` included: it resets what the client sends back."""
    printable = st.characters(exclude_categories=("Cs", "Cc"))
    return st.text(printable, max_size=40).map(str.strip)


@st.composite
def messages(draw: st.DrawFn) -> SSEMessage:
    """Messages with every combination of fields that is one."""
    data = draw(st.none() | hostile_text())
    event = None if data is None else draw(st.none() | event_names())
    id_ = draw(st.none() | event_ids())
    retry = draw(st.none() | st.integers(0, MAX_RETRY))
    comment = draw(st.none() | hostile_text())
    if data is id_ is comment is None and retry is None:
        comment = ""
    return SSEMessage(data, event=event, id=id_, retry=retry, comment=comment)


def topics() -> SearchStrategy[tuple[str, ...]]:
    """One to four topics, of characters that brokers and databases give a meaning to."""
    return st.lists(_lines(), min_size=1, max_size=4).map(tuple)


def keys() -> SearchStrategy[str]:
    """Idempotency keys: one line of at most 256 bytes."""
    return _lines().filter(lambda key: len(key.encode()) <= 64)  # noqa: PLR2004  room to append


def payloads(*, max_size: int = 300) -> SearchStrategy[bytes]:
    """Payloads as a transport sees them: bytes, of no meaning to it."""
    every_byte = st.just(bytes(range(256)))
    return st.binary(max_size=max_size) | every_byte | hostile_text().map(str.encode)


def publications() -> SearchStrategy[Publication]:
    """Publications without a key: two equal ones are two records."""
    return st.builds(Publication, topics(), payloads())


def positions() -> SearchStrategy[Position]:
    """Positions of any log, at the edges of the grammar too."""
    name = st.text(NAME_ALPHABET, min_size=1, max_size=40)
    offset = st.sampled_from((0, 1, MAX_OFFSET - 1, MAX_OFFSET)) | st.integers(0, MAX_OFFSET)
    return st.builds(Position, name, offset, st.none() | name)


def chunkings(data: bytes) -> SearchStrategy[list[bytes]]:
    """Ways in which ``data`` may arrive: whole, byte by byte, cut anywhere, with empty chunks."""
    cuts = st.lists(st.integers(0, len(data)), max_size=12).map(sorted)
    by_byte = [data[place : place + 1] for place in range(len(data))]
    return st.just([data]) | st.just(by_byte) | cuts.map(lambda places: _cut(data, places))


def _cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *places, len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]
