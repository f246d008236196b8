"""One reader of some topics: a cursor, a bounded queue, and what it may need to ask.

The rules are in :mod:`sse_kit.hub`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, TypeAlias

from sse_kit.transports.base import Gap, Position

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, MutableMapping
    from contextvars import Context

    from sse_kit.messages import SSEMessage


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A record made ready once for all connections; a malformed one has no message or topics.

    ``before`` is the mark of the record before it, where one that the tail brought has one.
    """

    position: Position
    topics: tuple[str, ...]
    frame: bytes
    message: SSEMessage | None
    before: str | None = None


Item: TypeAlias = Entry | Gap
"""What waits in a queue."""


class Ask(Enum):
    """What a subscription needs next, where that is not a question to the engine."""

    READY = auto()
    WAIT = auto()


@dataclass(frozen=True, slots=True)
class Locate:
    """Ask the engine where this is now."""

    position: Position
    turn: int


@dataclass(frozen=True, slots=True)
class Read:
    """Ask the engine what follows this."""

    position: Position
    turn: int


@dataclass(frozen=True, slots=True)
class Verify:
    """Ask the engine whether this, the hub's head, is still part of its log."""

    position: Position
    turn: int


Question: TypeAlias = Locate | Read | Verify
Step: TypeAlias = Ask | Question


class Audience:
    """The subscriptions of one set of topics; ``accepted`` counts what its LIVE ones were given."""

    __slots__ = ("_roster", "accepted", "entries", "live", "size", "topics", "touched")

    def __init__(self, topics: frozenset[str]) -> None:
        self.topics = topics
        self.size = 0
        self.live: dict[Subscription, None] = {}
        self._roster: tuple[Subscription, ...] | None = None
        self.entries: list[Entry] = []
        self.accepted = 0
        self.touched = 0.0
        """When its LIVE ones were last written to past their queues (seconds, monotonic)."""

    def enter(self, subscription: Subscription) -> None:
        """Count it among the LIVE ones."""
        self.live[subscription] = None
        self._roster = None

    def leave(self, subscription: Subscription) -> None:
        """Count it no more."""
        del self.live[subscription]
        self._roster = None

    def roster(self) -> tuple[Subscription, ...]:
        """Return the LIVE ones of this moment; the same until one comes or goes."""
        if self._roster is None:
            self._roster = tuple(self.live)
        return self._roster


class _Outlet:
    """What is touched at every delivery, in one place: side by side in memory too."""

    __slots__ = ("context", "send")

    context: Context | None
    """What ``send`` runs in; None: there is nothing in it, so any empty one will do."""

    send: Callable[[MutableMapping[str, Any]], Awaitable[object]] | None


class Subscription(_Outlet):
    """A cursor in the log and what waits to be taken; ``wake`` is called when either changes.

    ``position`` is the cursor of one that is not LIVE; of a LIVE one it is the hub's head. The
    queue holds at most ``max_items`` records and ``max_bytes`` of frames, but a single record
    always fits. While nothing is queued for a LIVE one and its writer is idle, ``send`` is set, to
    be called past the queue: see :mod:`sse_kit.inline`.

    ``arrives``: it came with a mark, and may know more than the hub: of a fork, behind which the
    hub's ring still has the records that are lost.
    """

    __slots__ = (
        "_accepted",
        "arrives",
        "audience",
        "live",
        "max_bytes",
        "max_items",
        "position",
        "queue",
        "queued_bytes",
        "topics",
        "wake",
    )

    def __init__(
        self,
        topics: Iterable[str],
        start: Position,
        *,
        wake: Callable[[], None],
        max_items: int,
        max_bytes: int,
    ) -> None:
        self.topics = frozenset(topics)
        self.position = start
        self.arrives = start.mark is not None
        self.audience = Audience(self.topics)
        self.send = None
        self.live = False
        self.queue: list[Item] = []
        self.queued_bytes = 0
        self.max_items = max_items
        self.max_bytes = max_bytes
        self.wake = wake
        self._accepted = 0

    @property
    def accepted(self) -> int:
        """How many records were ever queued for it or written."""
        return self._accepted + self.audience.accepted if self.live else self._accepted

    @property
    def dropped(self) -> int:
        """How many records were dropped: none, but see :mod:`sse_kit.overflow`."""
        return 0

    @property
    def touched(self) -> float:
        """When it was last written to past its queue, or others of its audience were."""
        return self.audience.touched if self.live else 0.0

    def take(self) -> list[Item]:
        """Empty the queue."""
        items, self.queue = self.queue, []
        self.queued_bytes = 0
        return items

    def push(self, entries: list[Entry]) -> None:
        """Take matching records from the tail, if LIVE."""
        if not self.live:
            return
        self.send = None
        for number, entry in enumerate(entries):
            if not self.accept(entry):
                epoch, offset = entry.position.epoch, entry.position.offset
                self.fall_back(Position(epoch, offset - 1, entry.before))
                self._accepted -= len(entries) - number
                break
        self.wake()

    def accept(self, entry: Entry) -> bool:
        """Queue a record of the tail; False: there is no room."""
        if not self.has_room(entry):
            return False
        self._put(entry)
        return True

    def has_room(self, entry: Entry) -> bool:
        """Tell whether the queue can take it; an empty queue takes a record of any size."""
        if not self.queue:
            return True
        within_bytes = self.queued_bytes + len(entry.frame) <= self.max_bytes
        return within_bytes and len(self.queue) < self.max_items

    def enqueue(self, entry: Entry) -> bool:
        """Queue a record it caught up with and move the cursor to it; False: there is no room."""
        if not self.has_room(entry):
            return False
        self._put(entry)
        self._accepted += 1
        self.position = entry.position
        return True

    def _put(self, entry: Entry) -> None:
        self.queue.append(entry)
        self.queued_bytes += len(entry.frame)

    def go_live(self) -> None:
        """Go from CATCHUP to LIVE: all matching records up to the head are taken or queued."""
        self.live = True
        self.audience.enter(self)
        self._accepted -= self.audience.accepted

    def fall_back(self, position: Position) -> None:
        """Go from LIVE to CATCHUP: all matching records up to there are taken or queued."""
        self.send = None
        if self.live:
            self.live = False
            self.audience.leave(self)
            self._accepted += self.audience.accepted
        self.position = position


Deliver: TypeAlias = "Callable[[tuple[Subscription, ...], list[Entry]], None]"
"""Gives the same records to several subscriptions."""


def push_all(subscriptions: tuple[Subscription, ...], entries: list[Entry]) -> None:
    """Queue them: the plain way to deliver."""
    for subscription in subscriptions:
        subscription.push(entries)
