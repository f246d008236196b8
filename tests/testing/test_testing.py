"""The package of the test kit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sse_kit.testing

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("package", ["hypothesis", "psutil", "pytest"])
def test_a_missing_package_names_the_extra(package: str) -> None:
    """Promise 6: importing the kit without what it needs says what to install."""
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from sse_kit.errors import MissingExtra\n"
        "try:\n    import sse_kit.testing\n"
        "except MissingExtra as error:\n    sys.stdout.write(str(error))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True
    )
    assert run.stdout == f"{package!r} is not installed: pip install 'sse-kit[testing]'"


def test_the_public_names_are_an_explicit_tuple() -> None:
    """Each is there, and none twice."""
    names = sse_kit.testing.__all__
    assert isinstance(names, tuple)
    assert len(set(names)) == len(names)
    assert all(hasattr(sse_kit.testing, name) for name in names)
