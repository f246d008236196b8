"""Every block of the README works."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

import dev

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, and the line of its first line."""

    language: str
    line: int
    text: str


def blocks(language: str) -> list[Block]:
    text = README.read_text() if README.exists() else ""
    found = [
        Block(match[1], text.count("\n", 0, match.start(2)) + 1, match[2])
        for match in BLOCK.finditer(text)
    ]
    return [block for block in found if block.language == language]


SHELL = "\n".join(block.text for block in blocks("sh"))


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: f"line {block.line}")
def test_a_python_block_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stands alone: its imports are its own."""
    monkeypatch.chdir(tmp_path)  # FastHTML writes its session key into the working directory
    source = "\n" * (block.line - 1) + block.text
    exec(compile(source, str(README), "exec"), {"__name__": "readme"})  # noqa: S102


def test_there_are_blocks_to_run() -> None:
    """The README shows code, and says how to get going."""
    assert blocks("python")
    assert SHELL


def test_the_shell_blocks_name_commands_that_exist() -> None:
    """The two that everyone needs are there: the demo and all checks."""
    named = set(re.findall(r"python3 dev\.py (\w+)", SHELL))
    assert {"demo", "check"} <= named <= set(re.findall(r"dev\.py (\w+)", dev.__doc__ or ""))


def test_the_shell_blocks_name_extras_that_exist() -> None:
    """``pip install 'sse-kit[extra]'`` finds that extra."""
    named = re.findall(r"sse-kit\[([\w,]+)\]", README.read_text())
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {extra for group in named for extra in group.split(",")} <= set(
        extras["optional-dependencies"]
    )
