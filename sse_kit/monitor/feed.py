"""What the viewers are sent: made once a tick for all of them, only while there are any.

There is no task of its own, so nothing to start, and nothing to stop: those who wait for the next
tick wait for their turn, and whoever has it makes the tick if nobody did before. A viewer that
leaves in the middle leaves its turn to the next.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from sse_kit import frames
from sse_kit.config import StreamSettings
from sse_kit.messages import SSEMessage
from sse_kit.monitor.census import breakdown, clipped, take_census
from sse_kit.monitor.models import History, HubHealth, Sample, Snapshot, TransportHealth
from sse_kit.states import CloseReason
from sse_kit.transports.base import Health, HealthStatus, SupportsReplay

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from sse_kit.monitor.census import Census
    from sse_kit.monitor.models import View
    from sse_kit.registry import ConnectionRegistry
    from sse_kit.transports.base import Transport

SAMPLES = 120
"""Points of the charts that are kept for a page that opens."""

STALE = 5
"""Ticks without anybody watching after which the charts begin anew."""

SHARE = 0.05
"""The part of the time that looking may take: it is looked less often where that takes long."""

RECHECK = 15.0
"""Seconds after which a viewer's request is put to the authoriser again."""

PATIENCE = 1.0
"""Seconds that a transport may take to tell how it is."""

NO_ANSWER = Health(HealthStatus.DEGRADED, f"it does not tell how it is, for {PATIENCE:g} s")


@dataclass(frozen=True)
class _Totals:
    """What the rates are made of: counts that only grow, and when they were read."""

    at: float
    records: int = 0
    messages: int = 0
    opened: int = 0
    closed: int = 0

    @classmethod
    def of(cls, stats: dict[str, Any]) -> _Totals:
        ended = stats["ended"]
        return cls(
            time.monotonic(),
            stats["hub"]["records"] if stats["hub"] else 0,
            stats["message_count"] + ended["message_count"],
            stats["total"] + ended["total"],
            ended["total"],
        )

    def since(self, before: _Totals, active: int) -> Sample:
        """Return the rates; a registry that was entered again counts some of it anew."""
        elapsed = self.at - before.at
        return Sample(
            at=_now(),
            active=active,
            published=max(self.records - before.records, 0) / elapsed,
            delivered=max(self.messages - before.messages, 0) / elapsed,
            opened=(self.opened - before.opened) / elapsed,
            closed=(self.closed - before.closed) / elapsed,
        )


@dataclass
class _Tick:
    """What was seen at one moment, and what was made of it for each view."""

    at: float
    due: float
    """When the next one is."""
    census: Census
    shared: dict[str, Any]
    made: dict[View, SSEMessage] = field(default_factory=dict["View", SSEMessage])

    def message(self, view: View, rows: int) -> SSEMessage:
        """Return the snapshot for a view: made for the first one who has it."""
        if view not in self.made:
            found = self.census.matching(view)
            first = self.census.first(found, view, rows)
            shown = tuple(map(self.census.row, first))
            snapshot = Snapshot(**self.shared, matching=len(found), rows=shown)
            self.made[view] = SSEMessage.of(snapshot, event="snapshot")
        return self.made[view]


class Feed:
    """Looks at a registry for as many as want to watch; ``interval`` in seconds.

    A viewer is sent ``rows`` connections; ``metadata``: whether theirs is shown.
    """

    def __init__(
        self, registry: ConnectionRegistry, *, interval: float, rows: int, metadata: bool
    ) -> None:
        self.viewers = 0
        self._registry = registry
        self._interval = interval
        self._rows = rows
        self._metadata = metadata
        self._turn = anyio.Lock()
        self._newest: _Tick | None = None
        self._totals = _Totals(-float("inf"))
        self._history: deque[Sample] = deque(maxlen=SAMPLES)

    async def follow(
        self, view: View, may_watch: Callable[[], Awaitable[bool]]
    ) -> AsyncGenerator[SSEMessage, None]:
        """Yield the history, then a snapshot for each tick, and at last how it ends.

        Who may not watch any more is told to stay away, and everybody to come back later when the
        registry ends its streams: a server that stops would wait for this one.
        """
        self.viewers += 1
        asked = anyio.current_time()
        try:
            tick = await self._look_after(None)
            yield SSEMessage.of(History(samples=tuple(self._history)), event="history")
            while tick is not None:
                yield tick.message(view, self._rows)
                tick = await self._look_after(tick)
                if anyio.current_time() - asked >= RECHECK:
                    if not await may_watch():
                        yield frames.close_message(CloseReason.REVOKED)
                        return
                    asked = anyio.current_time()
            yield frames.bye_message(frames.jittered(StreamSettings().retry))
        finally:
            self.viewers -= 1
            if not self.viewers:
                self._newest = None  # it holds connections

    async def _look_after(self, seen: _Tick | None) -> _Tick | None:
        """Return the newest tick, if that is another than ``seen``, or make one when it is due.

        None: the registry ends its streams.
        """
        if self._newest is not None and self._newest is not seen:
            return self._newest
        async with self._turn:
            if self._newest is None or self._newest is seen:
                if seen is not None and await _rest(self._registry, seen.due - time.monotonic()):
                    return None
                self._newest = await self._look()
            return self._newest

    async def _look(self) -> _Tick:
        stats = self._registry.get_stats()
        totals = _Totals.of(stats)
        before = self._newest
        census = await take_census(
            self._registry.get_connections(),
            None if before is None else before.census.counts,
            1.0 if before is None else totals.at - before.at,
            metadata=self._metadata,
        )
        took = time.monotonic() - totals.at
        self._note(totals, census.active)
        shared = {
            "at": _now(),
            "viewers": self.viewers,
            "total": stats["total"],
            "dropped": stats["dropped"] + stats["ended"]["dropped"],
            "sample": self._history[-1],
            "types": breakdown(stats["by_type"]),
            "states": breakdown(census.states),
            "topics": breakdown(census.topics),
            "ends": breakdown(stats["ended"]["by_reason"]),
            "transport": await _health(self._registry.transport),
            "hub": HubHealth(**stats["hub"]) if stats["hub"] else None,
        }
        due = totals.at + max(self._interval, took / SHARE)
        return _Tick(totals.at, due, census, shared)

    def _note(self, totals: _Totals, active: int) -> None:
        """Add a point to the charts, which begin anew if nobody watched for long."""
        elapsed = totals.at - self._totals.at
        if elapsed > STALE * self._interval:
            self._history.clear()
            self._history.append(Sample(at=_now(), active=active))
        elif elapsed > self._interval / 2:
            self._history.append(totals.since(self._totals, active))
        else:
            return  # somebody has reloaded the page: over a moment there is no rate
        self._totals = totals


async def _rest(registry: ConnectionRegistry, seconds: float) -> bool:
    """Wait until the next look is due; tell whether the registry ends its streams before."""
    with anyio.move_on_after(max(seconds, 0)):
        await registry.wait_closed()
        return True
    return False


async def _health(transport: Transport) -> TransportHealth:
    """Ask the transport how it is; what it raises, or no answer, is an answer too."""
    began = time.monotonic()
    health, answer = NO_ANSWER, None
    try:
        with anyio.move_on_after(PATIENCE):
            health = await transport.health()
            answer = (time.monotonic() - began) * 1000
    except Exception as error:  # noqa: BLE001  that is how it is
        health = Health(HealthStatus.DOWN, f"it cannot tell how it is: {error!r}")
    traits = transport.traits
    return TransportHealth(
        name=type(transport).__name__,
        shared=traits.shared,
        durable=traits.durable,
        replays=isinstance(transport, SupportsReplay),
        status=health.status,
        detail=clipped(health.detail),
        answer=answer,
    )


def _now() -> int:
    return time.time_ns() // 1_000_000
