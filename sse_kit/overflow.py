"""A subscription that may lose messages, because its stream prefers that to being late.

A queue that is full while its client does not read has four ways out, named in
:mod:`sse_kit.config`. Without a policy a subscription goes back to CATCHUP and loses nothing. Here
the messages of some events, or of all, are dropped instead: each is counted, and the client is told
of them once, before it gets what has remained.

Only what waits in the queue of a LIVE subscription is dropped. One that catches up takes from the
ring and the history as fast as it reads, like any other.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from sse_kit.config import CatchUp, Disconnect, DropOldest, NewestOnly
from sse_kit.errors import InvalidSetting
from sse_kit.messages import event_name
from sse_kit.states import CloseReason
from sse_kit.subscription import Subscription
from sse_kit.transports.base import Gap, GapReason

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from sse_kit.config import Overflow
    from sse_kit.messages import SSEMessage
    from sse_kit.subscription import Entry, Item
    from sse_kit.transports.base import Position

logger = logging.getLogger(__name__)

CATCH_UP = CatchUp()

Policies: TypeAlias = "Callable[[SSEMessage], Overflow]"
"""Tells the policy of a message."""


def policies_of(overflow: object) -> Policies | None:
    """Return what ``overflow`` says of each message; None: nothing is ever dropped.

    It is one policy for all messages, or one for each name of an event that has one (``"message"``:
    those without a name).

    Raises:
        InvalidSetting: it is neither.
        InvalidMessage: a name that no event can have.

    """
    if isinstance(overflow, CatchUp):
        return None
    if isinstance(overflow, Mapping):
        by_event = cast("Mapping[str, object]", overflow)
        policies = {event_name(event): _checked(each) for event, each in by_event.items()}
        return lambda message: policies.get(message.event, CATCH_UP)
    policy = _checked(overflow)
    return lambda _: policy


def _checked(policy: object) -> Overflow:
    if not isinstance(policy, CatchUp | DropOldest | NewestOnly | Disconnect):
        remedy = "use CatchUp(), DropOldest(), NewestOnly() or Disconnect()"
        raise InvalidSetting("overflow", policy, "is no policy", remedy)
    return policy


class End(Protocol):
    """Ends a stream: ``SSEConnection.end``."""

    def __call__(self, reason: CloseReason, *, error: str | None = None) -> None:
        """End it for ``reason``."""
        ...


class LossySubscription(Subscription):
    """A subscription with policies; ``end`` is called when one of them ends the stream."""

    __slots__ = ("_droppable", "_dropped", "_end", "_last_dropped", "_policies", "_untold")

    _last_dropped: Position

    def __init__(  # noqa: PLR0913  as its base, and two
        self,
        topics: Iterable[str],
        start: Position,
        *,
        wake: Callable[[], None],
        max_items: int,
        max_bytes: int,
        policies: Policies,
        end: End,
    ) -> None:
        super().__init__(topics, start, wake=wake, max_items=max_items, max_bytes=max_bytes)
        self._policies = policies
        self._end = end
        # What may be dropped of the queue, oldest first; by key, so that a newer one finds it.
        self._droppable: dict[Hashable, Entry] = {}
        self._dropped = self._untold = 0

    @property
    def dropped(self) -> int:
        """How many records were dropped."""
        return self._dropped

    def take(self) -> list[Item]:
        """Empty the queue; what was dropped is told first."""
        items = super().take()
        self._droppable.clear()
        if self._untold:
            items.insert(0, Gap(GapReason.DROPPED, self._last_dropped, self._untold))
            self._untold = 0
        return items

    def accept(self, entry: Entry) -> bool:
        """Queue a record of the tail, and drop older ones for it; False: there is no room."""
        policy, key = self._look_at(entry)
        self._drop_same(key)
        while self._droppable and not self.has_room(entry):
            self._drop(next(iter(self._droppable)))
        if super().accept(entry):
            self._note(key, entry)
        elif key is not None:
            self._count(entry)
        else:
            if isinstance(policy, Disconnect):
                self._end(CloseReason.OVERFLOW)
            return False
        return True

    def enqueue(self, entry: Entry) -> bool:
        """Queue a record it caught up with; False: there is no room, the client shall read."""
        _, key = self._look_at(entry)
        self._drop_same(key)
        if not super().enqueue(entry):
            return False
        self._note(key, entry)
        return True

    def _look_at(self, entry: Entry) -> tuple[Overflow, Hashable]:
        """Return the policy of a record, and the key under which it may be dropped, or None."""
        message = entry.message
        assert message is not None, "a malformed record reaches nobody"  # noqa: S101
        policy = self._policies(message)
        if isinstance(policy, DropOldest):
            return policy, entry.position
        if not isinstance(policy, NewestOnly):
            return policy, None
        try:
            key = (message.event, entry.topics if policy.key is None else policy.key(message))
            hash(key)
        except Exception as error:
            logger.exception("the key of a NewestOnly failed")
            self._end(CloseReason.ERROR, error=repr(error))
            return policy, None
        return policy, key

    def _note(self, key: Hashable, entry: Entry) -> None:
        if key is not None:
            self._droppable[key] = entry

    def _drop_same(self, key: Hashable) -> None:
        if key in self._droppable:
            self._drop(key)

    def _drop(self, key: Hashable) -> None:
        entry = self._droppable.pop(key)
        self.queue.remove(entry)
        self.queued_bytes -= len(entry.frame)
        self._count(entry)

    def _count(self, entry: Entry) -> None:
        self._dropped += 1
        self._untold += 1
        self._last_dropped = entry.position
