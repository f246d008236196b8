"""Hooks: what a registry tells the application, one frozen argument each.

A hook is a function or a coroutine function. It runs beside the streams: a slow one delays nobody,
a failing one is logged and hurts nobody.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from sse_kit.states import CloseReason
    from sse_kit.transports.base import Position

E = TypeVar("E")

Hook: TypeAlias = Callable[[E], Awaitable[object] | object]
"""Takes one event; may be async; what it returns is ignored."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection is live; ``last_event_id`` is what its client came back with, if anything."""

    connection_id: str
    connection_type: str
    topics: frozenset[str]
    metadata: Mapping[str, Any]
    last_event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """A connection ended; ``duration`` in seconds, ``message_count`` as in the connection."""

    connection_id: str
    connection_type: str
    topics: frozenset[str]
    metadata: Mapping[str, Any]
    reason: CloseReason
    duration: float
    message_count: int


@dataclass(frozen=True, slots=True)
class MessagePublished:
    """The log took a message; ``duplicate``: its key was there already, at this position."""

    position: Position
    topics: tuple[str, ...]
    event: str | None
    duplicate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Hooks:
    """The hooks of a registry; each may be left out."""

    connected: Hook[Opened] | None = None
    disconnected: Hook[Closed] | None = None
    published: Hook[MessagePublished] | None = None
