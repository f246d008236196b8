"""The runtime's types: TypeScript agrees with its JSDoc, and with the models of Python."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.npm import TYPESCRIPT, package, program
from tests.page.declarations import FILE, declarations
from tests.page.node import HERE, RUNTIME, node

if TYPE_CHECKING:
    from pathlib import Path


def check(folder: Path, *files: str) -> str:
    """Return what ``tsc`` says about a copy of the runtime, and files beside it."""
    tsc = package(TYPESCRIPT) / "bin" / "tsc"
    if files:
        settings = json.loads((folder / "tsconfig.json").read_text())
        (folder / "tsconfig.json").write_text(
            json.dumps(settings | {"files": ["globals.d.ts", *files]})
        )
    done = subprocess.run(
        [program("node"), tsc, "--project", folder, "--pretty", "false"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_the_types_of_the_runtime_agree(tmp_path: Path) -> None:
    """``tsc --checkJs --strict`` finds nothing but the lie planted beside it."""
    copy = shutil.copytree(RUNTIME.parent, tmp_path / "templates") / "runtime"
    lie = 'import { config } from "./config.js";\nconfig.connection.noSuchField;\n'
    (copy / "lie.js").write_text(lie)
    found = check(copy).splitlines()
    assert [line.partition(":")[0].rpartition("/")[2] for line in found] == ["lie.js(2,19)"], found


def test_the_declarations_are_those_of_the_module(tmp_path: Path) -> None:
    """The public surface has the module's names and types, and a page can be written with it."""
    copy = shutil.copytree(RUNTIME.parent, tmp_path / "templates")
    shutil.copytree(HERE / "declared", copy / "declared")
    assert check(copy / "runtime", "../declared/surface.ts", "../declared/page.ts") == ""


def test_a_declaration_that_is_not_true_is_found(tmp_path: Path) -> None:
    """A method that is left out, one that there is not, another type, another parameter."""
    copy = shutil.copytree(RUNTIME.parent, tmp_path / "templates")
    shutil.copytree(HERE / "declared", copy / "declared")
    surface = copy / "sse_kit.d.ts"
    text = surface.read_text()
    for true, lie in [
        ("  wake(): void;\n", ""),
        ("  hold(): void;\n", "  hold(): void;\n  keep(): void;\n"),
        ("retry: number | null;", "retry: string;"),
        ("url: string | URL, options?", "url: URL, options?"),
    ]:
        assert true in text
        text = text.replace(true, lie)
    surface.write_text(text)
    found = check(copy / "runtime", "../declared/surface.ts")
    names = {"ofConnection", "ofChannel", "Decoder", "options"}
    lines = (copy / "declared" / "surface.ts").read_text().splitlines()
    told = {lines[int(line) - 1] for line in re.findall(r"surface\.ts\((\d+),", found)}
    assert {name for name in names if any(f"const {name}:" in line for line in told)} == names


def test_the_script_reads_fields_that_the_models_have() -> None:
    """What the script is checked against is made of the models."""
    assert FILE.read_text() == declarations(), "run: python -m tests.page.declarations"


def test_every_field_is_read_by_the_script(tmp_path: Path) -> None:
    """Of each, TypeScript finds a use in the parts of the runtime, but of the one planted here."""
    copy = shutil.copytree(RUNTIME, tmp_path / "runtime")
    with (copy / "models.d.ts").open("a") as models:
        models.write("export interface Planted { nobodyReadsThis: number }\n")
    done = node(HERE / "unread.mjs", package(TYPESCRIPT), copy)
    assert done.stderr == ""
    assert done.stdout == "Planted.nobodyReadsThis\n"
