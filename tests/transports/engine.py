"""An engine in memory that fails on command, to test what all engines share."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Unpack

import anyio
from anyio import lowlevel

from sse_kit.transports.base import Traits
from sse_kit.transports.log import LogTransport
from sse_kit.transports.memory_log import MemoryLog
from sse_kit.transports.settings import LogOptions, LogSettings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from sse_kit.transports.base import Gap, Page, Position, Publication, Published

LIMIT = 64 * 1024


class Engine:
    """A log, and what goes wrong with it: each entry of ``faults`` is used up by one call.

    It takes no batch in which ``poison`` is, and never answers to one.
    """

    def __init__(self, log: MemoryLog | None = None) -> None:
        self.log = log or MemoryLog()
        self.faults: deque[str] = deque()
        self.batches: list[int] = []
        self.refused: list[int] = []
        self.poison: bytes | None = None
        self.hangs = anyio.Event()
        self.down = False

    async def fault(self, *kinds: str) -> str | None:
        """Return the next fault, if it is one of ``kinds``; raise while the engine is down."""
        await lowlevel.checkpoint()
        if self.down:
            message = "down"
            raise ConnectionError(message)
        if self.faults and self.faults[0] in kinds:
            return self.faults.popleft()
        return None


class EngineTransport(LogTransport):
    """The transport of it."""

    poll = 0.05

    def __init__(self, engine: Engine, **options: Unpack[LogOptions]) -> None:
        self.engine = engine
        log = engine.log
        traits = Traits(shared=True, durable=True, dedup_window=log.dedup_window, max_payload=LIMIT)
        super().__init__(LogSettings(**options), traits, address="memory-engine")

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[None]:
        if await self.engine.fault("no connection"):
            message = "no connection"
            raise ConnectionError(message)
        yield

    async def append(self, publications: Sequence[Publication], /) -> Sequence[Published]:
        fault = await self.engine.fault("lost request", "lost answer", "half", "hang")
        if self.engine.poison in [publication.payload for publication in publications]:
            self.engine.refused.append(len(publications))
            await anyio.sleep_forever()
        if fault == "lost request":
            raise ConnectionError(fault)
        if fault == "half":
            publications = publications[: len(publications) // 2]
        self.engine.batches.append(len(publications))
        answers = [self.engine.log.append(publication) for publication in publications]
        if fault == "hang":
            await anyio.sleep_forever()
        if fault is not None:
            raise ConnectionError(fault)
        return answers

    async def page(self, after: int, limit: int, /) -> Page:
        fault = await self.engine.fault("lost page")
        if fault is not None:
            raise ConnectionError(fault)
        return self.engine.log.read(after, limit)

    async def find(self, position: Position, /) -> Position | Gap:
        await self.engine.fault()
        return self.engine.log.locate(position)
