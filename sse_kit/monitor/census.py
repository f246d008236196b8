"""One look at all connections: counts for everybody, and rows for each view.

With thousands of connections a look takes a while, so it lets others run every few hundred. A
connection may be over by the time it is shown; the next look knows.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import nlargest, nsmallest
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from anyio.lowlevel import checkpoint

from sse_kit.monitor.models import CLIP, Breakdown, Counted, Row, Sort, View

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from sse_kit.connection import SSEConnection

T = TypeVar("T")

BREATH = 250
"""Connections that are looked at before others may run: that takes about a millisecond."""

KINDS = 12
"""Types, topics and reasons that are shown; the others are only counted."""

TOPICS = 4
"""Topics of a row that are shown."""

FACTS = 8
"""Entries of a connection's metadata that are shown."""


@dataclass
class Census:
    """What was found; ``rates`` by connection id, ``counts`` to compare the next look with."""

    connections: list[SSEConnection]
    metadata: bool
    active: int = 0
    states: Counter[str] = field(default_factory=Counter[str])
    topics: Counter[str] = field(default_factory=Counter[str])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    rates: dict[str, float] = field(default_factory=dict[str, float])

    def matching(self, view: View) -> list[SSEConnection]:
        """Return those that a view wants."""
        if not (view.type or view.state or view.topic or view.text):
            return self.connections
        text = view.text.casefold()
        return [
            each
            for each in self.connections
            if view.type in {"", each.connection_type}
            and view.state in {None, each.state}
            and (not view.topic or view.topic in each.topics)
            and text in each.connection_id.casefold()
        ]

    def first(self, found: list[SSEConnection], view: View, count: int) -> list[SSEConnection]:
        """Return the first of them, in the order of the view."""
        key = self._key(view.sort)
        if view.ascending:
            return nsmallest(count, found, key=key)
        return nlargest(count, found, key=key)

    def row(self, connection: SSEConnection) -> Row:
        """Describe a connection."""
        topics = sorted(connection.topics)
        return Row(
            key=key_of(connection),
            id=clipped(connection.connection_id),
            type=clipped(connection.connection_type),
            state=connection.state,
            age=connection.age,
            idle=_idle(connection),
            lag=connection.lag,
            messages=connection.message_count,
            rate=self.rates.get(connection.connection_id),
            dropped=_dropped(connection),
            topics=tuple(map(clipped, topics[:TOPICS])),
            topic_count=len(topics),
            metadata=_facts(connection.metadata) if self.metadata else {},
        )

    def _key(self, sort: Sort) -> _Key:
        keys: dict[Sort, _Key] = {
            Sort.AGE: lambda each: each.age,
            Sort.IDLE: _idle,
            Sort.LAG: lambda each: each.lag,
            Sort.MESSAGES: lambda each: each.message_count,
            Sort.RATE: lambda each: self.rates.get(each.connection_id, 0.0),
            Sort.DROPPED: _dropped,
        }
        return keys[sort]


_Key: TypeAlias = Callable[["SSEConnection"], float]


async def take_census(
    connections: list[SSEConnection],
    before: Mapping[str, int] | None,
    elapsed: float,
    *,
    metadata: bool,
) -> Census:
    """Look at each; ``before``: the counts of ``elapsed`` seconds ago, if anybody looked then."""
    census = Census(connections, metadata)
    sets: Counter[frozenset[str]] = Counter()
    async for each in _with_breaks(connections):
        count = each.message_count
        census.active += each.is_active()
        census.states[each.state] += 1
        census.counts[each.connection_id] = count
        sets[each.topics] += 1
        if before is not None:
            # Who was not there has got all of it since; who took over an id starts at 0.
            more = max(count - before.get(each.connection_id, 0), 0)
            census.rates[each.connection_id] = more / elapsed
    # Many connections have the same topics: they are counted as one set before.
    async for names, count in _with_breaks(sets.items()):
        for name in names:
            census.topics[name] += count
    return census


async def _with_breaks(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield each, and let others run every now and then."""
    for number, item in enumerate(items, 1):
        yield item
        if number % BREATH == 0:
            await checkpoint()


def key_of(connection: SSEConnection) -> str:
    """Return a short name of this very connection: its id may be long, and be taken over."""
    name = f"{connection.connection_id}\n{connection.created_at.isoformat()}"
    return hashlib.blake2b(name.encode(), digest_size=12).hexdigest()


def breakdown(counts: Mapping[str, int]) -> Breakdown:
    """Return the most frequent first; of those that are as frequent, who was there before."""
    most = Counter(counts).most_common(KINDS)
    shown = tuple(Counted(name=clipped(name), count=count) for name, count in most)
    return Breakdown(kinds=len(counts), shown=shown)


def clipped(text: str) -> str:
    """Return so much of a text as is shown; what has no UTF-8 would be no JSON."""
    text = text if len(text) <= CLIP else f"{text[: CLIP - 1]}…"
    return text.encode("utf-8", "replace").decode()


def _idle(connection: SSEConnection) -> float:
    return max(time.monotonic() - connection.touched, 0.0)


def _dropped(connection: SSEConnection) -> int:
    follows = connection.subscription
    return 0 if follows is None else follows.dropped


def _facts(metadata: Mapping[str, Any]) -> dict[str, str]:
    shown: Iterable[tuple[object, object]] = list(metadata.items())[:FACTS]
    return {clipped(str(name)): clipped(str(value)) for name, value in shown}
