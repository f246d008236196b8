"""How many connections the cluster has: each process tells its own, under a lease.

A process that crashed is counted until its lease is over, one that stopped is not.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio

from sse_kit.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sse_kit.transports.presence import SupportsPresence

logger = logging.getLogger(__name__)

BEATS = 3
"""Beats in a lease: two may be lost and the process still counts."""

LEAVE_TIMEOUT = 1.0
"""Seconds for taking leave; after that the lease does it."""


class Presence:
    """Tells ``transport`` what ``count`` returns; ``lease`` in seconds. Has a name of its own."""

    def __init__(
        self, transport: SupportsPresence, count: Callable[[], Mapping[str, int]], *, lease: float
    ) -> None:
        self.node = secrets.token_hex(8)
        self._transport = transport
        self._count = count
        self._lease = lease

    async def run(self) -> None:
        """Beat, for ever; what fails is tried again with the next beat."""
        while True:
            try:
                await self._transport.beat(self.node, self._count(), lease=self._lease)
            except TransportError as error:
                logger.warning("this process could not tell its connections: %s", error)
            await anyio.sleep(self._lease / BEATS)

    async def leave(self) -> None:
        """Be counted no more; also when cancelled."""
        with anyio.move_on_after(LEAVE_TIMEOUT, shield=True):
            try:
                await self._transport.leave(self.node)
            except TransportError as error:
                logger.warning("this process could not take leave: %s", error)

    async def stats(self) -> dict[str, Any]:
        """Count ``nodes``, ``active`` connections, and these ``by_type``; itself as it is now.

        Raises:
            TransportError: the engine does not answer.

        """
        nodes = {**await self._transport.nodes(), self.node: self._count()}
        by_type: Counter[str] = Counter()
        for counts in nodes.values():
            by_type.update(counts)
        return {"nodes": len(nodes), "active": by_type.total(), "by_type": dict(by_type)}
