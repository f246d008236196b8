"""What all promises are tested with: how to make the transport, and how to read a tail."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias
from uuid import uuid4

import anyio
import pytest
from anyio import lowlevel

from sse_kit.transports.base import (
    Batch,
    Feed,
    Gap,
    Position,
    Publication,
    Rebase,
    Record,
    SupportsReplay,
    Transport,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable

    from anyio.streams.memory import MemoryObjectReceiveStream

TOPICS = ("conformance",)
MANY_TOO_MANY = 5_000
END = b"end"
"""The payload of the record that a test publishes last, to read up to it instead of waiting."""


class Replaying(Transport, SupportsReplay, Protocol):
    """A transport with a history."""


def numbered(number: int, *, key: str | None = None) -> Publication:
    """Return a publication whose payload is the number."""
    return Publication(TOPICS, b"%d" % number, key)


def fresh_namespace() -> str:
    """Return a name that nobody has used: letters and digits, 33 of them."""
    return f"n{uuid4().hex}"


def place(position: Position) -> tuple[str, int]:
    """Return what two positions of the same record have in common: a mark may be left out."""
    return position.epoch, position.offset


def offsets(records: Iterable[Record]) -> list[int]:
    """Return the offset of each."""
    return [record.position.offset for record in records]


async def publish_numbers(transport: Transport, numbers: Iterable[int]) -> None:
    """Publish them one after the other, and let everybody else run after each."""
    for number in numbers:
        await transport.publish(numbered(number))
        await lowlevel.checkpoint()


async def publish_at_once(transports: Iterable[Transport], numbers: range) -> list[list[Position]]:
    """Publish from 32 tasks at a time, spread over the transports; each task's own positions."""
    published: list[list[Position]] = []
    using = list(transports)

    async def publisher(transport: Transport, own: Iterable[int]) -> None:
        positions: list[Position] = []
        published.append(positions)
        for number in own:
            positions.append((await transport.publish(numbered(number))).position)
            await lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        for index in range(32):
            tasks.start_soon(publisher, using[index % len(using)], numbers[index::32])
    return published


Item: TypeAlias = Record | Gap | Rebase


class TailReader:
    """Reads a tail item by item; fails the test instead of waiting for more than ``patience``."""

    def __init__(self, stream: MemoryObjectReceiveStream[Feed], patience: float) -> None:
        self.stream = stream
        self._patience = patience
        self._items: deque[Item] = deque()
        self._last: Item | None = None

    async def next(self) -> Item:
        """Return the next record, gap or rebase."""
        while not self._items:
            feed = await self._receive()
            self._items.extend(feed.records if isinstance(feed, Batch) else (feed,))
        self._last = self._items.popleft()
        return self._last

    async def record(self) -> Record:
        """Return the next item, which must be a record."""
        item = await self.next()
        assert isinstance(item, Record), f"a record should come here, not {item}"
        return item

    async def gap(self) -> Gap:
        """Return the next item, which must be a gap."""
        item = await self.next()
        assert isinstance(item, Gap), f"a gap should come here, not {item}"
        return item

    async def until(self, payload: bytes = END) -> list[Record]:
        """Return the records up to the one with ``payload``, which is left out."""
        records: list[Record] = []
        while (record := await self.record()).payload != payload:
            records.append(record)
        return records

    async def _receive(self) -> Feed:
        with anyio.move_on_after(self._patience):
            try:
                return await self.stream.receive()
            except anyio.EndOfStream:
                pytest.fail(f"the tail ended by itself after {self._last}")
        pytest.fail(f"the tail was silent for {self._patience} s after {self._last}")


class Suite:
    """How the transport is made; every promise's tests inherit it.

    Not an abstract class: pytest passes over those in silence, and nothing would be proved.
    """

    patience: ClassVar[float] = 10.0
    """Seconds after which a silent transport counts as broken; a test may take thrice that."""

    def make(self, namespace: str) -> Transport:
        """Return a transport, not entered, over the log of that name.

        Called several times with one name: the same log. A name that is new: an empty log.
        """
        pytest.fail(f"{type(self).__name__} makes no transport for {namespace}: override make")

    def make_small(self, namespace: str) -> Transport:
        """Return the like, over a log that keeps fewer than 200 records: tests of trimming need it.

        The default skips them.
        """
        pytest.skip(f"no log to trim for {namespace}: override make_small to test trimming")

    @pytest.fixture
    def namespace(self) -> str:
        """Return a name of the test's own."""
        return fresh_namespace()

    @asynccontextmanager
    async def open(self, namespace: str) -> AsyncGenerator[Transport]:
        """Enter a transport; the body may take thrice the patience."""
        with anyio.fail_after(3 * self.patience):
            async with self.make(namespace) as transport:
                yield transport

    @asynccontextmanager
    async def open_history(
        self, namespace: str, *, small: bool = False
    ) -> AsyncGenerator[Replaying]:
        """Enter a transport with a history; skip the test if it has none."""
        transport = self.make_small(namespace) if small else self.make(namespace)
        if not isinstance(transport, SupportsReplay):
            pytest.skip(f"{type(transport).__name__} keeps no history: it is no SupportsReplay")
        with anyio.fail_after(3 * self.patience):
            async with transport:
                yield transport

    @asynccontextmanager
    async def tail(
        self, transport: Transport, after: Position | None = None
    ) -> AsyncGenerator[TailReader]:
        """Enter a tail."""
        async with transport.tail(after) as stream:
            yield TailReader(stream, self.patience)

    async def fill_until_trimmed(self, transport: Replaying) -> int:
        """Publish until the first record is gone; return how many were published."""
        number = 0
        while (await transport.bounds()).first == 1:
            number += 1
            assert number < MANY_TOO_MANY, "make_small should keep fewer than 200 records"
            await transport.publish(numbered(number))
        return number


def run_apart(backend: str, options: dict[str, Any], step: Callable[[], Awaitable[None]]) -> None:
    """Run ``step`` on an event loop of its own, in a thread that has no other."""
    with ThreadPoolExecutor(1) as pool:
        run = partial(anyio.run, step, backend=backend, backend_options=options)
        pool.submit(run).result()
