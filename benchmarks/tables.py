"""Markdown tables of the results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.catalogue import NCHAN, Family
from benchmarks.stats import ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.goals import Goal
    from benchmarks.scenarios import Scenario
    from benchmarks.summary import Field, Summary

TOO_BUSY = 0.85
"""A generator that works more than this share of its time may be what was measured."""

NONE = "–"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, its columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    rule = ["-" * width for width in widths]
    rule[1:] = [f"{dashes[:-1]}:" for dashes in rule[1:]]
    return "\n".join(_line(cells, widths) for cells in (headers, rule, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
    return f"| {' | '.join(padded)} |"


def number(value: float | None) -> str:
    """Return a value with the three figures that a measurement like this can have."""
    if value is None:
        return NONE
    value = float(f"{value:.3g}")
    if abs(value) >= 100:  # noqa: PLR2004  three figures
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"  # noqa: PLR2004


def times(value: float | None, base: float | None) -> str:
    """Return a ratio."""
    return number(ratio(value, base))


def busy(share: float) -> str:
    """Return how busy the generator was, and warn where it was the limit."""
    return f"**{share:.0%}** (!)" if share > TOO_BUSY else f"{share:.0%}"


def lost(summary: Summary) -> str:
    """Return how many events never came."""
    return "0" if not summary.lost else f"**{summary.lost:,}** of {summary.expected:,}"


def doubled(summary: Summary) -> str:
    """Return how many events came twice."""
    return "0" if not summary.doubled else f"**{summary.doubled:,}**"


def comparison(scenario: Scenario, field: Field) -> str:
    """Return the table of one scenario: everyone, and their ratios."""
    shows_rate = scenario.phase.kind != "paced"
    shows_latency = scenario.unit == "delivery"
    names = sorted(field.rows, key=lambda name: field.rows[name].cost)
    headers = _headers(scenario, shows_rate=shows_rate, shows_latency=shows_latency)
    rows = []
    for name in names:
        row = field.rows[name]
        cells = [_name(field, name), number(row.cost), *_ratios(row.cost, field)]
        if shows_rate:
            cells += [number(row.rate), *_rates(row.rate, field)]
        if shows_latency:
            cells += [number(row.p50), number(row.p99)]
        cells += [number(row.kilobytes), lost(row), f"{row.spread:.0%}", busy(row.busy)]
        rows.append(cells)
    return table(headers, rows)


def _headers(scenario: Scenario, *, shows_rate: bool, shows_latency: bool) -> list[str]:
    ratios = ["× nchan", "× best Python"]
    headers = ["", f"CPU µs per {scenario.unit}", *ratios]
    if shows_rate:
        units = "deliveries" if scenario.unit == "delivery" else f"{scenario.unit}s"
        headers += [f"{units}/s", *ratios]
    if shows_latency:
        headers += ["p50 ms", "p99 ms"]
    return [*headers, "KB each", "lost", "spread", "generator busy"]


def _name(field: Field, name: str) -> str:
    ours = field.peers[name].family in {Family.OURS, Family.SERVER}
    return f"**{name}**" if ours else name


def _ratios(cost: float, field: Field) -> list[str]:
    bases = (field.get(name) for name in (NCHAN, field.cheapest_python()))
    return [times(cost, base.cost if base else None) for base in bases]


def _rates(rate: float, field: Field) -> list[str]:
    bases = (field.get(name) for name in (NCHAN, field.fastest_python()))
    return [times(rate, base.rate if base else None) for base in bases]


def curve(points: Sequence[tuple[Scenario, Summary]]) -> str:
    """Return the table of a curve: one row for each point."""
    unit = points[0][0].unit
    headers = ["", f"CPU µs per {unit}", "per second", "s until done", "p50 ms", "p99 ms"]
    checked = [scenario.phase.checked for scenario, _ in points]
    headers += ["doubled", "MB grown"] if any(checked) else ["KB each"]
    rows = [[scenario.point, *_point(row, checked=any(checked))] for scenario, row in points]
    return table([*headers, "lost", "spread", "generator busy"], rows)


def _point(row: Summary, *, checked: bool) -> list[str]:
    figures = [*map(number, (row.cost, row.rate, row.seconds, row.p50, row.p99))]
    figures += [doubled(row), number(row.grown)] if checked else [number(row.kilobytes)]
    return [*figures, lost(row), f"{row.spread:.0%}", busy(row.busy)]


def goals(wanted: Sequence[Goal]) -> str:
    """Return the table of the goals."""
    verdicts = {True: "met", False: "**missed**", None: "not measured"}
    rows = [
        [
            goal.what,
            f"{'≥' if goal.at_least else '≤'} {number(goal.limit)} {goal.unit}".rstrip(),
            f"{number(goal.measured)} {goal.unit}".rstrip() if goal.measured is not None else NONE,
            verdicts[goal.met],
        ]
        for goal in wanted
    ]
    return table(["", "goal", "measured", ""], rows)
