"""The types that users see: ``tests/typing`` is checked by mypy and pyright, never run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TYPING = ROOT / "tests" / "typing"
CHECKERS = {
    "mypy": (sys.executable, "-m", "mypy"),
    "pyright": (sys.executable, "-m", "pyright", "--pythonpath", sys.executable),
}
LIES = """
from typing import assert_type
from sse_kit import Position
assert_type(Position.parse("epoch.7"), Position)
Position("epoch", 7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
"""


def findings(checker: str, folder: Path) -> str:
    """Return what ``checker`` says about the files of ``folder``; nothing if they are right."""
    done = subprocess.run(
        [*CHECKERS[checker], str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr if done.returncode else ""


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_public_types_are_what_users_are_told(checker: str) -> None:
    """Both type checkers agree with every ``assert_type``, and refuse what they should."""
    assert findings(checker, TYPING) == ""


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_checkers_find_a_planted_lie(checker: str, tmp_path: Path) -> None:
    """The check can fail: a wrong type and a superfluous ignore are each reported."""
    folder = shutil.copytree(TYPING, tmp_path / "planted")
    (folder / "lies.py").write_text(LIES)
    reported = findings(checker, folder)
    assert "lies.py:4" in reported
    assert "lies.py:5" in reported
