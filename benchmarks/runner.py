"""Runs everyone in turn, and collects the samples."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.foreign import Absent
from benchmarks.model import Job, Phase, Sample
from benchmarks.scenarios import Pace, Scenario, crowds
from benchmarks.servers import ROOT, NotStarted, cores, end, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.catalogue import Peer

LONGEST = 300.0
"""Seconds after which a crowd is given up."""

CONNECT = Phase(kind="connect", name="(connect)")


class LoadFailed(Exception):
    """The load generator ended with an error."""

    def __init__(self, log: str) -> None:
        last = log.strip().splitlines()[-1:] or [f"it took longer than {LONGEST:g} s"]
        super().__init__(f"the run broke off: {last[0]}")


@dataclass(slots=True)
class Results:
    """All samples of each peer and scenario, and why others have none."""

    samples: defaultdict[tuple[str, str], list[Sample]] = field(
        default_factory=lambda: defaultdict(list)
    )
    not_run: dict[str, str] = field(default_factory=dict)

    def of(self, peer: str, key: str) -> list[Sample]:
        """Return the samples of one peer in one scenario."""
        return self.samples.get((peer, key), [])


class Runner:
    """One run of ``peers`` through ``scenarios``."""

    def __init__(self, peers: Sequence[Peer], scenarios: Sequence[Scenario], pace: Pace) -> None:
        self.results = Results()
        self.pace = pace
        self._server_core, self._own_core = cores()
        self._plan = [
            (peer, crowd)
            for repeat in range(pace.repeats)
            for peer in peers
            for crowd in crowds(scenarios, peer)
            if not (repeat and crowd[0].long)
        ]

    def run(self) -> Results:
        """Run everything; the repeats lie apart in time, so that a noisy minute hits all alike."""
        for number, (peer, crowd) in enumerate(self._plan, start=1):
            self._say(f"[{number}/{len(self._plan)}] {peer.name}, {crowd[0].subscribers:,} clients")
            self._attempt(peer, crowd)
        return self.results

    def _attempt(self, peer: Peer, crowd: Sequence[Scenario]) -> None:
        place = f"{peer.name}: {', '.join(scenario.key for scenario in crowd)}"
        try:
            with tempfile.TemporaryDirectory(prefix="sse_kit-bench-") as folder:
                self._run_crowd(peer, crowd, Path(folder))
        except Absent as reason:
            self.results.not_run[peer.name] = str(reason)
            self._say(f"    not run: {reason}")
        except (NotStarted, LoadFailed) as reason:
            self.results.not_run[place] = str(reason)
            self._say(f"    not run: {reason}")

    def _run_crowd(self, peer: Peer, crowd: Sequence[Scenario], folder: Path) -> None:
        port = free_port()
        command = peer.start_command(port, folder)
        log = folder / "server.log"
        with running(command, port=port, core=self._server_core, log=log) as process:
            job = Job(
                port=port,
                pid=process.pid,
                core=self._own_core,
                publish=peer.publish,
                path=crowd[0].path,
                subscribers=crowd[0].subscribers,
                patience=self.pace.patience,
                phases=self._phases(crowd),
            )
            kilobytes = None
            for sample in generate(job, folder):
                kilobytes = sample.kilobytes or kilobytes
                self._keep(peer, sample.model_copy(update={"kilobytes": kilobytes}))

    def _phases(self, crowd: Sequence[Scenario]) -> tuple[Phase, ...]:
        phases = tuple(scenario.at(self.pace) for scenario in crowd)
        return phases if phases[0].kind in {"connect", "storm"} else (CONNECT, *phases)

    def _keep(self, peer: Peer, sample: Sample) -> None:
        if sample.phase == CONNECT.name:
            return
        self.results.samples[peer.name, sample.phase].append(sample)
        late = "" if sample.p99 is None else f", p50 {sample.p50:.1f}, p99 {sample.p99:.1f} ms"
        kilobytes = f", {sample.kilobytes:.1f} KB" if sample.kilobytes else ""
        grown = f", {sample.grown:+.1f} MB" if sample.grown is not None else ""
        twice = f", DOUBLED {sample.doubled:,}" if sample.doubled else ""
        lost = f", LOST {sample.lost:,} of {sample.expected:,}" if sample.lost else ""
        self._say(
            f"    {sample.phase}: {sample.cost:.2f} µs each, {sample.rate:,.0f}/s"
            f"{late}{kilobytes}{grown}{lost}{twice}, generator {sample.busy:.0%} busy"
        )

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


def generate(job: Job, folder: Path) -> Iterator[Sample]:
    """Run the load generator, and yield its samples as they come.

    Raises:
        LoadFailed: it ended with an error, or was given up.

    """
    log = folder / "load.log"
    command = (sys.executable, "-m", "benchmarks.load")
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    watchdog = threading.Timer(LONGEST, process.kill)
    watchdog.start()
    try:
        assert process.stdin is not None  # noqa: S101  both are pipes
        assert process.stdout is not None  # noqa: S101
        with process.stdin, process.stdout:
            process.stdin.write(job.model_dump_json().encode())
            process.stdin.close()
            yield from map(Sample.model_validate_json, process.stdout)
        if process.wait():
            raise LoadFailed(log.read_text())
    finally:
        watchdog.cancel()
        end(process)
