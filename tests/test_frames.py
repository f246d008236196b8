"""The words around the messages, byte by byte."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_kit import Position, ReceivedMessage, StreamDecoder, frames
from sse_kit.messages import MAX_RETRY
from sse_kit.testing import strategies
from sse_kit.transports.base import Gap, GapReason

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Position("epoch", 7)


def decoded(frame: bytes) -> ReceivedMessage:
    """Return the one block of a frame."""
    (block,) = StreamDecoder().feed(frame)
    return block


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (frames.opening(2000), b"retry: 2000\n\n"),
        (frames.checkpoint(HERE), b"id: epoch.7\n\n"),
        (frames.heartbeat(), b": heartbeat\n\n"),
        (frames.heartbeat(HERE), b": heartbeat\nid: epoch.7\n\n"),
        (frames.bye(1500), b'event: bye\nretry: 1500\ndata: {"retry": 1500}\n\n'),
        (
            frames.gap(Gap(GapReason.TRIMMED, HERE, 3)),
            b'id: epoch.7\nevent: gap\ndata: {"reason": "trimmed", "missed": 3}\n\n',
        ),
    ],
)
def test_a_frame_has_exactly_these_bytes(frame: bytes, expected: bytes) -> None:
    """LF only, one block, in the words of the documentation."""
    assert sorted(frame.splitlines()) == sorted(expected.splitlines())
    assert frame.endswith(b"\n\n")
    assert frame.count(b"\n\n") == 1


@pytest.mark.parametrize(
    "frame",
    [
        frames.opening(2000),
        frames.checkpoint(HERE),
        frames.heartbeat(),
        frames.heartbeat(HERE),
    ],
)
def test_what_only_keeps_the_stream_fires_no_event(frame: bytes) -> None:
    """Opening, checkpoint and heartbeat have no data."""
    assert decoded(frame).data is None


@pytest.mark.parametrize("make", [frames.checkpoint, frames.heartbeat])
def test_a_position_moves_the_cursor(make: Callable[[Position], bytes]) -> None:
    """A checkpoint, and a heartbeat with one, set the Last-Event-ID."""
    assert Position.parse(decoded(make(HERE)).last_event_id) == HERE


@given(strategies.positions(), st.sampled_from(GapReason), st.none() | st.integers(0))
def test_a_gap_says_why_how_much_and_where_it_goes_on(
    resume: Position, reason: GapReason, missed: int | None
) -> None:
    """Its data is JSON, its id where the client resumes; what a policy dropped moves nobody."""
    block = decoded(frames.gap(Gap(reason, resume, missed)))
    assert block.event == "gap"
    assert json.loads(block.data or "") == {"reason": reason.value, "missed": missed}
    assert block.id == (None if reason is GapReason.DROPPED else str(resume))


@given(st.integers(0, MAX_RETRY))
def test_a_goodbye_sets_the_reconnection_time(retry: int) -> None:
    """For the client's runtime in the data, for EventSource in the field; it moves no cursor."""
    block = decoded(frames.bye(retry))
    assert (block.event, block.retry, block.id) == ("bye", retry, None)
    assert json.loads(block.data or "") == {"retry": retry}


@given(st.integers(0, MAX_RETRY // 2))
def test_jitter_adds_at_most_half(retry: int) -> None:
    """Between one and one and a half of what was asked."""
    assert retry <= frames.jittered(retry) <= retry * (1 + frames.JITTER) + 1


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_spread_replaces_the_jitter(retry: int, spread: int) -> None:
    """Between what was asked and that plus the spread."""
    assert retry <= frames.jittered(retry, spread) <= retry + spread


def test_clients_are_told_different_times() -> None:
    """So they don't come back as one."""
    assert len({frames.jittered(60_000) for _ in range(100)}) > 50


@given(st.integers(0, MAX_RETRY), st.none() | st.integers(0, MAX_RETRY))
def test_a_jittered_time_is_one_that_a_message_may_carry(retry: int, spread: int | None) -> None:
    """The longest reconnection time stays the longest."""
    assert frames.jittered(retry, spread) <= MAX_RETRY
