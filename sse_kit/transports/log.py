"""A transport over an engine that keeps a log: all of it but the engine.

What an engine's author writes are four things, each of which may simply raise when it fails:

``connected``   an async context manager: open what is needed, close it afterwards
``append``      store publications, in order, each once by its key
``page``        read records, and tell what is kept, from one view
``find``        only where the log may fork: find a position in the present epoch

From these come the promises that are the same for every engine: one writer for each process, which
sends what waits as one batch, and on any doubt again with the same keys; tails that pull from a
cursor; outages that delay and are told by ``health``; a lifetime whose errors leave as they are.

A tail reads, and when there is nothing more it waits for :meth:`LogTransport.wake`, or for
:attr:`LogTransport.poll` seconds: so a lost wake-up costs time, never a record.
"""

from __future__ import annotations

import os
import time
from abc import abstractmethod
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

import anyio

from sse_kit.errors import (
    EngineRefused,
    EngineUnavailable,
    Misuse,
    PayloadTooLarge,
    TransportError,
    TransportNotRunning,
)
from sse_kit.transports.base import (
    MAX_OFFSET,
    TAIL_BUFFER,
    Batch,
    Bounds,
    Feed,
    Gap,
    GapReason,
    Health,
    HealthStatus,
    Page,
    Position,
    Rebase,
    SupportsReplay,
    Traits,
    Transport,
)
from sse_kit.transports.contact import Contact, sentence
from sse_kit.transports.writer import Writer, delays
from sse_kit.wakeup import Wakeup

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from anyio.abc import TaskGroup, TaskStatus
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from sse_kit.transports.base import Publication, Published
    from sse_kit.transports.settings import LogSettings

P = ParamSpec("P")
T = TypeVar("T")

TAIL_BATCH = 256
CLOSE_TIMEOUT = 1.0
"""Seconds for saying goodbye to the engine."""


class _Run:
    """What a transport has between entering and leaving."""

    def __init__(self, outer: TaskGroup, writer: Writer) -> None:
        self.outer = outer
        self.writer = writer
        self.leaving = anyio.Event()
        self.tails: TaskGroup | None = None
        self.process = os.getpid()


class LogTransport(Transport, SupportsReplay):
    """Base of a transport whose engine keeps a log; ``address`` is for people, without secrets."""

    poll: float = 1.0
    """Seconds after which a tail looks by itself."""

    def __init__(self, settings: LogSettings, traits: Traits, *, address: str) -> None:
        self.settings = settings
        self.contact = Contact(address, timeout=settings.request_timeout)
        self._traits = traits
        self._run: _Run | None = None
        self._wakeup = Wakeup()
        self._wakes = 0

    # What an engine's author writes -------------------------------------------------------------

    @abstractmethod
    def connected(self) -> AbstractAsyncContextManager[None]:
        """Connect to the engine and make the log if it is new; on leaving, disconnect.

        It is entered and left in one task of its own, which it may keep task groups in. It bounds
        its own attempts; when the engine goes away later it raises nothing and connects again.

        Raises:
            EngineRefused: the engine said no; trying again is of no use.
            Exception: anything else is tried again, for ``connect_timeout`` seconds.

        """

    @abstractmethod
    async def append(self, publications: Sequence[Publication], /) -> Sequence[Published]:
        """Store publications, each of which has a key, in this order; answer each (T1 to T4)."""

    @abstractmethod
    async def page(self, after: int, limit: int, /) -> Page:
        """Read up to ``limit`` records after ``after``, and what is kept, from one view (R2)."""

    async def find(self, position: Position, /) -> Position | Gap:
        """Find ``position`` in the present epoch (R3); by default there is no other."""
        bounds = (await self.page(MAX_OFFSET, 1)).bounds
        if position.epoch != bounds.epoch:
            return Gap(GapReason.EPOCH, bounds.start)
        if position.offset > bounds.last:
            return Gap(GapReason.AHEAD, bounds.end)
        return Position(bounds.epoch, position.offset)

    async def next_page(self, cursor: Position, /) -> Page | None:
        """Return what follows ``cursor``, or after some time an empty page: a tail's next step.

        None: the cursor is in doubt, it has to be found anew.
        """
        seen = self._wakes
        page = await self._ask(self.page, cursor.offset, TAIL_BATCH)
        if page.bounds.end == Position(cursor.epoch, cursor.offset) and seen == self._wakes:
            with anyio.move_on_after(self.poll):
                await self._wakeup.wait()
        return page

    def wake(self) -> None:
        """Let every tail of this transport look: there is, or may be, something new."""
        self._wakes += 1
        self._wakeup.wake()

    # Lifetime -----------------------------------------------------------------------------------

    @property
    def traits(self) -> Traits:
        """Qualities."""
        return self._traits

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            EngineUnavailable: no answer for ``connect_timeout`` seconds.
            EngineRefused: the engine said no.

        """
        if self._run is not None:
            message = "this transport is running already: each registry needs its own"
            raise Misuse(message)
        outer = await anyio.create_task_group().__aenter__()
        writer = Writer(self._append_batch, timeout=self.settings.publish_timeout)
        run = self._run = _Run(outer, writer)
        try:
            await outer.start(self._host, run)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Disconnect, in :data:`CLOSE_TIMEOUT` seconds at most, also when cancelled."""
        run, self._run = self._run, None
        if run is not None:
            run.leaving.set()
            # Shielded, and told of no error: so that the body's own leaves as it is (T12).
            run.outer.cancel_scope.shield = True
            await run.outer.__aexit__(None, None, None)

    async def _host(self, run: _Run, *, task_status: TaskStatus[None]) -> None:
        """Hold the connection, the writer and the tails, until the transport is left."""
        with anyio.CancelScope() as scope:
            async with AsyncExitStack() as stack:
                await self._connect(stack)
                async with anyio.create_task_group() as run.tails:
                    run.tails.start_soon(run.writer.run)
                    scope.shield = True  # ended by leaving, also for who is cancelled
                    task_status.started()
                    await run.leaving.wait()
                    run.tails.cancel_scope.cancel()
                scope.deadline = anyio.current_time() + CLOSE_TIMEOUT

    async def _connect(self, stack: AsyncExitStack) -> None:
        patience = self.settings.connect_timeout
        start, pauses = time.monotonic(), delays()
        while True:
            try:
                await stack.enter_async_context(self.connected())
            except EngineRefused:
                raise
            except Exception as error:
                if patience is not None and time.monotonic() - start >= patience:
                    raise EngineUnavailable(self.contact.address, sentence(error)) from error
                self.contact.failed(error)
            else:
                self.contact.succeeded()
                return
            await anyio.sleep(next(pauses))

    # Messages -----------------------------------------------------------------------------------

    async def publish(self, publication: Publication, /) -> Published:
        """Append to the log; see :meth:`Transport.publish`."""
        limit = self._traits.max_payload
        if limit is not None and len(publication.payload) > limit:
            raise PayloadTooLarge(len(publication.payload), limit)
        return await self._running().writer.publish(publication)

    async def _append_batch(self, publications: Sequence[Publication]) -> Sequence[Published]:
        published = await self._ask(self.append, publications)
        self.wake()
        return published

    def tail(
        self, after: Position | None = None, /
    ) -> AbstractAsyncContextManager[MemoryObjectReceiveStream[Feed]]:
        """Follow the log; see :meth:`Transport.tail`."""
        return self._tail(after)

    @asynccontextmanager
    async def _tail(
        self, after: Position | None
    ) -> AsyncGenerator[MemoryObjectReceiveStream[Feed]]:
        cursor = await self._end() if after is None else after
        tails = self._running().tails
        if tails is None:
            raise TransportNotRunning
        send, receive = anyio.create_memory_object_stream[Feed](TAIL_BUFFER)
        scope = anyio.CancelScope()
        tails.start_soon(self._follow, cursor, send, scope)
        try:
            with receive:
                yield receive
        finally:
            scope.cancel()

    async def _end(self) -> Position:
        """Return the end of the log; an outage only delays the answer."""
        pauses = delays()
        while True:
            try:
                return (await self.bounds()).end
            except TransportError:
                await anyio.sleep(next(pauses))

    async def _follow(
        self, cursor: Position, send: MemoryObjectSendStream[Feed], scope: anyio.CancelScope
    ) -> None:
        pauses = delays()
        with scope, send:
            while True:
                try:
                    step = await self._next(cursor)
                    feed, found = step or await self._find_again(cursor)
                except Exception as error:  # noqa: BLE001  an outage, told by health
                    self.contact.failed(error)
                    await anyio.sleep(next(pauses))
                    continue
                if step is None and found == cursor:  # whom we asked knows less than another
                    await anyio.sleep(next(pauses))
                    continue
                pauses, cursor = delays(), found
                if feed is None:
                    continue
                try:
                    await send.send(feed)
                except anyio.BrokenResourceError:
                    return

    async def _next(self, cursor: Position) -> tuple[Feed | None, Position] | None:
        """Return what follows ``cursor``, and the cursor after it; None: it is in doubt."""
        page = await self.next_page(cursor)
        if page is None:
            return None
        bounds = page.bounds
        if bounds.epoch != cursor.epoch or cursor.offset > bounds.last:
            return None
        if bounds.first - 1 > cursor.offset:
            missed = bounds.first - 1 - cursor.offset
            return Gap(GapReason.TRIMMED, bounds.start, missed), bounds.start
        if not page.records:
            return None, cursor
        return Batch(page.records), page.records[-1].position

    async def _find_again(self, cursor: Position) -> tuple[Feed | None, Position]:
        found = await self.locate(cursor)
        if isinstance(found, Gap):
            return found, found.resume
        if found.epoch != cursor.epoch:
            return Rebase(cursor.epoch, found.epoch, found.offset), found
        return None, found

    # History ------------------------------------------------------------------------------------

    async def bounds(self) -> Bounds:
        """Tell what is kept."""
        return (await self._ask(self.page, MAX_OFFSET, 1)).bounds

    async def read(self, after: int, /, *, limit: int) -> Page:
        """Read up to ``limit`` records after ``after``."""
        return await self._ask(self.page, after, limit)

    async def locate(self, position: Position, /) -> Position | Gap:
        """Find ``position`` in the present epoch."""
        return await self._ask(self.find, position)

    # Health -------------------------------------------------------------------------------------

    async def health(self) -> Health:
        """Ask the engine for the end of the log; what it answers, or that it does not."""
        try:
            bounds = await self.bounds()
        except (TransportError, TransportNotRunning) as error:
            return Health(HealthStatus.DOWN, str(error))
        return Health(HealthStatus.OK, f"{self.contact.address}, {bounds.end}")

    def _running(self) -> _Run:
        # A process that was forked off has what its parent had, but nobody who runs it.
        if self._run is None or self._run.process != os.getpid():
            raise TransportNotRunning
        return self._run

    async def _ask(
        self, question: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        self._running()
        return await self.contact.ask(question, *args, **kwargs)
