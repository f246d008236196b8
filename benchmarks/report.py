"""RESULTS.md, the chart and the raw numbers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from benchmarks import tables
from benchmarks.catalogue import WORKERS, Family, Peer
from benchmarks.goals import Board
from benchmarks.plot import Bar, Chart, svg
from benchmarks.summary import Field, Summary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.runner import Results
    from benchmarks.scenarios import Pace, Scenario

NOT_WORKERS = (
    f"- {WORKERS} took part in opening connections alone: the memory transport of a worker reaches "
    "the clients of that worker, so a publish would arrive at about half of them. One core, as for "
    "all; two workers are no faster on it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run, and where it was made."""

    results: Results
    peers: Sequence[Peer]
    scenarios: Sequence[Scenario]
    pace: Pace
    facts: dict[str, str]
    versions: dict[str, str]

    def markdown(self) -> str:
        """Return RESULTS.md."""
        board = Board(self.results, lambda key: self._field(key).fastest_python())
        parts = [
            "# Results",
            "Written by `python3 dev.py bench`; [README.md](README.md) says what is measured.",
            "![CPU per delivery, and deliveries a second, by peer](results.svg)",
            "## Goals",
            tables.goals(board.goals()),
            *self._sections(),
            "## Not run",
            "\n".join(self._absences()),
            "## Machine and versions",
            tables.table(["", ""], [[name, value] for name, value in self.facts.items()]),
            self._noise(),
            ", ".join(f"{name} {version}" for name, version in self.versions.items()) + ".",
        ]
        return "\n\n".join(parts) + "\n"

    def _field(self, key: str) -> Field:
        return Field.of(self.results, self.peers, key)

    def _sections(self) -> list[str]:
        parts: list[str] = []
        for _, group in groupby(self.scenarios, key=lambda scenario: scenario.name):
            scenarios = list(group)
            body = self._curve(scenarios) if scenarios[0].point else self._table(scenarios[0])
            if body:
                parts += [f"## {scenarios[0].title}", *body]
        return parts

    def _table(self, scenario: Scenario) -> list[str]:
        field = self._field(scenario.key)
        if not field.rows:
            return []
        best = dict.fromkeys(
            name for name in (field.cheapest_python(), field.fastest_python()) if name
        )
        names = list(best) if scenario.phase.kind != "paced" else list(best)[:1]
        note = f"Best Python peer: {' by CPU, '.join(names) or 'none'}. {self._limits(field)}"
        return [tables.comparison(scenario, field), note]

    def _limits(self, field: Field) -> str:
        slow = [name for name, row in field.rows.items() if row.busy > tables.TOO_BUSY]
        if not slow:
            return "The generator was not the limit."
        return f"(!) The generator may have been the limit of {', '.join(slow)}."

    def _curve(self, scenarios: Sequence[Scenario]) -> list[str]:
        points = [
            (scenario, summary)
            for scenario in scenarios
            for summary in self._field(scenario.key).rows.values()
        ]
        return [tables.curve(points)] if points else []

    def _absences(self) -> list[str]:
        lines = [f"- {name}: {reason}." for name, reason in self.results.not_run.items()]
        if any(peer.name == WORKERS for peer in self.peers):
            lines.append(NOT_WORKERS)
        return lines or ["Nothing: everyone took part."]

    def _noise(self) -> str:
        summaries = [
            summary
            for samples in self.results.samples.values()
            if (summary := Summary.of(samples)) is not None
        ]
        if not summaries:
            return "Nothing was measured."
        spreads = sorted(summary.spread for summary in summaries)
        busy = max(summary.busy for summary in summaries)
        if self.pace.repeats == 1:
            return f"Each was measured once. The generator was busy for at most {busy:.0%} of it."
        return (
            f"Each measurement was made {self.pace.repeats} times, the tables show the median. "
            f"From the lowest to the highest cost it was {spreads[len(spreads) // 2]:.0%} of the "
            f"median in the middle case, {spreads[-1]:.0%} in the worst. The generator was busy "
            f"for at most {busy:.0%} of a measurement."
        )

    def chart(self) -> str | None:
        """Return results.svg; None where neither of its scenarios was measured."""
        charts = [
            self._chart("paced", "CPU µs per delivery, less is better", by_cost=True),
            self._chart("burst", "Deliveries a second on one core, more is better", by_cost=False),
        ]
        drawn = [chart for chart in charts if chart is not None]
        return svg(drawn) if drawn else None

    def _chart(self, key: str, title: str, *, by_cost: bool) -> Chart | None:
        field = self._field(key)
        notes = {scenario.key: scenario.title for scenario in self.scenarios}
        bars = [
            Bar(name, row.cost if by_cost else row.rate, field.peers[name].family is Family.OURS)
            for name, row in field.rows.items()
            if field.peers[name].family not in {Family.SERVER, Family.FLOOR}
        ]
        bars.sort(key=lambda bar: bar.value, reverse=not by_cost)
        return Chart(title, notes[key], bars) if bars else None

    def write(self, folder: Path) -> None:
        """Write everything into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "RESULTS.md").write_text(self.markdown())
        if chart := self.chart():
            (folder / "results.svg").write_text(chart)
        (folder / "results.jsonl").write_text(self._raw())

    def _raw(self) -> str:
        lines = [
            f'{{"peer": "{peer}", "sample": {sample.model_dump_json()}}}'
            for (peer, _), samples in self.results.samples.items()
            for sample in samples
        ]
        return "\n".join(lines) + "\n"
