"""What is asked of the load generator, and what it answers: passed as JSON between processes."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from benchmarks.publisher import SIZE

Publish: TypeAlias = Literal["in-process", "per-event", "nothing"]
"""One request that lets the server publish, one POST for each event (nchan), or no events."""

Kind: TypeAlias = Literal["connect", "paced", "rounds", "publish", "storm"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Phase(_Frozen):
    """One measurement on a crowd of subscribers.

    ``connect``: what opening and holding them costs. ``paced``: ``count`` events, ``rate`` times a
    second. ``rounds``: ``count`` events at once, again when all have arrived. Both in groups of
    ``group`` for each turn of the loop (0: all in one). ``publish``: ``count`` events over
    ``topics`` topics that nobody reads. ``storm``: everyone comes at once, ``count`` events behind.

    ``stalled`` clients beside the crowd never read. ``checked``: every subscriber looks whether it
    got an event twice, not only those that measure latency.
    """

    kind: Kind
    name: str = ""
    seconds: float = 0.0
    rate: float = 0.0
    count: int = 1
    group: int = 0
    topics: int = 0
    size: int = SIZE
    stalled: int = 0
    checked: bool = False


class Job(_Frozen):
    """All phases of one run of one server, with one crowd."""

    port: int
    pid: int
    core: int | None
    publish: Publish
    path: str
    subscribers: int
    patience: float
    phases: tuple[Phase, ...]


class Sample(_Frozen):
    """One phase, measured once.

    ``done`` of ``expected`` units (deliveries, connections, publishes or clients) in ``seconds``,
    for ``cpu`` seconds of the server. ``busy`` is the share of its time that the generator worked.
    ``doubled`` deliveries came once more than they should, and are in ``done`` once; ``grown`` are
    the megabytes that the server has taken meanwhile.
    """

    phase: str
    done: int
    expected: int
    seconds: float
    cpu: float
    busy: float
    p50: float | None = None
    p99: float | None = None
    kilobytes: float | None = None
    doubled: int = 0
    grown: float | None = None

    @property
    def cost(self) -> float:
        """Microseconds of the server's CPU for each unit that was done."""
        return self.cpu / max(self.done, 1) * 1e6

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def lost(self) -> int:
        """Units that never came."""
        return self.expected - self.done
