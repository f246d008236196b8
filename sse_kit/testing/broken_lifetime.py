"""Broken on purpose: the end of a tail, T9, and of a transport, T12."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Self

import anyio
from typing_extensions import override

from sse_kit.testing.broken_base import BrokenTransport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from sse_kit.transports.base import (
        Feed,
        Position,
    )
    from sse_kit.transports.memory_log import MemoryLog


class LeaksItsPump(BrokenTransport):
    """Leaves the task of a tail behind, waiting for records that nobody will take."""

    promise = "T9"

    @override
    async def _follow(
        self, cursor: Position, send: MemoryObjectSendStream[Feed], scope: anyio.CancelScope
    ) -> None:
        await super()._follow(cursor, send, scope)
        await anyio.sleep_forever()


class EndsItsPumpLate(BrokenTransport):
    """Leaves the task of a tail behind until the next record comes."""

    promise = "T9"

    @override
    async def _follow(
        self, cursor: Position, send: MemoryObjectSendStream[Feed], scope: anyio.CancelScope
    ) -> None:
        await super()._follow(cursor, send, anyio.CancelScope())


class EndsEveryTail(BrokenTransport):
    """Ends all tails when one of them is left."""

    promise = "T9"

    def __init__(self, *, log: MemoryLog) -> None:
        super().__init__(log=log)
        self._scopes: list[anyio.CancelScope] = []

    @override
    async def _follow(
        self, cursor: Position, send: MemoryObjectSendStream[Feed], scope: anyio.CancelScope
    ) -> None:
        self._scopes.append(scope)
        await super()._follow(cursor, send, scope)
        for other in self._scopes:
            other.cancel()


class WrapsErrors(BrokenTransport):
    """Keeps a task group around the body of a tail."""

    promise = "T9"

    @override
    @asynccontextmanager
    async def _tail(
        self, after: Position | None
    ) -> AsyncGenerator[MemoryObjectReceiveStream[Feed]]:
        async with anyio.create_task_group(), super()._tail(after) as stream:
            yield stream


class SwallowsErrors(BrokenTransport):
    """Takes the error of a body for the end of the tail."""

    promise = "T9"

    @override
    @asynccontextmanager
    async def _tail(
        self, after: Position | None
    ) -> AsyncGenerator[MemoryObjectReceiveStream[Feed]]:
        async with super()._tail(after) as stream:
            with suppress(Exception):
                yield stream


class WorksOnce(BrokenTransport):
    """Cannot be entered again."""

    promise = "T12"

    def __init__(self, *, log: MemoryLog) -> None:
        super().__init__(log=log)
        self._group = anyio.create_task_group()

    @override
    async def __aenter__(self) -> Self:
        self._tasks = await self._group.__aenter__()
        return self


class LosesItsLog(BrokenTransport):
    """Begins a new log whenever it is entered."""

    promise = "T12"

    @override
    async def __aenter__(self) -> Self:
        self.log.clear()
        return await super().__aenter__()


class WrapsTheErrorOfItsBody(BrokenTransport):
    """Passes the error of its body on to a task group."""

    promise = "T12"

    @override
    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await super().__aexit__(exc_type, exc, traceback)
        async with anyio.create_task_group():
            if isinstance(exc, Exception):
                raise exc
