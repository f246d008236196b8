"""What is measured: the work that everyone does, and the curves of our own costs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from benchmarks.catalogue import OURS, WORKERS, Family, Peer
from benchmarks.model import Phase

if TYPE_CHECKING:
    from collections.abc import Iterable

FEW = 500
MINUTE = 60.0

READS = "all read"
STALLS = "one more never reads"
"""The points of ``slow``."""

RIVALS = frozenset({Family.OURS, Family.PYTHON, Family.OTHER})
EVERYONE = frozenset(Family)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how often: the lengths of the scenarios are multiplied by ``length``.

    By ``long`` those of a minute or more.
    """

    repeats: int
    length: float
    long: float
    patience: float
    many: int


FULL = Pace(repeats=3, length=1.0, long=1.0, patience=10.0, many=8_000)
QUICK = Pace(repeats=1, length=0.5, long=0.2, patience=5.0, many=2_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One measurement; a curve is several of one name, which differ in their ``point``."""

    name: str
    title: str
    subscribers: int
    phase: Phase
    takes: frozenset[Family] = frozenset()
    point: str = ""
    unit: str = "delivery"
    path: str = "/events"

    @property
    def key(self) -> str:
        """The name of this point."""
        return f"{self.name} {self.point}".rstrip()

    @property
    def long(self) -> bool:
        """Whether it takes a minute or more: once is enough."""
        return self.phase.seconds >= MINUTE

    def suits(self, peer: Peer) -> bool:
        """Tell whether ``peer`` takes part."""
        if peer.name == WORKERS or peer.publish == "nothing":
            return self.phase.kind == "connect"
        return peer.family in self.takes if self.takes else peer.name == OURS

    def at(self, pace: Pace) -> Phase:
        """Return the phase at this pace."""
        length = pace.long if self.long else pace.length
        seconds = self.phase.seconds * length
        return self.phase.model_copy(update={"name": self.key, "seconds": seconds})


def _shared(many: int) -> Iterable[Scenario]:
    yield Scenario(
        name="paced",
        title="500 subscribers, 20 events a second",
        subscribers=FEW,
        phase=Phase(kind="paced", rate=20, seconds=3),
        takes=EVERYONE,
    )
    yield Scenario(
        name="burst",
        title="500 subscribers, 100 events back to back, again when all have arrived",
        subscribers=FEW,
        phase=Phase(kind="rounds", count=100, seconds=3),
        takes=EVERYONE,
    )
    yield Scenario(
        name="ten-per-turn",
        title="500 subscribers, groups of ten events, one group for each turn of the loop",
        subscribers=FEW,
        phase=Phase(kind="rounds", count=200, group=10, seconds=3),
        takes=RIVALS,
    )
    yield Scenario(
        name="connect",
        title=f"{many:,} connections: what opening one costs, and what holding it takes",
        subscribers=many,
        phase=Phase(kind="connect"),
        takes=EVERYONE,
        unit="connection",
    )
    yield Scenario(
        name="many",
        title=f"{many:,} subscribers, 2 events a second",
        subscribers=many,
        phase=Phase(kind="paced", rate=2, seconds=5),
        takes=EVERYONE,
    )


def _curves() -> Iterable[Scenario]:
    for count in (100, 1_000, 10_000):
        yield Scenario(
            name="subscribers",
            title="Cost against subscribers: one event at a time, the next when all have it",
            point=f"{count:,} subscribers",
            subscribers=count,
            phase=Phase(kind="rounds", seconds=3),
        )
    for count in (1, 100, 10_000, 100_000):
        yield Scenario(
            name="topics",
            title="Publishing to topics that nobody here follows, beside 100 who follow another",
            point=f"{count:,} topics" if count > 1 else "1 topic",
            subscribers=100,
            phase=Phase(kind="publish", count=20_000, topics=count),
            unit="publish",
        )
    for count in (1, 5, 50):
        own = "".join(f"&topic=own:{{number}}:{each}" for each in range(1, count))
        yield Scenario(
            name="each",
            title="1,000 connections that follow several topics, all but one of them their own",
            point=f"{count} each",
            subscribers=1_000,
            phase=Phase(kind="rounds", seconds=3),
            path=f"/topics?topic=news{own}",
        )
    yield Scenario(
        name="storm",
        title="2,000 clients come back at once, each 20 messages behind",
        point="2,000 clients",
        subscribers=2_000,
        phase=Phase(kind="storm", count=20),
        unit="client",
    )


def _slow() -> Iterable[Scenario]:
    """Yield 100,000 events at about half of what the server can do, each in a turn of its own."""
    for stalled, point in enumerate((READS, STALLS)):
        yield Scenario(
            name="slow",
            title="100 subscribers, 1,000 events of 1 kB a second, and one that never reads",
            point=point,
            subscribers=100,
            phase=Phase(
                kind="paced",
                rate=250,
                count=4,
                group=1,
                size=1_000,
                seconds=100,
                stalled=stalled,
                checked=True,
            ),
        )


def everything(many: int) -> tuple[Scenario, ...]:
    """Return all scenarios; the large crowds have ``many`` subscribers."""
    return (*_shared(many), *_slow(), *_curves())


NAMES = tuple(dict.fromkeys(scenario.name for scenario in everything(FULL.many)))
CURVES = tuple(dict.fromkeys(scenario.name for scenario in _curves()))
ALIASES = {"idle": ("connect",), "curves": CURVES}


def chosen(names: Iterable[str], many: int) -> tuple[Scenario, ...]:
    """Return the scenarios of these names; all when there are none."""
    wanted = {real for name in names for real in ALIASES.get(name, (name,))}
    return tuple(each for each in everything(many) if not wanted or each.name in wanted)


def crowds(scenarios: Iterable[Scenario], peer: Peer) -> list[tuple[Scenario, ...]]:
    """Group what ``peer`` takes part in: one group runs on one crowd of one server.

    Each point of a curve has a server to itself.
    """
    suiting = [scenario for scenario in scenarios if scenario.suits(peer)]
    grouped = groupby(suiting, key=_crowd)
    return [tuple(group) for _, group in grouped]


def _crowd(scenario: Scenario) -> tuple[int, str, str]:
    alone = "" if scenario.takes else scenario.key
    return scenario.subscribers, scenario.path, alone
