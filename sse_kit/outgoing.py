"""What a connection hands to whoever writes or iterates it, and what may go in."""

from __future__ import annotations

from typing import TypeAlias

from sse_kit import frames
from sse_kit.codec import encode
from sse_kit.errors import NotPublishable
from sse_kit.messages import SSEMessage
from sse_kit.subscription import Entry
from sse_kit.transports.base import Gap, Position

Outgoing: TypeAlias = SSEMessage | Entry | Gap | Position
"""What a connection hands to whoever writes it; a bare position is a checkpoint."""


def refuse_control(message: SSEMessage) -> SSEMessage:
    """Return ``message`` if an application may send it.

    Raises:
        NotPublishable: it has an ``id``, or an event name that is the kit's own.

    """
    if message.id is not None:
        raise NotPublishable("id", message.id, "is set", "the log assigns ids; use key= instead")
    if message.event in frames.RESERVED_EVENTS:
        raise NotPublishable("event", message.event, "is reserved", "choose another event name")
    return message


def as_frame(item: Outgoing) -> bytes:
    """Return the bytes of what a connection handed out."""
    match item:
        case Entry():
            return item.frame
        case SSEMessage():
            return encode(item)
        case Gap():
            return frames.gap(item)
        case Position():
            return frames.checkpoint(item)


def as_message(item: Outgoing) -> SSEMessage:
    """Return what a connection handed out as a message; a record has its position as id."""
    match item:
        case Entry(message=SSEMessage() as message):
            return message.model_copy(update={"id": str(item.position)})
        case SSEMessage():
            return item
        case Gap():
            return frames.gap_message(item)
        case _:
            # A malformed record has no topics, and an iterator is owed no checkpoint.
            raise AssertionError(item)
