"""The proof of the conformance suite: it fails what is broken and passes what is not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree as ET

import pytest

from sse_kit.testing import BROKEN, BrokenTransport, TransportConformance
from sse_kit.transports import base, presence

ROOT = Path(__file__).resolve().parents[2]
SUITE = Path(__file__).with_name("broken_suite.py")
PROMISES = re.findall(r"^([TRP]\d+) ", f"{base.__doc__}{presence.__doc__}", re.MULTILINE)

Outcomes: TypeAlias = dict[str, dict[str, list[str]]]
"""Class of tests → passed, failed or skipped → names of tests."""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Run ``broken_suite.py`` once, in a pytest of its own."""
    report = tmp_path_factory.mktemp("broken") / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no"]
    subprocess.run(
        [*command, "--no-header", "-r", "N", f"--junitxml={report}", SUITE],
        check=False,
        cwd=ROOT,
        capture_output=True,
        timeout=300,
    )
    found: Outcomes = defaultdict(lambda: defaultdict(list))
    for case in ET.parse(report).iter("testcase"):  # noqa: S314  our own report
        kinds = {child.tag for child in case} & {"failure", "error", "skipped"}
        outcome = kinds.pop() if kinds else "passed"
        found[case.attrib["classname"].rpartition(".")[2]][outcome].append(case.attrib["name"])
    return found


def numbers(names: list[str]) -> set[str]:
    """Return the numbers of the promises that tests are of."""
    return {name.split("_")[1].upper() for name in names}


def test_a_correct_transport_passes(outcomes: Outcomes) -> None:
    """Every test of the suite, on both event loops, with nothing skipped."""
    assert set(outcomes["TestCorrect"]) == {"passed"}
    assert numbers(outcomes["TestCorrect"]["passed"]) == set(PROMISES)


def test_a_transport_without_history_passes(outcomes: Outcomes) -> None:
    """What it cannot do is skipped, all else passes; it need not subclass the protocol."""
    assert set(outcomes["TestWithoutHistory"]) == {"passed", "skipped"}
    assert {"R1", "R2", "R3", "P1", "P4"} <= numbers(outcomes["TestWithoutHistory"]["skipped"])
    assert {"T1", "T5", "T9"} <= numbers(outcomes["TestWithoutHistory"]["passed"])


def test_a_transport_without_limits_passes(outcomes: Outcomes) -> None:
    """Neither keys, nor a largest payload, nor a log to trim: their tests are skipped."""
    assert set(outcomes["TestWithoutLimits"]) == {"passed", "skipped"}
    assert {"T3", "T11"} <= numbers(outcomes["TestWithoutLimits"]["skipped"])


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_broken_transport_fails(
    outcomes: Outcomes, broken: type[BrokenTransport], backend: str
) -> None:
    """A test of the promise that it breaks is among those that fail, on both event loops."""
    failed = outcomes[f"Test{broken.__name__}"]["failure"]
    assert broken.promise in numbers([name for name in failed if backend in name])


def test_every_promise_is_broken_by_some_transport() -> None:
    """No test of the suite is there for show."""
    assert {broken.promise for broken in BROKEN} == set(PROMISES)


def test_every_test_of_the_suite_begins_with_its_promise() -> None:
    """Name and docstring name the same number, and the number is of the protocol's table."""
    tests = [name for name in dir(TransportConformance) if name.startswith("test_")]
    assert numbers(tests) == set(PROMISES)
    for name in tests:
        doc = getattr(TransportConformance, name).__doc__
        assert doc.startswith(f"{name.split('_')[1].upper()}: ")
