"""Every block of the page about PostgreSQL works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sse_kit.transports.postgres_settings import PostgresSettings
from tests.transports.postgres.tools import run_sql

PAGE = Path(__file__).resolve().parents[3] / "docs" / "transports" / "postgres.md"
TEXT = PAGE.read_text()
BLOCKS = {
    language: re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for language in ("python", "sql")
}


@pytest.mark.parametrize("block", BLOCKS["python"], ids=range(len(BLOCKS["python"])))
def test_a_python_block_runs(block: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stands alone, beside a database."""
    monkeypatch.setenv("DATABASE_URL", url)
    exec(compile(block, str(PAGE), "exec"), {"__name__": "page"})  # noqa: S102


def test_the_sql_blocks_run(url: str) -> None:
    """The rights that a role needs, and the query."""
    run_sql(url, "DROP ROLE IF EXISTS app", "CREATE ROLE app", *BLOCKS["sql"])
    run_sql(url, "DROP OWNED BY app", "DROP ROLE app")


def test_every_setting_is_told() -> None:
    """And no other one."""
    rows = re.findall(r"^\| (`.+?) \|", TEXT, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    settings = {field.alias or name for name, field in PostgresSettings.model_fields.items()}
    assert told == settings
