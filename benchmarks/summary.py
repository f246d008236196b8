"""The samples of one peer in one scenario, as one row of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.catalogue import Family
from benchmarks.stats import middle, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.catalogue import Peer
    from benchmarks.model import Sample
    from benchmarks.runner import Results


@dataclass(frozen=True, slots=True)
class Summary:
    """The medians; but of ``busy`` the largest, of ``lost``, ``doubled`` and ``expected`` the sum.

    ``cost`` in microseconds of CPU, ``rate`` in units a second, ``p50`` and ``p99`` in
    milliseconds, ``seconds`` for the whole phase, ``grown`` in megabytes; ``spread`` is that of the
    cost.
    """

    cost: float
    rate: float
    seconds: float
    p50: float | None
    p99: float | None
    kilobytes: float | None
    busy: float
    lost: int
    doubled: int
    grown: float | None
    expected: int
    spread: float

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Summary | None:
        """Sum up; None of nothing."""
        if not samples:
            return None
        costs, rates = [each.cost for each in samples], [each.rate for each in samples]
        return cls(
            cost=middle(costs) or 0.0,
            rate=middle(rates) or 0.0,
            seconds=middle([each.seconds for each in samples]) or 0.0,
            p50=middle([each.p50 for each in samples]),
            p99=middle([each.p99 for each in samples]),
            kilobytes=middle([each.kilobytes for each in samples]),
            busy=max(each.busy for each in samples),
            lost=sum(each.lost for each in samples),
            doubled=sum(each.doubled for each in samples),
            grown=middle([each.grown for each in samples]),
            expected=sum(each.expected for each in samples),
            spread=spread(costs),
        )


@dataclass(frozen=True, slots=True)
class Field:
    """All peers in one scenario, and the two that the ratios compare with."""

    rows: dict[str, Summary]
    peers: dict[str, Peer]

    @classmethod
    def of(cls, results: Results, peers: Sequence[Peer], key: str) -> Field:
        """Sum up each peer that has samples."""
        found = {peer.name: Summary.of(results.of(peer.name, key)) for peer in peers}
        rows = {name: summary for name, summary in found.items() if summary is not None}
        return cls(rows, {peer.name: peer for peer in peers if peer.name in rows})

    def cheapest_python(self) -> str | None:
        """Return the Python peer that needs the least CPU."""
        return min(self._python(), key=lambda name: self.rows[name].cost, default=None)

    def fastest_python(self) -> str | None:
        """Return the Python peer that gets the most done in a second."""
        return max(self._python(), key=lambda name: self.rows[name].rate, default=None)

    def _python(self) -> list[str]:
        return [name for name, peer in self.peers.items() if peer.family is Family.PYTHON]

    def get(self, name: str | None) -> Summary | None:
        """Return a peer's row, if there is one."""
        return None if name is None else self.rows.get(name)
