"""The tests notice when the code is wrong: each planted fault must make one of them fail."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.mutants import dispatch, hub, overflow, wire
from tests.mutants.mutation import Mutant, Runner, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")

MUTANTS = (*wire.MUTANTS, *hub.MUTANTS, *overflow.MUTANTS, *dispatch.MUTANTS)

SMALL = "tests/test_states.py::test_every_state_has_its_row_in_the_table"
HARMLESS = Mutant("harmless", "sse_kit.states", '"""Where a connection', '"""Where one', (SMALL,))


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as running:
        yield running


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_a_fault_is_noticed(runner: Runner, mutant: Mutant) -> None:
    """Tests that pass with the fault prove nothing about what it breaks."""
    verdict = runner.run(mutant.module, mutant.source, mutant.tests)
    assert verdict.noticed, verdict.output


def test_without_a_fault_the_same_tests_pass(runner: Runner) -> None:
    """So it is the fault that they notice, not how they are run."""
    tests = {test for mutant in MUTANTS for test in mutant.tests}
    verdict = runner.run(HARMLESS.module, source_of(HARMLESS.module), sorted(tests))
    assert verdict.passed, verdict.output


def test_a_harmless_change_is_not_noticed(runner: Runner) -> None:
    """A verdict can be the other one."""
    verdict = runner.run(HARMLESS.module, HARMLESS.source, HARMLESS.tests)
    assert verdict.passed
    assert not verdict.noticed


def test_a_fault_that_breaks_the_import_is_not_noticed(runner: Runner) -> None:
    """Any test would fail then: such a mutant says nothing."""
    assert not runner.run(HARMLESS.module, "raise RuntimeError", HARMLESS.tests).noticed


@pytest.mark.parametrize("old", ["no such text", "    "])
def test_a_fault_has_exactly_one_place(old: str) -> None:
    """A mutant whose text the code no longer has, or has twice, is an error, not a success."""
    mutant = Mutant("misplaced", "sse_kit.states", old, "", (SMALL,))
    with pytest.raises(ValueError, match="not once"):
        _ = mutant.source
