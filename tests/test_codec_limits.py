"""What a decoder takes at most, and in what time."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sse_kit import codec
from sse_kit.codec import StreamDecoder
from sse_kit.errors import EventTooLong, LineTooLong, ProtocolError
from sse_kit.testing.strategies import chunkings
from tests.wire_tables import STREAMS, block, byte_by_byte, decode, whole, with_empty_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sse_kit.messages import ReceivedMessage

ROOT = Path(__file__).resolve().parents[1]
TEN = b"data: 6789"
CHUNKINGS = pytest.mark.parametrize("cut", [whole, byte_by_byte, with_empty_chunks])


@CHUNKINGS
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_line_of_the_limit_is_taken(end: bytes, cut: Callable[[bytes], list[bytes]]) -> None:
    """Rule D12: the limit is in bytes, without the line's end."""
    assert decode(cut(TEN + end + end), StreamDecoder(max_line=10)) == (block("6789"),)


@CHUNKINGS
@pytest.mark.parametrize("line", [TEN + b"x\n", TEN + b"x", b":2345678901\r", "data: éé€".encode()])
def test_a_line_over_the_limit_is_refused(line: bytes, cut: Callable[[bytes], list[bytes]]) -> None:
    """Rule D12: not cut off, not kept, also if it never ends; the error names the limit."""
    with pytest.raises(LineTooLong) as caught:
        decode(cut(b"\n" + line), StreamDecoder(max_line=10))
    assert caught.value.limit == 10


@CHUNKINGS
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


def test_an_event_takes_the_memory_of_its_bytes() -> None:
    """So the limits bound the memory, also if an event is made of a million tiny lines."""
    octets = b"data:ab\n:\n" * 1_000
    decoder = StreamDecoder()
    tracemalloc.start()
    for _ in range(20):
        decoder.feed(octets)
    held, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 20 * len(octets)


class Meter(bytearray):
    """A buffer that counts the bytes which the operations on it look at or move."""

    work = 0

    def _count(self, result: Any, size: int) -> Any:  # noqa: ANN401
        Meter.work += size
        return result

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("_"):
            return super().__getattribute__(name)
        return self._count(super().__getattribute__(name), len(self))  # any method: all of it

    def __iadd__(self, other: Any, /) -> Self:  # noqa: ANN401
        Meter.work += len(other)  # the one operation that leaves alone what is there
        super().__iadd__(other)
        return self

    def __add__(self, other: Any, /) -> Any:  # noqa: ANN401
        return self._count(Meter(super().__add__(other)), len(self) + len(other))

    def __bytes__(self) -> Any:  # noqa: ANN401
        return self._count(bytes(memoryview(self)), len(self))

    def __contains__(self, key: Any, /) -> Any:  # noqa: ANN401
        return self._count(super().__contains__(key), len(self))

    def __getitem__(self, key: Any, /) -> Any:  # noqa: ANN401
        return self._count(super().__getitem__(key), len(self))


def one_line(size: int) -> Iterable[bytes]:
    return [b"data:", *repeat(b"x", size), b"\n", b"\n"]


def many_lines(size: int) -> Iterable[bytes]:
    return [*repeat(b"data\n", size), b"\n"]


def many_ends_alone(size: int) -> Iterable[bytes]:
    return [*(part for _ in range(size) for part in (b"data:x", b"\r", b"\n")), b"\n"]


def comments_in_one_chunk(size: int) -> Iterable[bytes]:
    return [b":x\n" * size + b"\n"]


@pytest.mark.parametrize("make", [one_line, many_lines, many_ends_alone, comments_in_one_chunk])
def test_the_work_is_linear_in_the_length(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[int], Iterable[bytes]]
) -> None:
    """Twice the stream, twice the bytes that the decoder's buffers look at: counted, not timed."""
    monkeypatch.setattr(codec, "bytearray", Meter, raising=False)

    def work(size: int) -> int:
        Meter.work = 0
        assert len(decode(make(size))) == 1
        return Meter.work

    small, large = work(1_000), work(2_000)
    assert small >= 1_000
    assert large <= 2 * small


TEN_MIB = """
from collections import deque
from itertools import repeat
from sse_kit.codec import StreamDecoder

size = 10 * 1024 * 1024
decoder = StreamDecoder()
decoder.feed(b"data:")
deque(map(decoder.feed, repeat(b"x", size)), maxlen=0)
(block,) = decoder.feed(b"\\n\\n")
assert block.data == "x" * size
"""


def test_a_line_of_10_mib_comes_in_chunks_of_one_byte() -> None:
    """It takes seconds; hours, if the line is looked at again with each byte."""
    # In a process of its own, where nothing measures coverage ten million times.
    done = subprocess.run([sys.executable, "-c", TEN_MIB], cwd=ROOT, timeout=300, check=False)
    assert done.returncode == 0
