"""What a connection hands to whoever writes or iterates it, and what may go in."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, cast

from sse_kit import frames
from sse_kit.codec import dump_payload
from sse_kit.errors import NotPublishable
from sse_kit.messages import SSEMessage, check_topic
from sse_kit.subscription import Entry
from sse_kit.transports.base import Gap, Position, Publication
from sse_kit.wakeup import Wakeup


@dataclass(frozen=True, slots=True)
class Sent:
    """A message for one connection alone."""

    message: SSEMessage
    frame: bytes


Outgoing: TypeAlias = Sent | Entry | Gap | Position
"""What a connection hands to whoever writes it; a bare position is a checkpoint."""


class Listener(Protocol):
    """Who writes a connection; told in the event loop, and not to write at once."""

    def wake(self) -> None:
        """Take note that there may be something to write."""
        ...

    def hurry(self) -> None:
        """Take note that the connection is over."""
        ...


class Outbox:
    """What was sent to one connection alone; ``room`` wakes when it was emptied.

    It holds at most ``max_items`` messages and ``max_bytes`` of frames, but a single one always
    fits.
    """

    __slots__ = ("_bytes", "_items", "_max_bytes", "_max_items", "room")

    def __init__(self, *, max_items: int, max_bytes: int) -> None:
        self.room = Wakeup()
        self._items: list[Sent] = []
        self._bytes = 0
        self._max_items = max_items
        self._max_bytes = max_bytes

    def __len__(self) -> int:
        return len(self._items)

    def has_room(self, item: Sent) -> bool:
        """Tell whether it can take the message."""
        within_bytes = self._bytes + len(item.frame) <= self._max_bytes
        return not self._items or (within_bytes and len(self._items) < self._max_items)

    def put(self, item: Sent) -> None:
        """Add a message it has room for."""
        self._items.append(item)
        self._bytes += len(item.frame)

    def take(self) -> list[Sent]:
        """Empty it."""
        items, self._items = self._items, []
        self._bytes = 0
        self.room.wake()
        return items


def topics_of(topics: object) -> tuple[str, ...]:
    """Return the topics given, each once; one may be given by itself.

    Raises:
        InvalidTopic: there is none, or one is not a line of text.

    """
    if isinstance(topics, str | bytes) or not isinstance(topics, Iterable):
        return (check_topic(topics),)
    several = [check_topic(topic) for topic in cast("Iterable[object]", topics)]
    if len(several) == 1:
        return (several[0],)
    return tuple(dict.fromkeys(several)) or (check_topic(""),)


def sendable(value: object, *, event: str | None = None) -> SSEMessage:
    """Return the message that an application may send.

    Raises:
        InvalidMessage: ``value`` cannot be a message: see :meth:`SSEMessage.of`.
        NotPublishable: it has an ``id``, or an event name that is the kit's own.

    """
    message = SSEMessage.of(value, event=event)
    if message.id is not None:
        raise NotPublishable("id", message.id, "is set", "the log assigns ids; use key= instead")
    if message.event in frames.RESERVED_EVENTS:
        raise NotPublishable("event", message.event, "is reserved", "choose another event name")
    return message


def publication(
    topic: str | tuple[str, ...], value: object, *, event: str | None = None, key: str | None = None
) -> Publication:
    """Return what :meth:`ConnectionRegistry.publish` publishes, for a transport's own methods.

    It has a ``key`` in any case, so that sending it twice stores it once.

    Raises:
        InvalidTopic, InvalidMessage: what cannot be published.
        InvalidInput: a ``key`` that is not a line of 1 to 256 bytes.
        NotPublishable: a message with an ``id``, or with a reserved event name.

    """
    payload = dump_payload(sendable(value, event=event))
    return Publication(topics_of(topic), payload, secrets.token_hex(16) if key is None else key)


def as_frame(item: Outgoing) -> bytes:
    """Return the bytes of what a connection handed out."""
    match item:
        case Sent() | Entry():
            return item.frame
        case Gap():
            return frames.gap(item)
        case Position():
            return frames.checkpoint(item)


def as_message(item: Outgoing) -> SSEMessage:
    """Return what a connection handed out as a message; a record has its position as id."""
    match item:
        case Sent():
            return item.message
        case Entry(message=SSEMessage() as message):
            return message.model_copy(update={"id": str(item.position)})
        case Gap():
            return frames.gap_message(item)
        case _:
            # A malformed record has no topics, and an iterator is owed no checkpoint.
            raise AssertionError(item)
