"""What ``test_broken.py`` runs: the suite against correct transports, and against each broken one.

Of a broken transport only the tests of the promise that it breaks are run: one must fail.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar, Self

from sse_kit.config import Retention
from sse_kit.testing import BROKEN, BrokenTransport, TransportConformance
from sse_kit.transports.memory import MemoryTransport
from sse_kit.transports.memory_log import MemoryLog

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from anyio.streams.memory import MemoryObjectReceiveStream

    from sse_kit.transports.base import (
        Feed,
        Health,
        Position,
        Publication,
        Published,
        Traits,
        Transport,
    )


LARGE = defaultdict[str, MemoryLog](lambda: MemoryLog(Retention(max_bytes=2**20)))
SMALL = defaultdict[str, MemoryLog](lambda: MemoryLog(Retention(max_records=20)))
FREE = defaultdict[str, MemoryLog](lambda: MemoryLog(Retention(max_bytes=None), dedup_window=0))


class OverMemory(TransportConformance):
    transport: ClassVar[type[MemoryTransport]] = MemoryTransport

    def make(self, namespace: str) -> Transport:
        return self.transport(log=LARGE[namespace])

    def make_small(self, namespace: str) -> Transport:
        return self.transport(log=SMALL[namespace])


class Live:
    """A transport by structure alone, without a history."""

    def __init__(self, log: MemoryLog) -> None:
        self.inner = MemoryTransport(log=log)

    @property
    def traits(self) -> Traits:
        return self.inner.traits

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.inner.__aexit__(exc_type, exc, traceback)

    async def publish(self, publication: Publication, /) -> Published:
        return await self.inner.publish(publication)

    def tail(
        self, after: Position | None = None, /
    ) -> AbstractAsyncContextManager[MemoryObjectReceiveStream[Feed]]:
        return self.inner.tail(after)

    async def health(self) -> Health:
        return await self.inner.health()


class TestCorrect(OverMemory):
    pass


class TestWithoutHistory(OverMemory):
    # The slowest, and no other than with a history.
    test_t4_what_is_published_comes_back_as_it_was = None  # type: ignore[assignment]

    def make(self, namespace: str) -> Transport:
        return Live(LARGE[namespace])

    def make_small(self, namespace: str) -> Transport:
        return Live(SMALL[namespace])


class TestWithoutLimits(TransportConformance):
    test_t4_what_is_published_comes_back_as_it_was = None  # type: ignore[assignment]

    def make(self, namespace: str) -> Transport:
        return MemoryTransport(log=FREE[namespace])


def suite_of(broken: type[BrokenTransport]) -> type[OverMemory]:
    """Return the tests of the promise that ``broken`` breaks."""
    prefix = f"test_{broken.promise.lower()}_"
    tests = [name for name in dir(OverMemory) if name.startswith("test_")]
    members: dict[str, Any] = {name: None for name in tests if not name.startswith(prefix)}
    members |= {"transport": broken, "patience": 0.3, "lease": 0.05}
    return type(f"Test{broken.__name__}", (OverMemory,), members)


globals().update({f"Test{broken.__name__}": suite_of(broken) for broken in BROKEN})
