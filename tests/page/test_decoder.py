"""The decoder of the page agrees with Chromium about 3,980 hostile streams."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.page.node import HERE, RUNTIME, node

GOLDEN = Path(__file__).parents[1] / "data" / "chromium_golden.json"


@pytest.mark.parametrize("way", ["whole", "bytes", "random"])
def test_every_stream_is_read_as_chromium_reads_it(way: str) -> None:
    """100 % agree, however the streams arrive."""
    done = node(HERE / "read_golden.mjs", GOLDEN, RUNTIME / "decoder.js", way)
    assert done.stdout == ""
    assert done.stderr == "3980\n"
