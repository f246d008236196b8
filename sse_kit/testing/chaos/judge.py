"""Who was promised what, and who got it: pure, no clock, no I/O.

An *acknowledged* publication must reach every witness that follows one of its topics, exactly once
and in the order of the log. Only a gap excuses: one that was announced to that witness, that covers
the publication, and that has a cause. The one cause there is here is a lossy restart, after which
the engine itself does not know what it had acknowledged. A gap without a cause is a broken promise,
and excuses nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

from sse_kit.transports.base import Gap, GapReason, Position

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_COMPLAINTS = 30


@dataclass
class Counts:
    """What came of it. All but the first four are broken promises if they are not 0."""

    acknowledged: int = 0
    delivered: int = 0
    """Of each witness, the first time."""
    gaps: int = 0
    """Announced gaps that have a cause."""
    announced: int = 0
    """Publications that such a gap told a witness of, instead of being delivered."""
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    """Behind a later one, or at another place than others were told."""
    altered: int = 0
    """Not what was published, or to whom it is not for."""
    causeless: int = 0
    """Gaps without a cause."""

    @property
    def broken(self) -> int:
        """How often a promise was broken."""
        return self.lost + self.duplicated + self.reordered + self.altered + self.causeless

    def __add__(self, other: Self) -> Self:
        mine = asdict(self)
        return type(self)(**{name: mine[name] + value for name, value in asdict(other).items()})


class Acknowledged(NamedTuple):
    """A publication that the application has said is stored."""

    key: str
    topics: tuple[str, ...]
    position: Position
    era: int
    """How many lossy restarts were before the answer."""


class Judge:
    """All witnesses of one log; ``settle`` ends a round in which every publish was answered."""

    def __init__(self) -> None:
        self.era = 0
        self.complaints: list[str] = []
        """What was broken, a sentence each; of a flood only the first."""
        self._counts = Counts()
        self._witnesses: list[Witness] = []
        self._acknowledged: dict[str, Acknowledged] = {}
        self._settled: set[str] = set()
        self._places: dict[tuple[str, int], str] = {}

    def witness(self, topics: Iterable[str]) -> Witness:
        """Add somebody who follows ``topics`` from now on."""
        name = f"client {len(self._witnesses)}"
        witness = Witness(self, name, frozenset(topics))
        self._witnesses.append(witness)
        return witness

    def acknowledge(self, key: str, topics: tuple[str, ...], position: Position) -> None:
        """Note that a publish was answered; it is owed to its witnesses from now on."""
        told = Acknowledged(key, topics, position, self.era)
        self._acknowledged[key] = told
        self._counts.acknowledged += 1
        self.place(key, position)
        for witness in self._witnesses:
            witness.owe(told)

    def lossy_restart(self) -> None:
        """Note that the engine is about to forget: each witness may be told of one gap more."""
        self.era += 1
        self._places.clear()

    def owed(self) -> int:
        """Count what is still to come, over all witnesses."""
        return sum(len(witness.owed) for witness in self._witnesses)

    def settle(self) -> Counts:
        """Take what did not come as lost; return the counts since the last time."""
        counts, self._counts = self._counts, Counts()
        for witness in self._witnesses:
            counts += witness.settle()
        self._settled.update(self._acknowledged)
        self._acknowledged.clear()
        self._places.clear()
        return counts

    def place(self, key: str, position: Position) -> None:
        """Note where a publication is said to be; nothing else may be there."""
        there = self._places.setdefault((position.epoch, position.offset), key)
        if there != key:
            self._counts.reordered += 1
            self.complain(f"{key} and {there} are both at {position}")

    def complain(self, sentence: str) -> None:
        """Note what was broken, for whoever has to find out why."""
        if len(self.complaints) < MAX_COMPLAINTS:
            self.complaints.append(f"{sentence} (era {self.era})")

    def is_settled(self, key: str) -> bool:
        """Tell whether it was acknowledged in an earlier round."""
        return key in self._settled


class Witness:
    """One client: what it is owed, what it was given, where it stands."""

    def __init__(self, judge: Judge, name: str, topics: frozenset[str]) -> None:
        self.name = name
        self.topics = topics
        self.owed: dict[str, Acknowledged] = {}
        self._judge = judge
        self._counts = Counts()
        self._had: set[str] = set()
        self._at: dict[str, int] = {}
        self._offset = 0
        self._told_of = judge.era
        self._gap: Gap | None = None
        self._starts_over = False

    def owe(self, told: Acknowledged) -> None:
        """Expect a publication, unless it is not for this one or came before its answer."""
        if told.key in self._had or not self.topics.intersection(told.topics):
            return
        if self._gap is not None and self._covers(self._gap, told):
            self._counts.announced += 1
        else:
            self.owed[told.key] = told

    def deliver(self, key: str | None, topics: Iterable[str], position: Position) -> None:
        """Take what the stream says; ``key`` is None if nobody has published this."""
        if key is None or not self.topics.intersection(topics):
            self._counts.altered += 1
            self._complain(f"was given {key} of {topics} at {position}, which is not for it")
            return
        if self._came_before(key):
            self._counts.duplicated += 1
            self._complain(f"was given {key} again, at {position}")
            return
        if position.offset <= self._offset:
            self._counts.reordered += 1
            self._complain(f"was given {key} at {position}, but had been at {self._offset}")
        self._offset = max(self._offset, position.offset)
        self._judge.place(key, position)
        self._take(key, position)

    def gap(self, gap: Gap) -> None:
        """Take that something was missed."""
        if self._starts_over and gap.reason is GapReason.TRIMMED:
            # Of what is repeated the first is let go before it is read; what is owed is owed.
            self._offset = gap.resume.offset
            return
        if self._told_of == self._judge.era:
            self._counts.causeless += 1
            self._complain(f"was told of a gap without a cause: {gap}, at {self._offset}")
            return
        self._told_of = self._judge.era
        self._gap = gap
        self._counts.gaps += 1
        for told in [told for told in self.owed.values() if self._covers(gap, told)]:
            del self.owed[told.key]
            self._counts.announced += 1
        self._go_back(gap)

    def settle(self) -> Counts:
        """Return the counts, with what is still owed as lost."""
        counts, self._counts = self._counts, Counts()
        counts.lost += len(self.owed)
        for told in self.owed.values():
            self._complain(f"was not given {told.key} at {told.position} of era {told.era}")
        self._told_of = self._judge.era
        self.owed.clear()
        self._had.clear()
        self._at.clear()
        return counts

    def _complain(self, what: str) -> None:
        self._judge.complain(f"{self.name} {what}")

    def _came_before(self, key: str) -> bool:
        """Tell whether it was delivered in the present history: a log that starts over repeats."""
        return key in self._at or (self._judge.is_settled(key) and not self._starts_over)

    def _take(self, key: str, position: Position) -> None:
        self._at[key] = position.offset
        self.owed.pop(key, None)
        if self._judge.is_settled(key):
            return
        self._starts_over = False  # what is new comes after all that is repeated
        if key not in self._had:
            self._counts.delivered += 1
            self._had.add(key)

    def _covers(self, gap: Gap, told: Acknowledged) -> bool:
        """Tell whether the gap is about a publication.

        Of those before the restart: what was after the fork. Of those after it: what the client is
        told to skip, where an engine does not know the fork and resumes behind it.
        """
        if gap.reason is GapReason.AHEAD:
            is_after = told.position.offset > gap.resume.offset
            return is_after != (told.era == self._judge.era)
        return gap.reason is GapReason.EPOCH and told.era != self._judge.era

    def _go_back(self, gap: Gap) -> None:
        """Stand where the gap resumes; what came after that is undone, and may come again."""
        self._offset = gap.resume.offset
        self._at = {key: offset for key, offset in self._at.items() if offset <= self._offset}
        if gap.reason is GapReason.EPOCH:
            self._at.clear()
            self._starts_over = True
