"""A queue for each subscriber: what an application writes where its library has no broadcast."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

T = TypeVar("T")


class Queues(Generic[T]):
    """Everyone's queue; unbounded, so that nothing is lost."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[T]] = set()

    async def publish(self, item: T) -> None:
        """Put ``item`` into every queue."""
        for queue in self._queues:
            queue.put_nowait(item)

    @contextmanager
    def subscribed(self) -> Iterator[asyncio.Queue[T]]:
        """Have a queue as long as this lasts."""
        queue: asyncio.Queue[T] = asyncio.Queue()
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    async def follow(self) -> AsyncIterator[T]:
        """Iterate over a queue of one's own."""
        with self.subscribed() as queue:
            while True:
                yield await queue.get()
