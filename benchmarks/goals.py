"""What the design promises, as arithmetic on the results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.catalogue import BARE, FASTHTML, NCHAN, OURS
from benchmarks.scenarios import READS, STALLS
from benchmarks.stats import ratio
from benchmarks.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.runner import Results

ACCEPT_BARE = 170.0
"""Microseconds for accepting a connection and its first bytes, as a bare ASGI app."""

ACCEPT_OF_EMPTY = ACCEPT_BARE / 152.0
"""The same as a multiple of an empty stream, which took 152 where that was measured."""

ACCEPT_ABOVE_EMPTY = 40.0
MEMORY_ABOVE_EMPTY = 2.0
"""What a stream in Starlette may take above an empty one: microseconds, and KB."""

BESIDE_STALLED = 2.0
"""How many times as late the others may be beside a client that never reads."""

STALLED_MEMORY = 8.0
"""MB that it may cost: its queue's one, as often as it is copied on its way, and noise."""

FLAT = 1.25
"""A cost that is constant may be this much higher at the far end of its curve: noise."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One promise: ``measured`` is to be at most ``limit``, or at least."""

    what: str
    measured: float | None
    limit: float | None
    unit: str
    at_least: bool = field(default=False, kw_only=True)

    @property
    def met(self) -> bool | None:
        """Tell whether it holds; None where something was not measured."""
        if self.measured is None or self.limit is None:
            return None
        if self.at_least:
            return self.measured >= self.limit
        return self.measured <= self.limit


class Board:
    """Looks up what the goals are about; ``fastest_python`` names that peer in a scenario."""

    def __init__(self, results: Results, fastest_python: Callable[[str], str | None]) -> None:
        self._results = results
        self._fastest_python = fastest_python

    def cost(self, peer: str, key: str) -> float | None:
        """Return the CPU microseconds of one unit."""
        row = self._row(peer, key)
        return row.cost if row else None

    def rate(self, peer: str | None, key: str) -> float | None:
        """Return the units a second."""
        row = self._row(peer, key)
        return row.rate if row else None

    def kilobytes(self, peer: str) -> float | None:
        """Return what an idle connection takes."""
        row = self._row(peer, "connect")
        return row.kilobytes if row else None

    def p99(self, peer: str) -> float | None:
        """Return the latency in the large crowd."""
        row = self._row(peer, "many")
        return row.p99 if row else None

    def _row(self, peer: str | None, key: str) -> Summary | None:
        return None if peer is None else Summary.of(self._results.of(peer, key))

    def goals(self) -> list[Goal]:
        """Return every goal."""
        return [
            *self._paced(),
            *self._bursts(),
            *self._slow(),
            *self._idle(),
            *self._curves(),
        ]

    def _paced(self) -> list[Goal]:
        ours = self.cost(OURS, "paced")
        what = "paced, CPU per delivery"
        by_nchan = ratio(ours, self.cost(NCHAN, "paced"))
        by_fasthtml = ratio(ours, self.cost(FASTHTML, "paced"))
        return [
            Goal(what, by_nchan, 1.1, "× nchan"),
            Goal(what, by_fasthtml, 0.5, f"× {FASTHTML}"),
            Goal("p99 in the large crowd (nchan's)", self.p99(OURS), self.p99(NCHAN), "ms"),
        ]

    def _bursts(self) -> list[Goal]:
        ours = self.rate(OURS, "burst")
        best = self.rate(self._fastest_python("burst"), "burst")
        ten = ratio(self.rate(OURS, "ten-per-turn"), self.rate(NCHAN, "ten-per-turn"))
        what, by_nchan = "burst, deliveries/s", ratio(ours, self.rate(NCHAN, "burst"))
        return [
            Goal(what, by_nchan, 1.5, "× nchan", at_least=True),
            Goal(what, ratio(ours, best), 3, "× the best Python peer", at_least=True),
            Goal("ten events per turn, deliveries/s", ten, 10, "× nchan", at_least=True),
        ]

    def _slow(self) -> list[Goal]:
        reads, stalls = (self._row(OURS, f"slow {point}") for point in (READS, STALLS))
        what = "100 subscribers beside one that never reads"
        late = wrong = memory = None
        if reads and stalls:
            late = ratio(stalls.p99, reads.p99)
            wrong = sum(row.lost + row.doubled for row in (reads, stalls))
            memory = plus(stalls.grown, -(reads.grown or 0.0))
        return [
            Goal(f"{what}, p99", late, BESIDE_STALLED, "× without it"),
            Goal(f"{what}: events lost or doubled", wrong, 0, ""),
            Goal(f"{what}: server memory more than without it", memory, STALLED_MEMORY, "MB"),
        ]

    def _idle(self) -> list[Goal]:
        memory = plus(self.kilobytes("empty-starlette"), MEMORY_ABOVE_EMPTY)
        cpu = plus(self.cost("empty-starlette", "connect"), ACCEPT_ABOVE_EMPTY)
        bare, ours = self.cost(BARE, "connect"), self.cost(OURS, "connect")
        nchan, of_empty = self.kilobytes(NCHAN), ratio(bare, self.cost("empty-bare", "connect"))
        return [
            Goal("idle connection, bare ASGI (nchan's)", self.kilobytes(BARE), nchan, "KB"),
            Goal("idle, Starlette (empty one + 2 KB)", self.kilobytes(OURS), memory, "KB"),
            Goal("accept to first byte, bare ASGI", bare, ACCEPT_BARE, "µs"),
            Goal("the same, against an empty stream", of_empty, ACCEPT_OF_EMPTY, "× empty-bare"),
            Goal("accept to first byte, Starlette (empty one + 40 µs)", ours, cpu, "µs"),
        ]

    def _curves(self) -> list[Goal]:
        subscribers = self._growth(
            "subscribers 1,000 subscribers", "subscribers 10,000 subscribers"
        )
        topics = self._growth("topics 1 topic", "topics 100,000 topics")
        return [
            Goal("CPU per delivery, 10,000 subscribers for 1,000", subscribers, FLAT, "×"),
            Goal("CPU per unread publish, 100,000 topics for 1", topics, FLAT, "×"),
        ]

    def _growth(self, start: str, end: str) -> float | None:
        return ratio(self.cost(OURS, end), self.cost(OURS, start))


def plus(base: float | None, more: float) -> float | None:
    """Add to what may not be known."""
    return None if base is None else base + more
