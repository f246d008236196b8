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
from typing import TYPE_CHECKING, TypeAlias, cast

from sse_kit.config import CatchUp, Disconnect, DropOldest, NewestOnly
from sse_kit.errors import InvalidSetting
from sse_kit.messages import DEFAULT_EVENT, check_event
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
        by_event = cast("Mapping[object, object]", overflow)
        policies = {check_event(event): _checked(each) for event, each in by_event.items()}
        return lambda message: policies.get(message.event, CATCH_UP)
    policy = _checked(overflow)
    return lambda _: policy


def _checked(policy: object) -> Overflow:
    if not isinstance(policy, CatchUp | DropOldest | NewestOnly | Disconnect):
        remedy = "use CatchUp(), DropOldest(), NewestOnly() or Disconnect()"
        raise InvalidSetting("overflow", policy, "is no policy", remedy)
    return policy


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
        end: Callable[[CloseReason, str | None], None],
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
        if super().accept(entry):
            self._note(entry, key)
        elif isinstance(policy, Disconnect):
            self._end(CloseReason.OVERFLOW, None)
            return False
        elif isinstance(policy, CatchUp) and not self._droppable:
            return False
        else:
            self._make_room(entry, key)
        return True
