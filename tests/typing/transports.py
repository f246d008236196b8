"""Transports: using one, and writing one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, assert_type

from sse_kit import MemoryTransport, Position, SupportsReplay, Transport
from sse_kit.transports.base import (
    Batch,
    Bounds,
    Feed,
    Gap,
    GapReason,
    Health,
    Page,
    Publication,
    Published,
    Rebase,
    Record,
    Traits,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.streams.memory import MemoryObjectReceiveStream


def positions() -> None:
    """Parse totally: what is no position is None, not an error."""
    position = Position("epoch", 7)
    assert_type(position.epoch, str)
    assert_type(position.offset, int)
    assert_type(position.mark, str | None)
    assert_type(Position.parse("epoch.7"), Position | None)
    position.offset = 8  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    Position("epoch")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Position.parse(b"epoch.7")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert position < Position("epoch", 8)  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]


async def use(transport: Transport) -> None:
    """Whoever uses a transport sees the protocol alone."""
    async with transport as entered:
        assert_type(entered, Transport)
    assert_type(transport.traits, Traits)
    assert_type(transport.traits.max_payload, int | None)
    assert_type(await transport.health(), Health)
    published = await transport.publish(Publication(("topic",), b"payload"))
    assert_type(published, Published)
    assert_type(published.position, Position)
    async with transport.tail() as feeds:
        async for feed in feeds:
            told(feed)
    if isinstance(transport, SupportsReplay):
        await replay(transport)


def told(feed: Feed) -> None:
    """Tell apart the three things that a tail hands out."""
    match feed:
        case Batch():
            assert_type(feed.records, tuple[Record, ...])
        case Gap():
            assert_type(feed.reason, GapReason)
            assert_type(feed.missed, int | None)
        case Rebase():
            pass


async def replay(history: SupportsReplay) -> None:
    """Use the capability of a history."""
    assert_type(await history.bounds(), Bounds)
    assert_type(await history.read(0, limit=10), Page)
    assert_type(await history.locate(Position("epoch", 7)), Position | Gap)


class Wrapper(Transport):
    """A transport of one's own: three members are all it needs."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner

    @property
    def traits(self) -> Traits:
        return self.inner.traits

    async def publish(self, publication: Publication, /) -> Published:
        return await self.inner.publish(publication)

    @asynccontextmanager
    async def tail(
        self, after: Position | None = None, /
    ) -> AsyncGenerator[MemoryObjectReceiveStream[Feed], None]:
        async with self.inner.tail(after) as feeds:
            yield feeds


class Silent(Transport):
    """One without a tail is not finished."""

    @property
    def traits(self) -> Traits:
        return Traits(shared=False, durable=False, dedup_window=0)

    async def publish(self, publication: Publication, /) -> Published:
        return Published(Position("epoch", len(publication.payload)))


class Wrong(Wrapper):
    """One that publishes text is no transport."""

    async def publish(self, publication: str, /) -> Published:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return Published(Position(publication, 1))


class Deaf:
    """One that has no ``publish`` is no transport, subclass or not."""


async def make() -> None:
    """Make the embedded default, but nothing unfinished."""
    memory = MemoryTransport()
    async with memory as entered:
        assert_type(entered, MemoryTransport)
    await use(memory)
    await use(Wrapper(memory))
    await replay(memory)
    await replay(Wrapper(memory))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await use(Deaf())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Silent()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]
    Transport()  # type: ignore[misc]  # pyright: ignore[reportAbstractUsage]
    MemoryTransport(None)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
