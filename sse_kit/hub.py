"""The hub: what a process knows of the log, and how each subscription follows it. Steps, no I/O.

Theory of operation. The process has one tail; :meth:`Hub.apply` takes what it hands out. The last
records are in a *ring*: offsets ``floor + 1`` to ``head`` of ``epoch``. A :class:`Subscription` has
a *cursor*: every matching record up to it was taken or is in its queue, every later one was not.
It is LIVE (the hub pushes) or in CATCHUP (it pulls)::

    apply   for each record: into the ring, head = its offset, noted for the audiences of its topics
            then, once for each audience: push its records to the LIVE ones
    push    for each record: queue it; a LIVE one's cursor is the head
            queue full: CATCHUP, cursor just before the record; nothing dropped, nobody disconnected
            (unless its stream has a policy that prefers that: see sse_kit.overflow)
    step    something queued       READY
            LIVE                   WAIT
            epoch differs          LOCATE it in the engine's present epoch
            cursor > head          LOCATE too: are we behind, or is it beyond the end?
            cursor >= floor        copy from the ring; all copied: LIVE, in the same step
            else                   READ a page from the engine

Why nothing is lost or doubled: copying the last record and going LIVE is one step without a pause,
and ``head`` moves only in :meth:`Hub.apply`, so no record can fall between the two. Resume, a slow
client and a restarted process are the same path. A gap is never declared from local knowledge where
an engine can be asked: a client may come from a process that is ahead of this one. Who comes with a
mark, which a fork inside an epoch can be behind, has the head VERIFIED before the ring is used.

Answers come through :meth:`Hub.located` and :meth:`Hub.page_read`; the asking is done elsewhere
(:mod:`sse_kit.replay`). Where the tail is behind engine or client, the client is *parked*.

``deliver`` does the push: by default into the queues; :mod:`sse_kit.dispatch` writes to idle
clients. It may run an application's code, which may add and discard subscriptions, not ``apply``.
"""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, NamedTuple

from sse_kit.audience import Audiences
from sse_kit.codec import encode, load_payload
from sse_kit.errors import MalformedPayload
from sse_kit.ring import Ring
from sse_kit.subscription import Ask, Entry, Locate, Read, Verify, push_all
from sse_kit.transports.base import Batch, Gap, GapReason, Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sse_kit.subscription import Deliver, Question, Step, Subscription
    from sse_kit.transports.base import Bounds, Feed, Record

logger = logging.getLogger(__name__)


class HubStatistics(NamedTuple):
    """What a hub knows of itself; ``ring_bytes`` in bytes, the rest are counts."""

    position: Position
    ring_records: int
    ring_bytes: int
    topics: int
    subscriptions: int
    catching_up: int
    records: int
    malformed: int
    gaps: int


class Hub:
    """The ring, the topics, and the steps; begins at the log's end, ``start``.

    ``replay`` tells whether there is an engine to ask. Without one a subscription can only resume
    from the ring, and ``start`` may be None: the first record tells the epoch.
    """

    def __init__(
        self, start: Position | None, *, replay: bool, ring_size: int, ring_bytes: int
    ) -> None:
        self._replay = replay
        self.deliver: Deliver = push_all
        self._audiences = Audiences()
        self._subscriptions: dict[Subscription, None] = {}
        self._parked: dict[Subscription, bool] = {}  # True: it was ahead of the tail
        self._ring = Ring(start or _somewhere(), size=ring_size, max_bytes=ring_bytes)
        self._records = self._malformed = self._gaps = 0
        # Counts the beginnings: an answer of the engine may be older than the last one.
        self._turn = 1
        self._provisional = start is None

    @property
    def position(self) -> Position:
        """The local head, with its mark: all records up to it went through this hub."""
        return self._ring.position

    def lose(self) -> None:
        """Begin anew, without a history: what came since the tail broke nobody can know."""
        self._provisional = True
        self._reset(_somewhere())

    def statistics(self) -> HubStatistics:
        """Count what there is."""
        return HubStatistics(
            position=self.position,
            ring_records=len(self._ring),
            ring_bytes=self._ring.bytes,
            topics=len(self._audiences),
            subscriptions=len(self._subscriptions),
            catching_up=sum(not each.live for each in self._subscriptions),
            records=self._records,
            malformed=self._malformed,
            gaps=self._gaps,
        )

    # Subscriptions ---------------------------------------------------------------------------

    def add(self, subscription: Subscription) -> None:
        """Let a subscription follow; at the head of this epoch it is LIVE from this step on."""
        self._subscriptions[subscription] = None
        subscription.audience = self._audiences.join(subscription.topics)
        subscription.topics = subscription.audience.topics  # one set for all of them
        if subscription.position.offset == self._ring.head and self._is_in_ring(subscription):
            subscription.go_live()

    def discard(self, subscription: Subscription) -> None:
        """Forget a subscription, and its topics if nobody else has them; twice is harmless."""
        if subscription not in self._subscriptions:
            return
        del self._subscriptions[subscription]
        self._parked.pop(subscription, None)
        subscription.fall_back(self.position)
        self._audiences.leave(subscription.audience)

    def refuse(self, subscription: Subscription) -> None:
        """Tell a subscription that what it came with is no position; it starts at the head."""
        self._tell(subscription, Gap(GapReason.INVALID, self.position))

    def checkpoint(self, subscription: Subscription) -> Position | None:
        """Return the position its client may skip to, or None while anything waits for it."""
        if not subscription.live or subscription.queue:
            return None
        return self.position

    def step(self, subscription: Subscription) -> Step:
        """Do what can be done at once, then tell what the subscription needs."""
        if not subscription.queue and not subscription.live:
            question = self._catch_up(subscription)
            if question is not None:
                return question
        return Ask.READY if subscription.queue else Ask.WAIT

    def unpark(self) -> None:
        """Let parked subscriptions ask again: an answer may have come from a stale replica."""
        parked, self._parked = self._parked, {}
        for subscription in parked:
            subscription.wake()

    # What the tail hands out -----------------------------------------------------------------

    def apply(self, *feeds: Feed) -> None:
        """Take what the tail handed out: one step, without a pause in it."""
        for feed in feeds:
            if isinstance(feed, Batch):
                for record in feed.records:
                    self._take(record)
            elif isinstance(feed, Gap):
                self._reset(feed.resume)
            else:
                self._reset(Position(feed.epoch, min(feed.upto, self._ring.head)))
        self._share_out()

    def _share_out(self) -> None:
        """Push what was collected, and wake those that the tail has caught up with."""
        for subscriptions, entries in self._audiences.share_out():
            self.deliver(subscriptions, entries)
        for subscription in [each for each in self._parked if self._reached(each)]:
            del self._parked[subscription]
            subscription.wake()

    def _reached(self, subscription: Subscription) -> bool:
        """Tell whether the tail is where a parked subscription stands, or is past it.

        An engine that showed less than the tail had seen is not asked again for each batch.
        """
        if self._is_in_ring(subscription):
            return True
        position, ring = subscription.position, self._ring
        was_ahead = self._parked[subscription] and position.epoch == ring.epoch
        return was_ahead and position.offset < ring.floor

    def _take(self, record: Record) -> None:
        position = record.position
        if self._provisional:
            self._adopt(position)
        if position.epoch != self._ring.epoch or position.offset > self._ring.head + 1:
            # A transport should have said so by a Gap: everyone asks the engine, or is told.
            logger.warning("tail skipped from %s to %s", self.position, position)
            self._reset(Position(position.epoch, max(position.offset - 1, 0)))
        if position.offset <= self._ring.head:
            return
        self._records += 1
        entry = self.ready(record, self.position.mark)
        self._ring.add(entry)
        self._audiences.collect(entry)

    def ready(self, record: Record, before: str | None = None) -> Entry:
        """Make the frame of a record; a malformed one keeps its place and reaches nobody."""
        try:
            message = load_payload(record.payload)
        except MalformedPayload as error:
            if not self._malformed:
                logger.warning("malformed record at %s: %s", record.position, error.problem)
            self._malformed += 1
            return Entry(record.position, (), b"", None, before)
        frame = f"id: {record.position}\n".encode() + encode(message)
        return Entry(record.position, record.topics, frame, message, before)

    def _adopt(self, position: Position) -> None:
        """Take the epoch that the first record shows; whoever is LIVE has missed nothing."""
        self._provisional = False
        self._ring.begin(Position(position.epoch, position.offset - 1))

    def _reset(self, position: Position) -> None:
        """Go on from ``position``; everyone finds out by itself what that means for it."""
        self._share_out()
        for subscription in self._subscriptions:
            if subscription.live:
                subscription.fall_back(self.position)
        self._parked.clear()
        self._ring.begin(position)
        self._turn += 1
        for subscription in self._subscriptions:
            subscription.wake()

    # Catching up -----------------------------------------------------------------------------

    def _catch_up(self, subscription: Subscription) -> Step | None:
        if subscription in self._parked:
            return Ask.WAIT
        if not self._replay:
            self._settle(subscription)
        position, ring = subscription.position, self._ring
        if self._is_in_ring(subscription):
            if subscription.arrives and ring.position.mark is not None and self._replay:
                return Verify(ring.position, self._turn)
            self._copy_ring(subscription)
            return None
        if position.epoch == ring.epoch and position.offset < ring.floor:
            return Read(position, self._turn)
        return Locate(position, self._turn)

    def _is_in_ring(self, subscription: Subscription) -> bool:
        """Tell whether a subscription stands in the ring, at the record that is there."""
        position, ring = subscription.position, self._ring
        return ring.is_here(position) and not (self._replay and ring.differs(position))

    def _settle(self, subscription: Subscription) -> None:
        """Bring a subscription into the ring without an engine to ask."""
        position = subscription.position
        if position.epoch != self._ring.epoch:
            self._tell(subscription, Gap(GapReason.EPOCH, self.position))
        elif position.offset > self._ring.head:
            self._tell(subscription, Gap(GapReason.AHEAD, self.position))
        elif position.offset < self._ring.floor:
            missed = self._ring.floor - position.offset
            resume = Position(self._ring.epoch, self._ring.floor)
            self._tell(subscription, Gap(GapReason.TRIMMED, resume, missed))

    def _copy_ring(self, subscription: Subscription) -> None:
        missing = self._ring.after(subscription.position.offset)
        if self._enqueue_all(subscription, missing):
            # The same step: no record can come between the last copy and the first push.
            subscription.go_live()

    def _enqueue_all(self, subscription: Subscription, entries: Iterable[Entry]) -> bool:
        """Queue the matching entries and move past the others; False: the queue is full."""
        for entry in entries:
            if subscription.topics.isdisjoint(entry.topics):
                subscription.position = entry.position
            elif not subscription.enqueue(entry):
                return False
        return True

    def located(
        self, subscription: Subscription, question: Question, found: Position | Gap
    ) -> None:
        """Take the engine's word on where the position of ``question`` is."""
        if self._is_stale(subscription, question):
            return
        resume = found.resume if isinstance(found, Gap) else found
        if resume.epoch != self._ring.epoch:
            self.park(subscription, question)
            return
        if isinstance(found, Gap):
            self._tell(subscription, found)
        else:
            subscription.position = found
        ring = self._ring
        if resume.offset > ring.head:
            # The engine has it, this process does not yet.
            self.park(subscription, question)
        elif not self._is_in_ring(subscription) and ring.is_here(resume):
            self._go_by_engine(subscription, question)

    def _go_by_engine(self, subscription: Subscription, question: Question) -> None:
        """Believe the engine that this is its record: here is none that we know, or an older."""
        position = subscription.position
        if self._ring.mark_at(position.offset) is None:
            subscription.position = Position(position.epoch, position.offset)
        else:
            self.park(subscription, question)

    def page_read(
        self, subscription: Subscription, question: Read, bounds: Bounds, entries: Sequence[Entry]
    ) -> None:
        """Take the engine's answer to ``question``."""
        if self._is_stale(subscription, question):
            return
        first = entries[0].position.offset if entries else bounds.first
        before = max(first, bounds.first) - 1
        position = subscription.position
        if not bounds.epoch == position.epoch == self._ring.epoch:
            self.park(subscription, question)
        elif before > position.offset:
            missed = before - position.offset
            gap = Gap(GapReason.TRIMMED, Position(bounds.epoch, before), missed)
            self._tell(subscription, gap)
        elif entries:
            self._enqueue_all(subscription, entries)
        else:
            # The tail has seen more than the engine now shows: it must have news for us.
            self.park(subscription, question)

    def _is_stale(self, subscription: Subscription, question: Question) -> bool:
        """Tell whether the subscription went on by itself while the engine was answering."""
        return subscription.live or subscription.position != question.position

    def park(self, subscription: Subscription, question: Question) -> None:
        """Wait for the tail, unless it moved on while the engine was answering."""
        if question.turn == self._turn:
            self._parked[subscription] = subscription.position.offset > self._ring.head

    def _tell(self, subscription: Subscription, gap: Gap) -> None:
        self._gaps += 1
        subscription.queue.append(gap)
        subscription.position = gap.resume


def _somewhere() -> Position:
    """Return the start of an epoch that nobody has seen."""
    return Position(secrets.token_urlsafe(6), 0)
