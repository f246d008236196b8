"""The page about NATS: its blocks work, and it tells every setting."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sse_kit.transports.nats_stream import NatsSettings

if TYPE_CHECKING:
    from sse_kit.testing.engines import Reachable

PAGE = Path(__file__).resolve().parents[3] / "docs" / "transports" / "nats.md"
TEXT = PAGE.read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_python_block_runs(
    block: str, nats_engine: Reachable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stands alone, beside a server."""
    monkeypatch.setenv("NATS_URL", nats_engine.url)
    exec(compile(block, str(PAGE), "exec"), {"__name__": "page"})  # noqa: S102


def test_every_setting_is_told() -> None:
    """And no other one."""
    rows = re.findall(r"^\| (`.+?) \|", TEXT, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert told == {"url", *NatsSettings.model_fields}
