"""Broken on purpose: ``tail``, T5 to T8."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias

import anyio
from typing_extensions import override

from sse_kit.testing.broken_base import BrokenTransport
from sse_kit.transports.base import (
    TAIL_BUFFER,
    Batch,
    Feed,
    Gap,
    GapReason,
    Position,
    Publication,
    Published,
    Record,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from sse_kit.transports.memory_log import MemoryLog

    Tail: TypeAlias = AbstractAsyncContextManager[MemoryObjectReceiveStream[Feed]]


class _Rewrites(BrokenTransport):
    """Hands out other records than it read."""

    @override
    def _next(self, cursor: Position) -> tuple[Feed | None, Position]:
        feed, after = super()._next(cursor)
        if isinstance(feed, Batch):
            feed = Batch(self._rewrite(feed.records))
        return feed, after

    def _rewrite(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        return records


class LosesARecord(_Rewrites):
    """Leaves out a record now and then."""

    promise = "T5"

    @override
    def _rewrite(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        return tuple(record for record in records if record.position.offset % 7)


class RepeatsARecord(_Rewrites):
    """Hands out the last record of each batch twice."""

    promise = "T5"

    @override
    def _rewrite(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        return (*records, records[-1])


class TurnsBatchesRound(_Rewrites):
    """Hands out a batch from its end."""

    promise = "T5"

    @override
    def _rewrite(self, records: tuple[Record, ...]) -> tuple[Record, ...]:
        return records[::-1]


class StartsAtThePosition(BrokenTransport):
    """Hands out the record at the position again."""

    promise = "T5"

    @override
    def tail(self, after: Position | None = None, /) -> Tail:
        if after is not None and after.offset:
            after = Position(after.epoch, after.offset - 1)
        return super().tail(after)


class DropsWhatDoesNotFit(BrokenTransport):
    """Goes on when the stream is full."""

    promise = "T5"

    @override
    async def _follow(
        self, cursor: Position, send: MemoryObjectSendStream[Feed], scope: anyio.CancelScope
    ) -> None:
        with scope, send:
            while True:
                feed, cursor = self._next(cursor)
                if feed is None:
                    await self.log.wait()
                    continue
                with suppress(anyio.WouldBlock, anyio.BrokenResourceError):
                    send.send_nowait(feed)


class ReplaysTheHistory(BrokenTransport):
    """Hands out all there is to whoever wants what comes."""

    promise = "T6"

    @override
    def tail(self, after: Position | None = None, /) -> Tail:
        return super().tail(after or self.log.bounds().start)


class SubscribesTooLate(BrokenTransport):
    """Looks where the log ends when its pump runs, not when the tail is entered."""

    promise = "T6"

    @override
    async def _follow(
        self, cursor: Position, send: MemoryObjectSendStream[Feed], scope: anyio.CancelScope
    ) -> None:
        if cursor == self._entered_at:
            cursor = self.log.bounds().end
        await super()._follow(cursor, send, scope)

    @override
    def tail(self, after: Position | None = None, /) -> Tail:
        self._entered_at = None if after else self.log.bounds().end
        return super().tail(after)


class TellsAGapTwice(BrokenTransport):
    """Hands out each gap two times."""

    promise = "T7"

    def __init__(self, *, log: MemoryLog) -> None:
        super().__init__(log=log)
        self._told: Feed | None = None

    @override
    def _next(self, cursor: Position) -> tuple[Feed | None, Position]:
        feed, after = super()._next(cursor)
        if isinstance(feed, Gap) and feed != self._told:
            self._told, after = feed, cursor
        return feed, after


class TellsNoGap(BrokenTransport):
    """Takes any position for one of its own and goes on where it can."""

    promise = "T7"
    silent = frozenset(GapReason)

    @override
    def _next(self, cursor: Position) -> tuple[Feed | None, Position]:
        feed, after = super()._next(cursor)
        if isinstance(feed, Gap) and feed.reason in self.silent:
            return super()._next(after)
        return feed, after


class TrimsInSilence(TellsNoGap):
    """Goes on at the first record that is kept, as Redis does."""

    silent = frozenset({GapReason.TRIMMED})


class EndsAtAGap(BrokenTransport):
    """Hands out the gap and nothing after it."""

    promise = "T7"

    @override
    def _next(self, cursor: Position) -> tuple[Feed | None, Position]:
        if cursor.mark == "over":
            return None, cursor
        feed, after = super()._next(cursor)
        if isinstance(feed, Gap):
            after = Position(after.epoch, after.offset, "over")
        return feed, after


class GoesOnElsewhere(BrokenTransport):
    """Goes on at the end of the log, whatever the gap says."""

    promise = "T7"

    @override
    def _next(self, cursor: Position) -> tuple[Feed | None, Position]:
        feed, after = super()._next(cursor)
        return feed, self.log.bounds().end if isinstance(feed, Gap) else after


class WaitsForItsTails(BrokenTransport):
    """Publishes into the streams of its tails, one after the other."""

    promise = "T8"

    def __init__(self, *, log: MemoryLog) -> None:
        super().__init__(log=log)
        self._sends: list[MemoryObjectSendStream[Feed]] = []

    @override
    async def publish(self, publication: Publication, /) -> Published:
        published = await super().publish(publication)
        record = Record(published.position, publication.topics, publication.payload)
        for send in self._sends:
            await send.send(Batch((record,)))
        return published

    @override
    @asynccontextmanager
    async def _tail(
        self, after: Position | None
    ) -> AsyncGenerator[MemoryObjectReceiveStream[Feed]]:
        if after is not None:
            async with super()._tail(after) as stream:
                yield stream
            return
        send, receive = anyio.create_memory_object_stream[Feed](TAIL_BUFFER)
        self._sends.append(send)
        with send, receive:
            yield receive
        self._sends.remove(send)


class SharesOneStream(BrokenTransport):
    """Lets all tails take from one stream: each record reaches one of them."""

    promise = "T8"

    def __init__(self, *, log: MemoryLog) -> None:
        super().__init__(log=log)
        self._shared: MemoryObjectReceiveStream[Feed] | None = None

    @override
    @asynccontextmanager
    async def _tail(
        self, after: Position | None
    ) -> AsyncGenerator[MemoryObjectReceiveStream[Feed]]:
        if self._shared is not None:
            with self._shared.clone() as stream:
                yield stream
            return
        async with super()._tail(after) as self._shared:
            yield self._shared
        self._shared = None
