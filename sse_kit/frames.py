"""What goes over the wire besides messages: opening, checkpoint, heartbeat, gap, goodbye.

A block with only ``id:`` moves the client's Last-Event-ID and fires no event (HTML standard,
section 9.2.6): a checkpoint. It is what makes a client that has seen nothing yet resume all the
same.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

from sse_kit.codec import encode
from sse_kit.messages import MAX_RETRY, SSEMessage
from sse_kit.transports.base import GapReason

if TYPE_CHECKING:
    from sse_kit.states import CloseReason
    from sse_kit.transports.base import Gap, Position

GAP_EVENT = "gap"
BYE_EVENT = "bye"
CLOSE_EVENT = "close"
"""On it a page closes its stream for good."""
RESERVED_EVENTS = frozenset({"error", "open", GAP_EVENT, BYE_EVENT})
"""``error`` and ``open`` are EventSource's own: a page could not tell them from its failures."""

JITTER = 0.5
"""Clients are told up to this share more than asked, so that they don't come back as one."""


def jittered(retry: int, spread: int | None = None) -> int:
    """Return a reconnection time between ``retry`` and ``spread`` more (milliseconds)."""
    more = random.random() * (retry * JITTER if spread is None else spread)  # noqa: S311
    return min(retry + round(more), MAX_RETRY)


def opening(retry: int) -> bytes:
    """Return the first bytes of every stream; ``retry`` in milliseconds."""
    return b"retry: %d\n\n" % retry


def checkpoint(position: Position) -> bytes:
    """Return the block that only moves the client's cursor."""
    return f"id: {position}\n\n".encode()


def heartbeat(position: Position | None = None) -> bytes:
    """Return the block of a silent stream; the position only if nothing waits for the client."""
    return b": heartbeat\n\n" if position is None else f": heartbeat\nid: {position}\n\n".encode()


def gap(found: Gap) -> bytes:
    """Return the event that says what was missed."""
    return encode(gap_message(found))


def gap_message(found: Gap) -> SSEMessage:
    """Return that event as a message; its id moves the client to where it resumes.

    What was dropped has none: the client stays where it is, in the middle of its messages.
    """
    data = json.dumps({"reason": found.reason, "missed": found.missed})
    resume = None if found.reason is GapReason.DROPPED else str(found.resume)
    return SSEMessage(data, event=GAP_EVENT, id=resume)


def close(reason: CloseReason) -> bytes:
    """Return the end for good: a client that listens does not come back."""
    return encode(close_message(reason))


def close_message(reason: CloseReason) -> SSEMessage:
    """Return that event as a message."""
    return SSEMessage(json.dumps({"reason": reason}), event=CLOSE_EVENT)


def bye(retry: int) -> bytes:
    """Return the goodbye: come back, in ``retry`` milliseconds."""
    return encode(bye_message(retry))


def bye_message(retry: int) -> SSEMessage:
    """Return that event as a message."""
    return SSEMessage(json.dumps({"retry": retry}), event=BYE_EVENT, retry=retry)
