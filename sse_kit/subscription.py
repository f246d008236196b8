"""One reader of some topics: a cursor, a bounded queue, and what it may need to ask.

The rules are in :mod:`sse_kit.hub`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, TypeAlias

from sse_kit.transports.base import Gap, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sse_kit.messages import SSEMessage


@dataclass(frozen=True, slots=True)
class Entry:
    """A record made ready once for all connections; a malformed one has no message or topics."""

    position: Position
    topics: tuple[str, ...]
    frame: bytes
    message: SSEMessage | None


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


Question: TypeAlias = Locate | Read
Step: TypeAlias = Ask | Question


class Subscription:
    """A cursor in the log and what waits to be taken; ``wake`` is called when either changes.

    The queue holds at most ``max_items`` records and ``max_bytes`` of frames, but a single record
    always fits. ``accepted`` counts the records that were ever queued.
    """

    __slots__ = (
        "accepted",
        "cursor",
        "epoch",
        "live",
        "max_bytes",
        "max_items",
        "parked_at",
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
        self.epoch = start.epoch
        self.cursor = start.offset
        self.accepted = 0
        self.live = False
        self.parked_at: int | None = None
        self.queue: deque[Item] = deque()
        self.queued_bytes = 0
        self.max_items = max_items
        self.max_bytes = max_bytes
        self.wake = wake

    @property
    def position(self) -> Position:
        """The cursor, with its epoch."""
        return Position(self.epoch, self.cursor)

    def take(self) -> list[Item]:
        """Empty the queue."""
        items = list(self.queue)
        self.queue.clear()
        self.queued_bytes = 0
        return items

    def push(self, entry: Entry) -> None:
        """Take a matching record from the tail, if LIVE."""
        offset = entry.position.offset
        if not self.live or offset <= self.cursor:
            return
        if not self.has_room(entry):
            self.fall_back(offset - 1)
            return
        self.enqueue(entry)
        self.wake()

    def has_room(self, entry: Entry) -> bool:
        """Tell whether the queue can take it; an empty queue takes a record of any size."""
        if not self.queue:
            return True
        within_bytes = self.queued_bytes + len(entry.frame) <= self.max_bytes
        return within_bytes and len(self.queue) < self.max_items

    def enqueue(self, entry: Entry) -> None:
        """Queue a record and move the cursor to it, in one step."""
        self.queue.append(entry)
        self.queued_bytes += len(entry.frame)
        self.accepted += 1
        self.cursor = entry.position.offset

    def fall_back(self, seen: int) -> None:
        """Go from LIVE to CATCHUP: all matching records up to ``seen`` are taken or queued."""
        self.live = False
        self.cursor = max(self.cursor, seen)

    def resume_at(self, position: Position) -> None:
        """Move to where the engine says this subscription stands."""
        self.epoch = position.epoch
        self.cursor = position.offset
