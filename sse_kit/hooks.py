"""Hooks: what a registry tells the application, one frozen argument each.

A hook is a function, or a coroutine function, which then runs beside the streams: however slow, it
delays none of them. One that fails is logged and hurts nobody. What concerns one connection id is
told in order, each hook after the one before it is done, and in pairs: whoever is told that a
connection opened is told that it closed.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import anyio

from sse_kit.wakeup import Wakeup

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from sse_kit.states import CloseReason
    from sse_kit.transports.base import Position

logger = logging.getLogger(__name__)

HOOK_PATIENCE = 2.0
"""Seconds that hooks under way get when the registry is left."""

FAILED = "the hook for %s failed"

E = TypeVar("E")

Hook: TypeAlias = Callable[[E], Awaitable[object] | object]
"""Takes one event; may be async; what it returns is ignored."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream begins; ``last_event_id`` is what its client came back with, if anything."""

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


class HookRunner:
    """Calls hooks, for one run of a registry; the asynchronous ones run in ``tasks``.

    They are cancelled by :meth:`finish` alone: what they save is needed most when all else ends.
    """

    def __init__(self, hooks: Hooks, tasks: TaskGroup) -> None:
        self._hooks = hooks
        self._tasks = tasks
        self._open: set[str] = set()
        # By connection id, while a hook runs for it: what comes after that.
        self._waiting: dict[str, deque[tuple[Hook[Any] | None, Opened | Closed]]] = {}
        self._running: set[anyio.CancelScope] = set()
        self._done = Wakeup()

    def tell(self, event: Opened | Closed | MessagePublished) -> None:
        """Tell of a message, of a connection, and of its end if its beginning was told."""
        match event:
            case MessagePublished():
                self._start(_call(self._hooks.published, event))
            case Opened():
                self._open.add(event.connection_id)
                self._tell_in_order(self._hooks.connected, event)
            case Closed() if event.connection_id in self._open:
                self._open.remove(event.connection_id)
                self._tell_in_order(self._hooks.disconnected, event)
            case _:
                pass

    async def finish(self) -> None:
        """Wait until no hook runs, for :data:`HOOK_PATIENCE` at most, also when cancelled."""
        with anyio.move_on_after(HOOK_PATIENCE, shield=True):
            while self._running:
                await self._done.wait()
        if self._running:
            logger.warning("hooks took too long, %s are cut off", len(self._running))
        for scope in list(self._running):
            scope.cancel()

    def _tell_in_order(self, hook: Hook[Any] | None, event: Opened | Closed) -> None:
        waiting = self._waiting.get(event.connection_id)
        if waiting is not None:
            waiting.append((hook, event))
            return
        under_way = _call(hook, event)
        if under_way is not None:
            self._waiting[event.connection_id] = deque()
            self._start(self._one_by_one(under_way, event.connection_id))

    async def _one_by_one(self, first: Awaitable[object], connection_id: str) -> None:
        waiting = self._waiting[connection_id]
        await first
        while waiting:
            under_way = _call(*waiting.popleft())
            if under_way is not None:
                await under_way
        del self._waiting[connection_id]

    def _start(self, under_way: Awaitable[object] | None) -> None:
        if under_way is not None:
            scope = anyio.CancelScope(shield=True)
            self._running.add(scope)
            self._tasks.start_soon(self._run, under_way, scope)

    async def _run(self, under_way: Awaitable[object], scope: anyio.CancelScope) -> None:
        with scope:
            await under_way
        self._running.discard(scope)
        self._done.wake()


def _call(hook: Hook[E] | None, event: E) -> Awaitable[object] | None:
    """Call a hook; return what is left to be awaited, which raises nothing."""
    if hook is None:
        return None
    try:
        done = hook(event)
    except Exception:
        logger.exception(FAILED, type(event).__name__, extra=_facts(event))
        return None
    return _finish(done, event) if isawaitable(done) else None


async def _finish(under_way: Awaitable[object], event: object) -> None:
    try:
        await under_way
    except (Exception, anyio.get_cancelled_exc_class()):
        # Cancelled: a task of its own that it waited for, or itself because it took too long. Out
        # of here it would end the registry.
        logger.exception(FAILED, type(event).__name__, extra=_facts(event))


def _facts(event: object) -> dict[str, Any]:
    return {"hook": type(event).__name__, "connection_id": getattr(event, "connection_id", None)}
