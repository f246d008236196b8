"""Broken on purpose: presence, P1 to P4."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from typing_extensions import override

from sse_kit.testing.broken_base import BrokenTransport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sse_kit.transports.memory_log import MemoryLog

FOR_EVER = 3600.0


class AddsTypesUp(BrokenTransport):
    """Keeps the types that a node no longer has, as a hash whose fields are only set."""

    promise = "P1"

    @override
    async def beat(self, node: str, counts: Mapping[str, int], /, *, lease: float) -> None:
        known = (await super().nodes()).get(node, {})
        await super().beat(node, {**known, **counts}, lease=lease)


class ForgetsEmptyNodes(BrokenTransport):
    """Leaves out the nodes without connections."""

    promise = "P1"

    @override
    async def nodes(self) -> dict[str, dict[str, int]]:
        return {node: counts for node, counts in (await super().nodes()).items() if counts}


class NeverBuries(BrokenTransport):
    """Counts a node that crashed for ever."""

    promise = "P2"

    @override
    async def beat(self, node: str, counts: Mapping[str, int], /, *, lease: float) -> None:
        await super().beat(node, counts, lease=FOR_EVER)


class KeepsTheFirstLease(BrokenTransport):
    """Sets the end of a lease when the node is new, and then no more."""

    promise = "P2"

    def __init__(self, *, log: MemoryLog) -> None:
        super().__init__(log=log)
        self._until: dict[str, float] = {}

    @override
    async def beat(self, node: str, counts: Mapping[str, int], /, *, lease: float) -> None:
        now = anyio.current_time()
        until = self._until.setdefault(node, now + lease)
        await super().beat(node, counts, lease=until - now)


class WaitsForTheLease(BrokenTransport):
    """Lets a node that leaves be counted until its lease is over."""

    promise = "P3"

    @override
    async def leave(self, node: str, /) -> None:
        return


class MissesWhoLeft(BrokenTransport):
    """Takes leaving twice for an error."""

    promise = "P3"

    @override
    async def leave(self, node: str, /) -> None:
        if node not in await super().nodes():
            raise LookupError(node)
        await super().leave(node)


_EVERYWHERE: dict[str, dict[str, int]] = {}


class SharesItsNodes(BrokenTransport):
    """Has one list of nodes for all namespaces."""

    promise = "P4"

    @override
    async def beat(self, node: str, counts: Mapping[str, int], /, *, lease: float) -> None:
        _EVERYWHERE[node] = dict(counts)

    @override
    async def leave(self, node: str, /) -> None:
        _EVERYWHERE.pop(node, None)

    @override
    async def nodes(self) -> dict[str, dict[str, int]]:
        return dict(_EVERYWHERE)
