"""Who gets what of a batch: worked out once for each set of topics, not for each connection.

Subscriptions of the same topics get the same entries while they are LIVE, so they share them: what
a batch costs until it is written grows with the sets of topics that it concerns, not with the
connections. A topic that nobody here follows costs one look into a dictionary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sse_kit.subscription import Audience

if TYPE_CHECKING:
    from sse_kit.subscription import Entry, Subscription

    Share: TypeAlias = tuple[tuple[Subscription, ...], list[Entry]]


class Audiences:
    """All audiences of a process, and what the present batch has for each."""

    def __init__(self) -> None:
        self._by_topics: dict[frozenset[str], Audience] = {}
        self._by_topic: dict[str, dict[Audience, None]] = {}
        self._concerned: list[Audience] = []

    def __len__(self) -> int:
        """Count the topics that somebody follows."""
        return len(self._by_topic)

    def join(self, topics: frozenset[str]) -> Audience:
        """Return the audience of ``topics``, with one more in it."""
        audience = self._by_topics.get(topics)
        if audience is None:
            audience = self._by_topics[topics] = Audience(topics)
            for topic in topics:
                self._by_topic.setdefault(topic, {})[audience] = None
        audience.size += 1
        return audience

    def leave(self, audience: Audience) -> None:
        """Count one less in an audience; the last one takes it along, and its topics."""
        audience.size -= 1
        if audience.size:
            return
        del self._by_topics[audience.topics]
        for topic in audience.topics:
            audiences = self._by_topic[topic]
            del audiences[audience]
            if not audiences:
                del self._by_topic[topic]

    def collect(self, entry: Entry) -> None:
        """Note an entry for whoever is LIVE on one of its topics, or on several: once."""
        for topic in entry.topics:
            for audience in self._by_topic.get(topic, ()):
                entries = audience.entries
                if not entries:
                    if not audience.live:
                        continue
                    self._concerned.append(audience)
                elif entries[-1] is entry:
                    continue
                entries.append(entry)

    def share_out(self) -> list[Share]:
        """Return who gets which entries, and begin anew.

        All of it at once: who goes LIVE while the first are served has seen the batch already.
        """
        shares: list[Share] = []
        for audience in self._concerned:
            audience.accepted += len(audience.entries)
            shares.append((audience.roster(), audience.entries))
            audience.entries = []
        self._concerned.clear()
        return shares
