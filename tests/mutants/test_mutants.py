"""The tests notice when the code is wrong: each planted fault must make one of them fail."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.mutants import hub, wire
from tests.mutants.mutation import Mutant, Verdict, run, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MUTANTS = {mutant.name: mutant for mutant in (*wire.MUTANTS, *hub.MUTANTS)}
MODULES = sorted({mutant.module for mutant in MUTANTS.values()})
SMALL = ("tests/test_states.py::test_a_status_knows_since_when",)


@pytest.fixture(scope="module")
def verdicts(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Verdict]]]:
    """Start the runs of all mutants that were selected, as many at a time as there are cores."""
    selected = {str(item.callspec.params.get("name")) for item in request.session.items}
    ...
