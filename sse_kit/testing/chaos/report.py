"""Totals over runs: as text, as a row of a table, in a file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Self

from pydantic import TypeAdapter

from sse_kit.testing.chaos.judge import Counts

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = ("lost", "duplicated", "reordered", "altered", "causeless")
HEADINGS = (
    *("engine", "faults", "acknowledged", "delivered", "lost", "duplicated", "reordered"),
    *("gaps announced", "told by a gap", "without cause", "longest silence", "seconds"),
)


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
        faults = ", ".join(f"{name} {count:,}" for name, count in sorted(self.faults.items()))
        lines = {
            "engine": f"{self.engine} (seeds {', '.join(self.seeds)})",
            "faults": f"{self.all_faults:,} ({faults})",
            **{each.name: f"{getattr(self.counts, each.name):,}" for each in fields(Counts)},
            "batches sent again": f"{self.resent:,}",
            "longest silence": f"{self.silence:.2f} s",
            "seconds": f"{self.seconds:.0f}",
        }
        return "\n".join(f"{name:>18}  {value}" for name, value in lines.items())

    def row(self) -> str:
        """Return a row of the table."""
        counts = asdict(self.counts)
        numbers = (
            counts[name] for name in ("acknowledged", "delivered", *BROKEN[:3], "gaps", "announced")
        )
        cells = (
            *(self.engine, f"{self.all_faults:,}", *(f"{number:,}" for number in numbers)),
            *(f"{self.counts.causeless:,}", f"{self.silence:.1f} s", f"{self.seconds:,.0f}"),
        )
        return f"| {' | '.join(cells)} |"


def table(all_totals: list[Totals]) -> str:
    """Return a table in Markdown."""
    head = f"| {' | '.join(HEADINGS)} |"
    line = f"|---|{'---:|' * (len(HEADINGS) - 1)}"
    return "\n".join((head, line, *(totals.row() for totals in all_totals)))
