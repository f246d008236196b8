"""The tail of a process: what the transport hands out, into the hub, for as long as it runs."""

from __future__ import annotations

import logging
import math
import random
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from sse_kit.transports.base import Batch, SupportsReplay, Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio.abc import TaskStatus
    from anyio.streams.memory import MemoryObjectReceiveStream

    from sse_kit.hub import Hub
    from sse_kit.transports.base import Feed

logger = logging.getLogger(__name__)

DELAY = 1.0
"""Seconds before a tail that failed is opened again, at most; half of it at least."""

PATIENCE = 0.01
"""Seconds that a message waits for others, at most, though each turn brings more."""


async def run(
    hub: Hub,
    transport: Transport,
    *,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Follow the log for ever; started once nothing published from now on is missed.

    A transport's tail neither fails nor ends by itself. One that does is opened again where the hub
    stands; without a history to go back to, everyone is told of a gap.

    Raises:
        Exception: what the tail raised when it was opened for the first time.

    """
    replay = isinstance(transport, SupportsReplay)
    started = False
    while True:
        try:
            async with transport.tail(hub.position if replay else None) as feeds:
                if not started:
                    started = True
                    task_status.started()
                elif not replay:
                    # Only now, so that the gap covers what was published while there was no tail.
                    hub.lose()
                await _hand_over(feeds, hub)
            logger.error("tail of %s ended, opening it again", type(transport).__name__)
        except Exception:
            if not started:
                raise
            logger.exception("tail of %s failed, opening it again", type(transport).__name__)
        await anyio.sleep(random.uniform(DELAY / 2, DELAY))  # noqa: S311


async def _hand_over(feeds: MemoryObjectReceiveStream[Feed], hub: Hub) -> None:
    """Give the hub what comes, all that came meanwhile at once: one write for each client.

    A single message after a pause is handed over as it comes. Where one turn of the event loop
    after another brings more they are handed over together, once a turn brings none, or when they
    have waited for as long as the last writing took: so nothing comes more than twice as late as it
    would have, and whoever publishes fast has it written in few rounds.
    """
    took, ended = 0.0, -math.inf
    async for feed in feeds:
        batch = [feed, *_waiting(feeds)]
        start = monotonic()
        last = start + min(took, PATIENCE)
        busy = _is_burst(batch) or start - ended < took
        while busy and start < last:
            await checkpoint()
            more = list(_waiting(feeds))
            batch += more
            start = monotonic()
            busy = bool(more)
        hub.apply(*batch)
        ended = monotonic()
        took = ended - start


def _waiting(feeds: MemoryObjectReceiveStream[Feed]) -> Iterator[Feed]:
    """Take what is there already: one turn of the event loop shall be one write for each client."""
    with suppress(anyio.WouldBlock, anyio.EndOfStream):
        while True:
            yield feeds.receive_nowait()


def _is_burst(feeds: list[Feed]) -> bool:
    """Tell whether more than one message has come."""
    return len(feeds) > 1 or (isinstance(feeds[0], Batch) and len(feeds[0].records) > 1)
