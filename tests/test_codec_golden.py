"""What Chromium made of 3,980 hostile streams.

Each case of ``data/chromium_golden.json`` is a stream in base64, the events that Chromium fired
(type, data, lastEventId), the id it would have sent with its next request, and the reconnection
time that the stream set.
"""

from __future__ import annotations

import json
import random
from base64 import b64decode
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sse_kit.codec import StreamDecoder
from tests.wire_tables import byte_by_byte, decode, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

GOLDEN = Path(__file__).parent / "data" / "chromium_golden.json"


@pytest.fixture(scope="module")
def cases() -> list[dict[str, Any]]:
    read: list[dict[str, Any]] = json.loads(GOLDEN.read_text())
    return read


def at_random(stream: bytes) -> list[bytes]:
    """Cut at a few places, always the same ones for the same stream."""
    chance = random.Random(stream)
    places = sorted(chance.choices(range(len(stream) + 1), k=chance.randint(1, 9)))
    edges = [0, *places, len(stream)]
    return [stream[start:stop] for start, stop in pairwise(edges)]


def understood(chunks: Iterable[bytes]) -> dict[str, Any]:
    """Return what a browser's page and its next request would see."""
    decoder = StreamDecoder()
    events = [found for found in decode(chunks, decoder) if found.data is not None]
    return {
        "events": [[each.type, each.data, each.last_event_id] for each in events],
        "last_id": decoder.last_event_id,
        "retry": decoder.retry,
    }


@pytest.mark.parametrize("cut", [whole, byte_by_byte, at_random])
def test_every_stream_is_read_as_chromium_reads_it(
    cases: list[dict[str, Any]], cut: Callable[[bytes], list[bytes]]
) -> None:
    """100 % agree, however the streams arrive."""
    for case in cases:
        b64 = case["b64"]
        assert case == {"b64": b64, **understood(cut(b64decode(b64)))}


def test_the_streams_are_all_there_and_hostile(cases: list[dict[str, Any]]) -> None:
    """The agreement is not one about nothing."""
    assert len(cases) == 3_980
    assert sum(len(case["events"]) for case in cases) > 4_000
    assert any(case["retry"] is not None for case in cases)
    assert sum(case["last_id"] != "" for case in cases) > 100
