"""Presence: how many connections each process of a cluster has.

By process, not by connection: ten thousand connections cost one small write every few seconds. A
process that crashed is gone when its lease is over; one that stops says so.

======  ===========================================================================================
P1      ``nodes`` tells the latest counts of each node that was beating within its lease
P2      a node whose lease is over is gone, by the engine's clock, whether it said so or not
P3      ``leave`` takes a node away at once; one that is not there is no error
P4      namespaces do not see each other's nodes
======  ===========================================================================================
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping


@runtime_checkable
class SupportsPresence(Protocol):
    """The capability of a transport that can count across processes.

    All three raise ``TransportError`` when the engine does not answer in time: try again.
    """

    @abstractmethod
    async def beat(self, node: str, counts: Mapping[str, int], /, *, lease: float) -> None:
        """Say that ``node`` lives for ``lease`` seconds more, and has ``counts`` by type (P1, P2).

        ``node`` is a name of letters, digits, ``-`` and ``_``; a type is any line of text.
        """

    @abstractmethod
    async def leave(self, node: str, /) -> None:
        """Take ``node`` away (P3)."""

    @abstractmethod
    async def nodes(self) -> dict[str, dict[str, int]]:
        """Return the counts of each node that lives."""
