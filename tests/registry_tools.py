"""What the tests of the registry share: clients in process, and transports that misbehave."""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from starlette.requests import Request

from sse_kit import MemoryLog, MemoryTransport, Position, Transport
from sse_kit.testing.asgi import ASGIProbe
from sse_kit.transports.base import Batch, Feed, Publication, Published, Record, Traits

if TYPE_CHECKING:
    import logging
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

    import pytest
    from anyio.abc import TaskStatus
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from starlette.types import ASGIApp, Receive, Scope, Send

    from sse_kit import ConnectionRegistry, SSEConnection, SSEMessage


def request(**headers: str) -> Request:
    """Return a request as a route gets it."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "headers": raw, "query_string": b""})


def app_of(
    registry: ConnectionRegistry, topics: Iterable[str] = ("news",), **options: Any
) -> ASGIApp:
    """Return an app that streams topics to whoever asks."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await registry.stream(Request(scope), topics, **options)(scope, receive, send)

    return app


def probe(
    registry: ConnectionRegistry, topics: Iterable[str] = ("news",), **options: Any
) -> ASGIProbe:
    """Return a client of that app; the registry runs, or not, by the test's own hand."""
    return ASGIProbe(app_of(registry, topics, **options))


async def stay(
    registry: ConnectionRegistry,
    *,
    task_status: TaskStatus[anyio.CancelScope] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Run the registry in a task of its own, until the scope that it starts with is cancelled."""
    with anyio.CancelScope() as leaving:
        async with registry:
            task_status.started(leaving)
            await anyio.sleep_forever()


async def received(connection: SSEConnection, count: int) -> list[SSEMessage]:
    """Return the next messages."""
    with anyio.fail_after(10):
        return [await anext(connection) for _ in range(count)]


async def texts(connection: SSEConnection, count: int) -> list[str | None]:
    """Return the data of the next messages."""
    return [message.data for message in await received(connection, count)]


async def happens(condition: Callable[[], bool]) -> None:
    """Let others run until ``condition()``."""
    with anyio.fail_after(10):
        while not condition():
            await anyio.lowlevel.checkpoint()


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what sse_kit logged: a loop in its debug mode has its own to say."""
    return [record for record in caplog.records if record.name.startswith("sse_kit")]


async def seen(registry: ConnectionRegistry, position: Position) -> None:
    """Wait until this process has seen the record at ``position``."""
    await happens(lambda: registry.position() == position)


class BreakingTransport(MemoryTransport):
    """Its tail breaks whenever the test says so, by ending or by raising; ``opened`` counts."""

    def __init__(self, log: MemoryLog | None = None) -> None:
        super().__init__(log=log)
        self.opened = 0
        self.failure: Exception | None = None
        self._break = anyio.Event()

    def break_tail(self, failure: Exception | None = None) -> None:
        """End the tail, or have it raise ``failure``."""
        self.failure = failure
        self._break.set()

    @asynccontextmanager
    async def tail(
        self, after: Position | None = None, /
    ) -> AsyncGenerator[MemoryObjectReceiveStream[Feed], None]:
        """Follow the log until it breaks."""
        self.opened += 1
        self._break = anyio.Event()
        send, receive = anyio.create_memory_object_stream[Feed](0)
        async with super().tail(after) as feeds, anyio.create_task_group() as tasks:
            tasks.start_soon(self._relay, feeds, send)
            tasks.start_soon(self._wait, send)
            with send, receive:
                yield receive
            tasks.cancel_scope.cancel()
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure

    async def _relay(
        self, feeds: MemoryObjectReceiveStream[Feed], send: MemoryObjectSendStream[Feed]
    ) -> None:
        async for feed in feeds:
            if self._break.is_set():
                return
            await send.send(feed)

    async def _wait(self, send: MemoryObjectSendStream[Feed]) -> None:
        await self._break.wait()
        send.close()


class Wire:
    """What carries the publications of a :class:`ForgetfulTransport`: it keeps nothing."""

    def __init__(self) -> None:
        self.listeners: dict[MemoryObjectSendStream[Feed], Numbers] = {}

    async def send(self, publication: Publication) -> None:
        """Hand a record to whoever listens now."""
        for listener, numbers in list(self.listeners.items()):
            record = Record(numbers.next(), publication.topics, publication.payload)
            await listener.send(Batch((record,)))


class Numbers:
    """The positions that one listener gives to what it hears."""

    def __init__(self) -> None:
        self.here = Position(secrets.token_urlsafe(6), 0)

    def next(self) -> Position:
        """Count one on."""
        self.here = Position(self.here.epoch, self.here.offset + 1)
        return self.here


class ForgetfulTransport(Transport):
    """A transport without a history, as Redis PUB/SUB is: what nobody hears is gone.

    Every tail begins a log of its own.
    """

    def __init__(self, wire: Wire | None = None) -> None:
        self.wire = wire or Wire()
        self._numbers = Numbers()

    @property
    def traits(self) -> Traits:
        """Nothing to rely on."""
        return Traits(shared=True, durable=False, dedup_window=0)

    async def publish(self, publication: Publication, /) -> Published:
        """Send it."""
        await self.wire.send(publication)
        return Published(self._numbers.here)

    @asynccontextmanager
    async def tail(
        self,
        after: Position | None = None,  # noqa: ARG002  there is no going back
        /,
    ) -> AsyncGenerator[MemoryObjectReceiveStream[Feed], None]:
        """Listen."""
        self._numbers = Numbers()
        send, receive = anyio.create_memory_object_stream[Feed](16)
        self.wire.listeners[send] = self._numbers
        try:
            with send, receive:
                yield receive
        finally:
            self.wire.listeners.pop(send, None)

    def cut(self) -> None:
        """End every tail on this wire, as a broken socket does."""
        for listener in self.wire.listeners:
            listener.close()
        self.wire.listeners.clear()


class Recorder:
    """A hook that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def __call__(self, event: object) -> None:
        self.events.append(event)

    def asynchronous(self) -> Callable[[object], Awaitable[None]]:
        """Return it as a coroutine function."""

        async def hook(event: object) -> None:
            await anyio.lowlevel.checkpoint()
            self.events.append(event)

        return hook
