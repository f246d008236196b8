"""The script of the monitor: TypeScript agrees with its JSDoc, and with the models of Python."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

from sse_kit.monitor.files import files
from tests.monitor.declarations import FILE, declarations
from tests.npm import TYPESCRIPT, package, program
from tests.page.node import RUNTIME, node

if TYPE_CHECKING:
    from pathlib import Path


def test_the_script_reads_what_the_models_have() -> None:
    """What the script is checked against is made of the models."""
    assert FILE.read_text() == declarations(), "run: python -m tests.monitor.declarations"


def test_the_types_of_the_script_agree(tmp_path: Path) -> None:
    """``tsc --checkJs --strict`` finds nothing but the lie planted beside it."""
    copy = shutil.copytree(FILE.parent, tmp_path / "monitor" / "static")
    shutil.copytree(RUNTIME.parent, tmp_path / "templates")
    settings = json.loads((RUNTIME / "tsconfig.json").read_text())
    (copy / "tsconfig.json").write_text(json.dumps(settings))
    (copy / "lie.js").write_text(
        '/** @import { Row } from "./models.js" */\n'
        "export const lie = (/** @type {Row} */ row) => row.noSuchField;\n"
    )
    tsc = package(TYPESCRIPT) / "bin" / "tsc"
    done = subprocess.run(
        [program("node"), tsc, "--project", copy, "--pretty", "false"],
        capture_output=True,
        text=True,
        check=False,
    )
    found = done.stdout.splitlines()
    assert [line.partition(":")[0].rpartition("/")[2] for line in found] == ["lie.js(2,52)"], found


def test_the_parts_are_one_module_that_loads_no_other(tmp_path: Path) -> None:
    """They are joined, in order: Node takes it for a module, and nothing in it is imported."""
    [script] = [
        asset
        for name, asset in files().items()
        if name.startswith("monitor.") and name.endswith(".js")
    ]
    module = tmp_path / "monitor.mjs"
    module.write_bytes(script.body)
    done = node("--check", module)
    assert done.stderr == ""
    assert b"\nimport " not in script.body
