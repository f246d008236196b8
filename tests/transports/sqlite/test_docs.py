"""Every block of the page about the database file works."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from sse_kit.transports.sqlite import LARGE_WAL, MAX_PAYLOAD, WATCH, SqliteSettings
from tests.transports.sqlite.tools import fill

PAGE = Path(__file__).resolve().parents[3] / "docs" / "transports" / "sqlite.md"
TEXT = PAGE.read_text()
BLOCKS = {
    language: re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for language in ("python", "sh")
}


@pytest.mark.parametrize("block", BLOCKS["python"], ids=range(len(BLOCKS["python"])))
def test_a_python_block_runs(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stands alone, in a folder where there may be a log already."""
    monkeypatch.chdir(tmp_path)
    anyio.run(fill, Path("messages.db"), 1)
    exec(compile(block, str(PAGE), "exec"), {"__name__": "page"})  # noqa: S102


def test_the_query_runs(tmp_path: Path) -> None:
    """The tables are those that it names."""
    path = tmp_path / "messages.db"
    anyio.run(fill, path, 1)
    (query,) = re.findall(r'"(SELECT .*)"', BLOCKS["sh"][-1])
    with closing(sqlite3.connect(path)) as connection:
        ((offset, _, topics, payload),) = connection.execute(query).fetchall()
    assert (offset, topics, payload) == (1, '["t"]', b"1")


def test_every_setting_is_told() -> None:
    """And no other one."""
    table = TEXT.partition("## Settings")[2].partition("## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(
        SqliteSettings.model_fields
    )


def test_the_numbers_are_those_of_the_code() -> None:
    """The largest payload, the -wal that is told, and how soon others hear."""
    told = (f"{MAX_PAYLOAD >> 20} MiB", f"from {LARGE_WAL >> 20} MiB on", f"{WATCH * 1000:g} ms")
    assert [each for each in told if each not in TEXT] == []
