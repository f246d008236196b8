"""The conformance suite as somebody else uses it: with a file of theirs, and nothing of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

THEIRS = """
from collections import defaultdict
import pytest
from sse_kit.testing import TransportConformance
from sse_kit.transports.base import Transport
from sse_kit.transports.memory import MemoryTransport
from sse_kit.transports.memory_log import MemoryLog

LOGS = defaultdict(MemoryLog)

class TestMine(TransportConformance):
    def make(self, namespace: str) -> Transport:
        return MemoryTransport(log=LOGS[namespace])

class TestOneLoop(TestMine):
    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

class TestForgetful(TransportConformance):
    patience = 0.1
    def make(self, namespace: str) -> Transport:
        return MemoryTransport()

class TestEmpty(TransportConformance):
    pass
"""


FEW = "t1_a_publish_returns_the or t2_offsets or t6_nothing or t7_a_trimmed"
CHOSEN = f"{FEW} or OneLoop and t4_"


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Run their file, with no conftest or configuration of ours; return what pytest prints."""
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "test_theirs.py").write_text(THEIRS)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-v", "-rs", "-p", "no:cacheprovider", "-k", CHOSEN]
    # Hypothesis keeps its tables of Unicode with ours: to build them anew takes seconds.
    storage = str(ROOT / ".hypothesis")
    run = subprocess.run(
        command,
        check=False,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "COLUMNS": "300", "HYPOTHESIS_STORAGE_DIRECTORY": storage},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return run.stdout


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
@pytest.mark.parametrize("test", ["t1_a_publish_returns", "t2_offsets", "t6_nothing"])
def test_three_lines_are_enough(printed: str, test: str, loop: str) -> None:
    """A subclass with ``make`` runs on every event loop there is."""
    lines = [line for line in printed.splitlines() if f"TestMine::test_{test}" in line]
    assert any(f"[{loop}] PASSED" in line for line in lines)


def test_what_a_transport_cannot_do_is_skipped_with_the_reason(printed: str) -> None:
    """Trimming needs a small log."""
    assert "TestMine::test_t7_a_trimmed_position_is_one_gap[trio] SKIPPED" in printed
    assert "override make_small to test trimming" in printed


def test_a_class_may_choose_its_event_loop(printed: str) -> None:
    """Overriding anyio's fixture in the class is enough."""
    lines = [line for line in printed.splitlines() if "TestOneLoop::" in line]
    assert any("test_t2_offsets_have_no_hole PASSED" in line for line in lines)
    assert any("test_t4_what_is_published_comes_back_as_it_was PASSED" in line for line in lines)
    assert not any("trio" in line for line in lines)


def test_a_failure_tells_what_was_seen(printed: str) -> None:
    """Asserts of the suite are told in full, and silence says how long it was."""
    assert "TestForgetful::test_t2_offsets_have_no_hole[trio] FAILED" in printed
    assert "At index 1 diff: 1 != 2" in printed
    assert "the tail was silent for 0.1 s after None" in printed


def test_a_class_without_make_fails(printed: str) -> None:
    """Nothing that was forgotten passes in silence."""
    assert "TestEmpty::test_t6_nothing_is_missed_after_entering[asyncio] FAILED" in printed
    assert "TestEmpty makes no transport for" in printed
    assert not any("TestEmpty::" in line and "PASSED" in line for line in printed.splitlines())
