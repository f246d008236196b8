"""A chart of horizontal bars as SVG, readable on a light page and on a dark one."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from benchmarks.tables import number

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 820
LABEL = 160
VALUE = 90
ROW = 26
BAR = 16
HEAD = 56
GAP = 28

STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.title { font-size: 15px; font-weight: 600 }
.note, .value { fill: #59636e }
.note { font-size: 12px }
.value { font-variant-numeric: tabular-nums }
.ours { font-weight: 600 }
rect { fill: #b6bec8 }
rect.ours { fill: #1a7f37 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .note, .value { fill: #9198a1 }
  rect { fill: #4b535d }
  rect.ours { fill: #3fb950 }
}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One peer."""

    name: str
    value: float
    ours: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """One group of bars, drawn in their order."""

    title: str
    note: str
    bars: Sequence[Bar]


def svg(charts: Sequence[Chart]) -> str:
    """Draw the charts below each other."""
    parts, top = [], 0
    for chart in charts:
        parts.append(_chart(chart, top))
        top += HEAD + ROW * len(chart.bars) + GAP
    alternative = "; ".join(chart.title for chart in charts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img">\n'
        f"<title>{escape(alternative)}</title>\n<style>{STYLE}</style>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _chart(chart: Chart, top: int) -> str:
    largest = max(bar.value for bar in chart.bars)
    lines = [
        f'<text class="title" x="0" y="{top + 20}">{escape(chart.title)}</text>',
        f'<text class="note" x="0" y="{top + 40}">{escape(chart.note)}</text>',
    ]
    for row, bar in enumerate(chart.bars):
        lines += _bar(bar, top + HEAD + ROW * row, share=bar.value / largest)
    return "\n".join(lines)


def _bar(bar: Bar, top: int, *, share: float) -> list[str]:
    kind = "ours" if bar.ours else "peer"
    width = max(share * (WIDTH - LABEL - VALUE), 1)
    base = top + BAR - 3
    end, name = LABEL + width + 8, escape(bar.name)
    return [
        f'<text class="{kind}" x="{LABEL - 10}" y="{base}" text-anchor="end">{name}</text>',
        f'<rect class="{kind}" x="{LABEL}" y="{top}" width="{width:.1f}" height="{BAR}" rx="3"/>',
        f'<text class="value" x="{end:.1f}" y="{base}">{number(bar.value)}</text>',
    ]
