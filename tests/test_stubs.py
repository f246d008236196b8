"""The stubs of ``typings``: partial, but what they say is true of what is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

LEFT_OUT = "stub does not have parameter"
"""What stubtest says where a stub is silent: leaving out is no lie."""

LIES = """
def no_such_name() -> None: ...
def attrmap(no_such_parameter: object) -> None: ...
class valmap: ...
"""


def contradictions(root: Path) -> set[str]:
    """Return what stubtest says against ``typings``, by the first word: the name."""
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
    return {line.split()[0] for line in done.stdout.splitlines() if LEFT_OUT not in line}


def test_the_stubs_tell_the_truth(tmp_path: Path) -> None:
    """Every name, parameter and kind is there at runtime, but for the lies planted beside them."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    stubs = shutil.copytree(ROOT / "typings", tmp_path / "typings")
    with (stubs / "fastcore" / "xml.pyi").open("a") as stub:
        stub.write(LIES)
    lies = {"fastcore.xml.no_such_name", "fastcore.xml.attrmap", "fastcore.xml.valmap"}
    assert contradictions(tmp_path) == lies
