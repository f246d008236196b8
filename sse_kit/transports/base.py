"""The protocol of a transport: one gapless, totally ordered log, and a tail on it.

A transport carries publications between processes. It is a log: every accepted publication takes
the next offset of the present *epoch*, without holes, so whoever reads can prove by arithmetic
that nothing is missing. Topics are only labels on a record; the registry filters.

To write your own, subclass :class:`Transport` (or just have its methods: it is a protocol) and
implement ``traits``, ``publish`` and ``tail``; add the methods of :class:`SupportsReplay` if your
engine has a history. ``sse_kit.testing.TransportConformance`` proves each promise:

======  ===========================================================================================
T1      ``publish`` returns only after the engine took it, with its position
T2      offsets of one epoch are 1, 2, 3 … without a hole; a failed publish takes none
T3      the same key inside ``traits.dedup_window`` seconds is stored once: the first position
        comes back with ``duplicate=True``, the second payload is dropped
T4      topics and payload come back byte for byte
T5      ``tail(position)`` hands out every record after it, once, in order
T6      ``tail(None)`` hands out all that is published after it was entered, and nothing older
T7      a tail that cannot go on hands out exactly one ``Gap``, then goes on from ``Gap.resume``
T8      several tails are independent; ``publish`` waits for none of them
T9      leaving a tail, also in the middle, ends it alone; an error of the body leaves as it is
T10     a cancelled ``publish`` stored the whole record, with its key, or nothing
T11     a payload over ``traits.max_payload`` raises PayloadTooLarge before anything is sent
T12     a transport that was left may be entered again; an error of the body leaves as it is
R1      ``bounds`` tells the present epoch and the first and last kept offset
R2      ``read`` hands out a contiguous run right after ``after``, at most ``limit``, with bounds
        from the same view; what is trimmed shows as ``bounds.first - 1 > after``
R3      ``locate`` gives back a position of the present log, translates one of an earlier
        generation, and answers a ``Gap`` for what is unknown or beyond the end
======  ===========================================================================================
"""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias, runtime_checkable

from sse_kit.errors import InvalidInput, InvalidPosition
from sse_kit.messages import breaks_line, check_topic, has_lone_surrogate

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from anyio.streams.memory import MemoryObjectReceiveStream

MAX_OFFSET = 2**63 - 1
MAX_KEY_BYTES = 256  # engines put keys into headers and unique indexes
TAIL_BUFFER = 16
"""Batches that wait in a tail's stream before the transport stops reading its engine."""

_NAME = re.compile(r"[0-9A-Za-z_-]{1,40}")
_POSITION = re.compile(rf"({_NAME.pattern})\.(0|[1-9][0-9]{{0,18}})(?:\.({_NAME.pattern}))?")


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the log, *after* the record with that offset: the id of an event.

    Prints as ``epoch.offset``, or ``epoch.offset.mark`` with a fingerprint of the record, where an
    engine may fork inside an epoch. 0 is before the first record. Positions have no order.

    Raises:
        InvalidPosition: outside the grammar ``[0-9A-Za-z_-]{1,40} . 0…2**63-1``.

    """

    epoch: str
    offset: int
    mark: str | None = None

    def __post_init__(self) -> None:
        for part, name in (("epoch", self.epoch), ("mark", self.mark)):
            if name is not None and not _NAME.fullmatch(name):
                raise InvalidPosition(part, name, "is no name", "use [0-9A-Za-z_-]{1,40}")
        if not 0 <= self.offset <= MAX_OFFSET:
            raise InvalidPosition("offset", self.offset, "is out of range", "use 0 to 2**63-1")

    def __str__(self) -> str:
        text = f"{self.epoch}.{self.offset}"
        return text if self.mark is None else f"{text}.{self.mark}"

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Return the position that ``text`` is the printed form of, else None: it never raises."""
        match = _POSITION.fullmatch(text)
        if match is None or int(match[2]) > MAX_OFFSET:
            return None
        return cls(match[1], int(match[2]), match[3])


@dataclass(frozen=True, slots=True)
class Publication:
    """What is published: opaque bytes for one or more topics.

    ``key`` makes it idempotent: see T3. None is no key, so it is never a duplicate.

    Raises:
        InvalidTopic: no topic, or one that is not a line of text.
        InvalidInput: a key that is not a line of text of 1 to :data:`MAX_KEY_BYTES` bytes.

    """

    topics: tuple[str, ...]
    payload: bytes
    key: str | None = None

    def __post_init__(self) -> None:
        for topic in self.topics or ("",):
            check_topic(topic)
        if self.key is not None and not _is_key(self.key):
            problem = f"is not a line of 1 to {MAX_KEY_BYTES} bytes"
            raise InvalidInput("key", self.key, problem, "use a short id, such as a UUID, or None")


def _is_key(text: str) -> bool:
    broken = breaks_line(text) or has_lone_surrogate(text)
    return not broken and 0 < len(text.encode()) <= MAX_KEY_BYTES


@dataclass(frozen=True, slots=True)
class Record:
    """What is read: a publication at its place."""

    position: Position
    topics: tuple[str, ...]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Published:
    """The answer to a publish; ``duplicate``: its key was there already, at this position."""

    position: Position
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is kept: offsets ``first`` to ``last`` of ``epoch``; empty: ``first == last + 1``.

    ``mark`` is that of the last record, if positions have marks.
    """

    epoch: str
    first: int
    last: int
    mark: str | None = field(default=None, compare=False)

    @property
    def start(self) -> Position:
        """Where a reader stands who has seen nothing of what is kept."""
        return Position(self.epoch, self.first - 1)

    @property
    def end(self) -> Position:
        """Where a reader stands who has seen all."""
        return Position(self.epoch, self.last, self.mark)


@dataclass(frozen=True, slots=True)
class Page:
    """Records and bounds from one atomic view of the log."""

    bounds: Bounds
    records: tuple[Record, ...]


class GapReason(StrEnum):
    """Why something was, or may have been, missed."""

    TRIMMED = "trimmed"
    """Older than what is kept; resumes before the first kept record."""

    EPOCH = "epoch"
    """Of another log; resumes at the start of the present one."""

    AHEAD = "ahead"
    """Beyond the end, or beyond the fork of two histories; resumes there."""

    INVALID = "invalid"
    """Not a position at all; resumes at the head."""

    DROPPED = "dropped"
    """Left out by a policy of this connection; nothing to resume."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Something is missing: a value, never an omission.

    ``resume`` is where reading goes on; ``missed`` records are left out, None if nobody can know.
    """

    reason: GapReason
    resume: Position
    missed: int | None = None


@dataclass(frozen=True, slots=True)
class Rebase:
    """The log goes on as a new epoch: the same history up to ``upto``, another one after it.

    A tail that stands up to there is handed a ``Rebase``, one that stands beyond it a ``Gap``.
    """

    old: str
    epoch: str
    upto: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in order, right after what the tail handed out before."""

    records: tuple[Record, ...]


Feed: TypeAlias = Batch | Gap | Rebase
"""What a tail hands out."""


@dataclass(frozen=True, slots=True)
class Traits:
    """Qualities of a transport, as data.

    ``shared``: other processes see what is published. ``durable``: an acknowledged publish outlives
    the engine. ``dedup_window``: seconds that a key is remembered. ``max_payload``: bytes, or None.
    """

    shared: bool
    durable: bool
    dedup_window: float
    max_payload: int | None = None


class HealthStatus(StrEnum):
    """Whether a transport can carry messages."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Health:
    """What a transport knows of its engine; ``detail`` is for people."""

    status: HealthStatus
    detail: str = ""


class Transport(Protocol):
    """What carries messages between processes: a log, and a tail on it.

    Its lifetime is an ``async with``, entered and left by the registry, in one task; it may be
    entered again after it was left, also on another event loop (T12). While it is entered any task
    of that loop may call it, many at a time; else what needs the engine raises TransportNotRunning.
    """

    @property
    @abstractmethod
    def traits(self) -> Traits:
        """Qualities, the same for the transport's whole life."""

    async def __aenter__(self) -> Self:
        """Connect; the place for task groups and pools. If it fails, it holds nothing.

        Raises:
            TransportError: the engine cannot be used.

        """
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool | None:
        """Disconnect; every tail has been left before.

        Also when cancelled, then without waiting for the engine. The error of a body leaves as it
        is (T12): don't pass it on to a task group of your own, which would wrap it.
        """
        return None

    @abstractmethod
    async def publish(self, publication: Publication, /) -> Published:
        """Append to the log (T1, T2).

        On any doubt it is resent inside with the same key (one of its own, if it has none), until a
        deadline. When cancelled it may be stored or not: publishing again stores it once (T10).

        Raises:
            PublishFailed: the deadline passed; not known to be stored.
            PayloadTooLarge: over ``traits.max_payload``; nothing was sent.

        """

    @abstractmethod
    def tail(
        self, after: Position | None = None, /
    ) -> AbstractAsyncContextManager[MemoryObjectReceiveStream[Feed]]:
        """Follow the log from ``after``, or from now (T5 to T7).

        The stream holds at most :data:`TAIL_BUFFER` items: a reader that stops, stops the read on
        the engine, nothing else. An outage is no error: the tail is silent until the engine is
        back, and ``health`` tells. Entering returns once a record published from then on will be
        handed out. A new generation of the log shows as one :class:`Rebase`, and every record
        after it carries the new epoch. When cancelled or left it lets go of everything (T9).
        """

    async def health(self) -> Health:
        """Tell how the engine is; never raises for an outage."""
        return Health(HealthStatus.OK)


@runtime_checkable
class SupportsReplay(Protocol):
    """The capability of a transport that keeps a history.

    All three raise ``TransportError`` when the engine does not answer in time: try again.
    """

    @abstractmethod
    async def bounds(self) -> Bounds:
        """Tell what is kept (R1)."""

    @abstractmethod
    async def read(self, after: int, /, *, limit: int) -> Page:
        """Read up to ``limit`` (1 or more) records after the offset ``after`` (R2).

        ``after`` is of the present epoch, and so is every record. A page may be shorter than
        ``limit``, but it is empty only if nothing follows ``after``.
        """

    @abstractmethod
    async def locate(self, position: Position, /) -> Position | Gap:
        """Find ``position`` in the present epoch (R3).

        One of an earlier generation, inside the common history, is translated; one older than what
        is kept is still a position (``read`` shows the trim). A ``Gap`` with EPOCH, of another log,
        resumes at the start; with AHEAD, beyond the end or the fork, it resumes there (at the
        start, if that is trimmed). Any client may send any position: trust none.
        """
