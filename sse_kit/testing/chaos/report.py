"""Totals over runs: as text, as a row of a table, in a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from pydantic import TypeAdapter

from sse_kit.testing.chaos.judge import Counts

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Totals:
    """What came of all runs of one engine."""

    engine: str
    counts: Counts = field(default_factory=Counts)
    faults: dict[str, int] = field(default_factory=dict[str, int])
    """How many, by kind."""
    resent: int = 0
    """Batches that were posted again, because an answer was in doubt."""
    silence: float = 0.0
    """The longest time that a client heard nothing while messages were published, in seconds."""
    seconds: float = 0.0
    seeds: list[str] = field(default_factory=list[str])

    @classmethod
    def load(cls, engine: str, path: Path | None) -> Self:
        """Return what an earlier run has left, or totals of nothing.

        Raises:
            ValueError: the file is of another engine, or no such file.
        """
        if path is None or not path.exists():
            return cls(engine)
        totals = TypeAdapter(cls).validate_json(path.read_bytes())
        if totals.engine != engine:
            problem = f"{path} is of {totals.engine!r}, not of {engine!r}: name another file"
            raise ValueError(problem)
        return totals

    def save(self, path: Path | None) -> None:
        """Leave it for the next run."""
        if path is not None:
            temporary = path.with_suffix(".new")
            temporary.write_bytes(TypeAdapter(type(self)).dump_json(self, indent=2))
            temporary.replace(path)

    @property
    def all_faults(self) -> int:
        """How many, of all kinds."""
        return sum(self.faults.values())

    def count(self, fault: str) -> None:
        """Note that a fault was committed."""
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def text(self) -> str:
        """Return all of it, a line each."""
        kinds = ", ".join(f"{name} {count:,}" for name, count in sorted(self.faults.items()))
        lines = self.columns()
        lines["engine"] += f" (seeds {', '.join(self.seeds)})"
        lines["faults"] += f" ({kinds})"
        return "\n".join(f"{name:>18}  {value}" for name, value in lines.items())

    def columns(self) -> dict[str, str]:
        """Return what is printed, by its heading."""
        counts = self.counts
        numbers = {
            "faults": self.all_faults,
            "acknowledged": counts.acknowledged,
            "delivered": counts.delivered,
            "lost": counts.lost,
            "duplicated": counts.duplicated,
            "reordered": counts.reordered,
            "altered": counts.altered,
            "gaps without cause": counts.causeless,
            "gaps announced": counts.gaps,
            "told by a gap": counts.announced,
            "batches sent again": self.resent,
        }
        return {
            "engine": self.engine,
            **{name: f"{number:,}" for name, number in numbers.items()},
            "longest silence": f"{self.silence:.1f} s",
            "seconds": f"{self.seconds:,.0f}",
        }


def table(all_totals: list[Totals]) -> str:
    """Return a table in Markdown."""
    rows = [totals.columns() for totals in all_totals]
    line = f"|---|{'---:|' * (len(rows[0]) - 1)}"
    body = (f"| {' | '.join(row.values())} |" for row in rows)
    return "\n".join((f"| {' | '.join(rows[0])} |", line, *body))
