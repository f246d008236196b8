"""Random schedules: frames never interleave, never repeat, never reorder, and none is lost."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import given, settings

from tests.schedules import Schedule, play, schedules
from tests.writing import LOOPS

EXAMPLES = settings().max_examples


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
@settings(max_examples=3 * EXAMPLES)
@given(schedule=schedules)
def test_every_client_gets_the_list_whatever_happens(
    loop: tuple[str, dict[str, Any]], schedule: Schedule
) -> None:
    """Promise 1, over reconnections and announced gaps; nobody is ended by what others did."""
    backend, options = loop
    anyio.run(play, schedule, backend=backend, backend_options=options)
