"""Broken on purpose: the history, R1 to R3."""

from __future__ import annotations

from dataclasses import replace

from typing_extensions import override

from sse_kit.testing.broken_base import BrokenTransport
from sse_kit.transports.base import Bounds, Gap, Page, Position


class CountsOneTooMany(BrokenTransport):
    """Tells the next offset as the last one."""

    promise = "R1"

    @override
    async def bounds(self) -> Bounds:
        bounds = await super().bounds()
        return replace(bounds, last=bounds.last + 1)


class RemembersWhereItBegan(BrokenTransport):
    """Tells bounds that never move at their begin."""

    promise = "R1"

    @override
    async def bounds(self) -> Bounds:
        return replace(await super().bounds(), first=1)


class ReadsAHole(BrokenTransport):
    """Leaves out a record in the middle of a page."""

    promise = "R2"

    @override
    async def read(self, after: int, /, *, limit: int) -> Page:
        page = await super().read(after, limit=limit)
        middle = len(page.records) // 2
        return replace(page, records=page.records[:middle] + page.records[middle + 1 :])


class ReadsTooMuch(BrokenTransport):
    """Reads one record more than it was asked for."""

    promise = "R2"

    @override
    async def read(self, after: int, /, *, limit: int) -> Page:
        return await super().read(after, limit=limit + 1)


class ReadsTheLastAgain(BrokenTransport):
    """Hands out the last record to whoever has seen all."""

    promise = "R2"

    @override
    async def read(self, after: int, /, *, limit: int) -> Page:
        return await super().read(min(after, self.log.bounds().last - 1), limit=limit)


class LooksTwice(BrokenTransport):
    """Takes the bounds in one step and the records in another, when others have published."""

    promise = "R2"

    @override
    async def read(self, after: int, /, *, limit: int) -> Page:
        bounds = await self.bounds()
        page = await super().read(after, limit=limit)
        return replace(page, bounds=bounds)


class HidesTheTrim(BrokenTransport):
    """Tells bounds that begin at the first record there ever was."""

    promise = "R2"

    @override
    async def read(self, after: int, /, *, limit: int) -> Page:
        page = await super().read(after, limit=limit)
        return replace(page, bounds=replace(page.bounds, first=1))


class TrustsAnyPosition(BrokenTransport):
    """Takes what a client sends for a position of its log."""

    promise = "R3"

    @override
    async def locate(self, position: Position, /) -> Position | Gap:
        return position


class TrustsAnyOffset(BrokenTransport):
    """Looks at the epoch only."""

    promise = "R3"

    @override
    async def locate(self, position: Position, /) -> Position | Gap:
        epoch = self.log.bounds().epoch
        return position if position.epoch == epoch else await super().locate(position)


class KnowsNoPosition(BrokenTransport):
    """Takes every position for one of another log."""

    promise = "R3"

    @override
    async def locate(self, position: Position, /) -> Position | Gap:
        return await super().locate(Position("another", position.offset))


class ResumesAtTheEnd(BrokenTransport):
    """Sends a client of another log to the end of this one, of which it has seen nothing."""

    promise = "R3"

    @override
    async def locate(self, position: Position, /) -> Position | Gap:
        located = await super().locate(position)
        if isinstance(located, Gap):
            return replace(located, resume=self.log.bounds().end)
        return located
