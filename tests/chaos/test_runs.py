"""Short runs: the promises hold under faults, and the runner notices when they do not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sse_kit.testing.chaos.__main__ import main, run
from sse_kit.testing.chaos.cluster import ENGINES, EngineStore
from sse_kit.testing.chaos.report import Totals
from sse_kit.testing.chaos.runner import Plan
from sse_kit.testing.chaos.schedule import Fault
from sse_kit.testing.engines import EngineAbsent, RedisEngine
from sse_kit.testing.engines.plugin import missing

ROOT = Path(__file__).resolve().parents[2]
SHORT = Plan(seed="short", seconds=60.0, faults=9, messages=500, rate=400.0, round_faults=4)
"""Two rounds, with a lossy restart between them."""


@pytest.mark.parametrize("engine", ["sqlite", "redis", "nats", "postgres"])
def test_every_promise_is_kept_under_faults(engine: str) -> None:
    """Engine and apps are killed, frozen, cut off and set back; nobody misses anything unsaid."""
    totals = Totals(engine)
    try:
        failure = run(engine, SHORT, totals, lambda: None)
    except EngineAbsent as error:
        missing(engine, str(error))
    assert failure == ""
    assert totals.counts.broken == 0, totals.text()
    assert totals.counts.acknowledged >= 500
    assert totals.counts.gaps > 0
    assert totals.faults[Fault.SET_BACK_ENGINE] == 1


class Forgetful(EngineStore):
    """An engine that loses everything when it is killed, though it was never set back."""

    def __init__(self, _: Path) -> None:
        super().__init__(RedisEngine(persistence="none"))
        self.faults = (Fault.KILL_ENGINE,)


def test_an_engine_that_forgets_is_found_out() -> None:
    """Its apps announce the gap, but it has no cause; what was not delivered is lost."""
    totals = Totals("redis")
    plan = Plan(seed="forgetful", seconds=5.0, rate=400.0, round_faults=4, lossy=False, patience=5)
    try:
        failure = run(f"{__name__}:{Forgetful.__name__}", plan, totals, lambda: None)
    except EngineAbsent as error:
        missing("redis", str(error))
    assert totals.counts.causeless > 0
    assert "--- store" in failure


class Mortal(EngineStore):
    """An engine that is killed, and stays so."""

    def __init__(self) -> None:
        self.engine = RedisEngine()
        super().__init__(self.engine)
        self.faults = (Fault.KILL_ENGINE,)

    def commit(self, fault: Fault, seconds: float) -> None:
        """Kill it."""
        del fault, seconds
        self.engine.kill()


def test_a_publish_that_is_never_acknowledged_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said how long was waited, and what engine and apps wrote."""
    monkeypatch.setitem(ENGINES, "redis", lambda _: Mortal())
    plan = Plan("mortal", 1.0, rate=50_000.0, round_faults=1, lossy=False, patience=1.0)
    try:
        failure = run("redis", plan, Totals("redis"), lambda: None)
    except EngineAbsent as error:
        missing("redis", str(error))
    assert "a publish was not acknowledged in 1.0 s after the last fault" in failure
    assert "trying again" in failure


def test_runs_add_up_and_a_broken_promise_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second run goes on where the first ended; one that was broken stays broken."""
    state = tmp_path / "state.json"
    command = ["--engine", "sqlite", "--state", str(state), "--minutes", "0.01"]
    options = [*command, "--round-faults", "1", "--rate", "200", "--no-lossy", "--markdown"]
    assert main([*options, "--seed", "first"]) == 0
    totals = Totals.load("sqlite", state)
    totals.counts.lost = 1
    totals.save(state)
    assert main([*options, "--seed", "second"]) == 1
    totals = Totals.load("sqlite", state)
    assert totals.seeds == ["first", "second"]
    assert totals.all_faults == 2
    assert capsys.readouterr().out.count("| sqlite |") == 2


def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path) -> None:
    """SIGTERM, as ``timeout`` sends it, ends apps and engine, also in a shell's background."""
    arguments = ("-m", "sse_kit.testing.chaos", "--engine", "sqlite", "--round-faults", "1")
    with subprocess.Popen(
        ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, *arguments, "--no-lossy"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        assert process.stderr.readline().startswith("seed ")
        assert "promises broken" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert list(tmp_path.iterdir()) == []
