"""The stubs of ``typings``: partial, but what they say is true of what is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

LEFT_OUT = ("is not present in stub", "stub does not have parameter")
"""What stubtest says where a stub is silent: leaving out is no lie."""


def lies(root: Path) -> list[str]:
    """Return the lines of stubtest that contradict what is installed."""
    packages = sorted(folder.name for folder in (root / "typings").iterdir())
    options = ("--concise", "--ignore-missing-stub", "--mypy-config-file", "pyproject.toml")
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", *options, *packages],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if not any(map(line.__contains__, LEFT_OUT))]


def test_the_stubs_tell_the_truth() -> None:
    """Every name and parameter is there at runtime, of its kind."""
    assert lies(ROOT) == []


def test_a_stub_that_lies_is_found(tmp_path: Path) -> None:
    """The check can fail: a name, a parameter and a kind that are not there."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    stubs = shutil.copytree(ROOT / "typings", tmp_path / "typings")
    with (stubs / "fastcore" / "xml.pyi").open("a") as stub:
        stub.write("def no_such_name() -> None: ...\n")
        stub.write("def attrmap(no_such_parameter: object) -> None: ...\n")
        stub.write("class valmap: ...\n")
    told = "\n".join(lies(tmp_path))
    assert "fastcore.xml.no_such_name is not present at runtime" in told
    assert "fastcore.xml.attrmap is inconsistent" in told
    assert "fastcore.xml.valmap is not a type" in told
