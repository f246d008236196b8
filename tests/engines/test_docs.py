"""The page about engines for tests is true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sse_kit.testing.engines import Engine, NatsEngine, PostgresEngine, RedisEngine
from sse_kit.testing.engines.plugin import VARIANTS, missing
from sse_kit.testing.proxy import FaultProxy

PAGE = Path(__file__).resolve().parents[2] / "docs" / "transports" / "testing.md"
TEXT = PAGE.read_text()


def test_its_test_passes(tmp_path: Path) -> None:
    """As somebody else's, in a folder of its own."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    (tmp_path / "test_app.py").write_text(block)
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "--noconftest", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "skipped" in done.stdout:
        missing("redis", done.stdout)
    assert re.search(r"^\d passed", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(\w+)\(", TEXT))))
def test_what_it_calls_is_there(name: str) -> None:
    """A method of a server or of the network before it, or one of the classes."""
    places = (Engine, RedisEngine, PostgresEngine, FaultProxy)
    classes = (RedisEngine, NatsEngine, PostgresEngine, FaultProxy)
    assert any(hasattr(place, name) for place in places) or name in {c.__name__ for c in classes}


@pytest.mark.parametrize("name", [f"{kind}_engine" for kind in VARIANTS])
def test_it_tells_of_every_engine(name: str) -> None:
    """By its fixture, and by the variable of one that runs already."""
    assert f"`{name}`" in TEXT
    assert f"`own_{name.removesuffix('_engine')}`" in TEXT
    assert f"`SSE_KIT_{name.removesuffix('_engine').upper()}_URL`" in TEXT
