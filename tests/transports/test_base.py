"""The values of a transport, and the protocol as a type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sse_kit.errors import InvalidInput, InvalidPosition, InvalidTopic
from sse_kit.testing.strategies import hostile_text, positions
from sse_kit.transports.base import (
    MAX_KEY_BYTES,
    MAX_OFFSET,
    Bounds,
    Gap,
    HealthStatus,
    Page,
    Position,
    Publication,
    SupportsReplay,
    Traits,
    Transport,
)

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from anyio.streams.memory import MemoryObjectReceiveStream

    from sse_kit.transports.base import Feed, Published


@given(positions())
def test_a_position_survives_its_text(position: Position) -> None:
    """What is printed as an id comes back as the same position."""
    assert Position.parse(str(position)) == position


NEAR = st.lists(st.sampled_from(["a", "Z9", "-", "_", ".", "0", "7", "9" * 18, "+", " ", "\n"]))


@given(hostile_text() | NEAR.map("".join))
@example("a.01")
@example("a.00")
@example("a.9223372036854775808")
@example("a.10000000000000000000")
@example("a.\u0661")
@example("a.\u00b2")
@example("\uff41.1")
@example("a.1\n")
@example(" a.1")
@example("a.-1")
@example("a.+1")
@example("a.1_0")
@example("a.1.")
@example("a.1.b.c")
@example(".1")
@example("a.")
@example("")
@example("a" * 41 + ".1")
@example("a.1." + "b" * 41)
def test_parsing_is_total_and_strict(text: str) -> None:
    """Any text is either exactly what a position prints, or no position at all."""
    position = Position.parse(text)
    assert position is None or str(position) == text


@pytest.mark.parametrize("text", ["a.01", "a.9223372036854775808", "a.\u0661", "a.1\n", "a.1.", ""])
def test_what_no_position_prints_is_none(text: str) -> None:
    """Leading zeros, 2**63, digits that are not ASCII, a line end, an empty mark, nothing."""
    assert Position.parse(text) is None


@pytest.mark.parametrize("text", ["a.0", "-_9.9223372036854775807", "a.1.mark", "a" * 40 + ".1"])
def test_the_edges_of_the_grammar_are_inside(text: str) -> None:
    """Offset 0, 2**63-1, a mark, and forty characters."""
    assert str(Position.parse(text)) == text


@pytest.mark.parametrize(
    ("epoch", "offset", "mark", "field"),
    [
        ("", 1, None, "epoch"),
        ("a.b", 1, None, "epoch"),
        ("a" * 41, 1, None, "epoch"),
        ("\u00e9", 1, None, "epoch"),
        ("a", -1, None, "offset"),
        ("a", MAX_OFFSET + 1, None, "offset"),
        ("a", 1, "", "mark"),
        ("a", 1, "b\n", "mark"),
    ],
)
def test_a_position_outside_the_grammar_is_refused(
    epoch: str, offset: int, mark: str | None, field: str
) -> None:
    """It would print what cannot be parsed; the error names the field."""
    with pytest.raises(InvalidPosition) as caught:
        Position(epoch, offset, mark)
    assert caught.value.field == field


@pytest.mark.parametrize("topics", [(), ("",), ("a", ""), ("a\nb",), ("a\0",), ("\ud800",)])
def test_a_publication_needs_topics_of_one_line(topics: tuple[str, ...]) -> None:
    """None at all is refused like an empty one."""
    with pytest.raises(InvalidTopic):
        Publication(topics, b"")


@pytest.mark.parametrize("key", ["", "a\r", "a\nb", "\0", "\udfff", "k" * (MAX_KEY_BYTES + 1)])
def test_a_key_is_one_short_line(key: str) -> None:
    """Engines put it into headers and indexes."""
    with pytest.raises(InvalidInput, match="key=") as caught:
        Publication(("a",), b"", key)
    assert caught.value.field == "key"


def test_the_limit_of_a_key_is_in_bytes() -> None:
    """256 bytes of UTF-8 are taken, one more character is not."""
    assert Publication(("a",), b"", "\u00e9" * 128).key == "\u00e9" * 128
    with pytest.raises(InvalidInput):
        Publication(("a",), b"", "\u00e9" * 128 + "a")


def test_bounds_tell_where_a_reader_starts_and_ends() -> None:
    """Before the first kept record, and after the last."""
    bounds = Bounds("a", 3, 7)
    assert (bounds.start, bounds.end) == (Position("a", 2), Position("a", 7))


class Minimal(Transport):
    @property
    def traits(self) -> Traits:
        return Traits(shared=False, durable=False, dedup_window=0)

    async def publish(self, publication: Publication, /) -> Published:
        raise NotImplementedError

    def tail(
        self, after: Position | None = None, /
    ) -> AbstractAsyncContextManager[MemoryObjectReceiveStream[Feed]]:
        raise NotImplementedError


class History(SupportsReplay):
    async def bounds(self) -> Bounds:
        raise NotImplementedError

    async def read(self, after: int, /, *, limit: int) -> Page:
        raise NotImplementedError

    async def locate(self, position: Position, /) -> Position | Gap:
        raise NotImplementedError


class Structural:
    """Has the methods of a history, and knows nothing of the protocol."""

    async def bounds(self) -> Bounds:
        raise NotImplementedError

    async def read(self, after: int, /, *, limit: int) -> Page:
        raise NotImplementedError

    async def locate(self, position: Position, /) -> Position | Gap:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("complete", "missing"),
    [
        (Minimal, "traits"),
        (Minimal, "publish"),
        (Minimal, "tail"),
        (History, "bounds"),
        (History, "read"),
        (History, "locate"),
    ],
)
def test_an_incomplete_subclass_cannot_be_made(complete: type, missing: str) -> None:
    """What was forgotten is named when the object is made, not when it is called."""
    (protocol,) = (base for base in complete.__bases__ if base is not object)
    members = {name: value for name, value in vars(complete).items() if not name.startswith("_")}
    del members[missing]
    with pytest.raises(TypeError, match=missing):
        type("Incomplete", (protocol,), members)()


@pytest.mark.anyio
async def test_a_minimal_subclass_is_complete() -> None:
    """Lifetime and health need not be written; an error of the body leaves as it is."""
    transport = Minimal()
    async with transport as entered:
        assert entered is transport
        assert (await transport.health()).status is HealthStatus.OK
    with pytest.raises(ZeroDivisionError):
        async with transport:
            raise ZeroDivisionError


def test_a_history_is_told_by_its_methods() -> None:
    """``isinstance`` picks the path: by structure, with or without the base class."""
    assert isinstance(Structural(), SupportsReplay)
    assert isinstance(History(), SupportsReplay)
    assert not isinstance(Minimal(), SupportsReplay)
