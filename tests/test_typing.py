"""The types that users see: ``tests/typing`` is checked by mypy and pyright, never run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
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
"""A wrong type in line 4; in line 5, an error is expected where there is none."""


@pytest.mark.parametrize("checker", CHECKERS)
def test_the_public_types_are_what_users_are_told(checker: str, tmp_path: Path) -> None:
    """Both checkers agree with all of ``tests/typing``, and with neither lie beside it."""
    folder = shutil.copytree(ROOT / "tests" / "typing", tmp_path / "told")
    (folder / "lies.py").write_text(LIES)
    done = subprocess.run(
        [*CHECKERS[checker], str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    reported = set(re.findall(r"\w+\.py:\d+", done.stdout))
    assert reported == {"lies.py:4", "lies.py:5"}, done.stdout + done.stderr
