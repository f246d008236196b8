"""A cluster of two processes on one log, with clients that hop between them: a test's world.

Everything is random but the rules: topics, ring, queues, retention, how far each process lags, when
a client reads, hops, or is cut in the middle of a block, when the log is wiped or restored from an
older copy; in half of the worlds that begins a new epoch. The clients read bytes, as browsers do,
and a :class:`~tests.witness.Witness` checks every block against the log that was really written.
"""

from __future__ import annotations

import random
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint

from sse_kit import (
    MemoryLog,
    MemoryTransport,
    Position,
    Retention,
    SSEConnection,
    SSEMessage,
    StreamDecoder,
)
from sse_kit.codec import dump_payload
from sse_kit.config import RegistrySettings
from sse_kit.leases import Leases
from sse_kit.runtime import Runtime, running
from sse_kit.session import ConnectionSession
from sse_kit.transports.base import Feed, Gap, Page, Publication
from tests.marked_log import MarkedLog
from tests.witness import END, History, Witness

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream


TOPICS = ("a", "b", "c", "d")


class LaggingTransport(MemoryTransport):
    """A transport whose tail and answers take a random number of turns of the event loop."""

    def __init__(self, log: MemoryLog, rng: random.Random, lag: int) -> None:
        super().__init__(log=log)
        self._rng = rng
        self._lag = lag

    async def _dawdle(self) -> None:
        for _ in range(self._rng.randint(0, self._lag)):
            await checkpoint()

    @asynccontextmanager
    async def tail(
        self, after: Position | None = None, /
    ) -> AsyncGenerator[MemoryObjectReceiveStream[Feed], None]:
        """Follow the log, late."""
        late, receive = anyio.create_memory_object_stream[Feed](1)
        async with super().tail(after) as feeds, anyio.create_task_group() as tasks:
            tasks.start_soon(self._relay, feeds, late)
            with receive:
                yield receive
            tasks.cancel_scope.cancel()

    async def _relay(
        self, feeds: MemoryObjectReceiveStream[Feed], late: MemoryObjectSendStream[Feed]
    ) -> None:
        with late:
            async for feed in feeds:
                await self._dawdle()
                await late.send(feed)

    async def read(self, after: int, /, *, limit: int) -> Page:
        """Read a page, before or after a while."""
        await self._dawdle()
        page = await super().read(after, limit=self._rng.randint(1, limit))
        await self._dawdle()
        return page

    async def locate(self, position: Position, /) -> Position | Gap:
        """Locate, before or after a while."""
        await self._dawdle()
        found = await super().locate(position)
        await self._dawdle()
        return found


class World:
    """A log, two processes, and what was written."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.history = History()
        keep = self.rng.choice([None, 50, 200])
        kind = MarkedLog if self.rng.random() < 0.5 else MemoryLog
        self.log = kind(Retention(max_records=keep, max_bytes=None))
        self.history.records[self.line] = []
        self.runtimes: list[Runtime] = []
        self.losses = self.rng.random() < 0.5

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Run both processes."""
        async with AsyncExitStack() as stack:
            for _ in range(2):
                settings = RegistrySettings(
                    ring_size=self.rng.randint(1, 64),
                    ring_bytes=self.rng.choice([200, 100_000]),
                    queue_bytes=self.rng.choice([60, 100_000]),
                )
                transport = LaggingTransport(self.log, self.rng, self.rng.choice([0, 2, 20]))
                leases = Leases(recheck=60, max_lifetime=None)
                context = running(transport, settings, leases)
                self.runtimes.append(await stack.enter_async_context(context))
            yield

    async def publish_all(self, count: int) -> None:
        """Write ``count`` records, in bursts, and lose some of them to the engine's accidents."""
        for _ in range(count):
            self._publish(tuple(self.rng.sample(TOPICS, self.rng.randint(1, 3))))
            if self.rng.random() < 0.3:
                for _ in range(self.rng.randint(1, 10)):
                    await checkpoint()
            if self.losses and self.rng.random() < 0.02:
                self._lose()
        self._publish((*TOPICS, END))

    def _publish(self, topics: tuple[str, ...]) -> None:
        bounds = self.log.bounds()
        payload = dump_payload(SSEMessage(f"{bounds.last + 1}"))
        self.log.append(Publication(topics, payload))
        self.history.records[self.line].append(topics)

    @property
    def line(self) -> str:
        """The present history."""
        return self.log.line if isinstance(self.log, MarkedLog) else self.log.bounds().epoch

    def _lose(self) -> None:
        bounds, old = self.log.bounds(), self.line
        if self.rng.random() < 0.3:
            self.log.clear()
            self.history.records[self.line] = []
            return
        fork = max(bounds.last - self.rng.randint(0, 5), bounds.first - 1)
        self.log.rewind(fork)
        self.history.records[self.line] = self.history.records[old][:fork]
        self.history.forks[old] = self.line, fork


class Client:
    """Reads bytes from one process, is cut off, comes back to another."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.rng
        topics = frozenset(self.rng.sample(TOPICS, self.rng.randint(1, 3)))
        self.witness = Witness(world.history, world.log, topics)
        self.last_event_id = ""

    async def run(self, hops: int) -> None:
        """Hop, then stay until the end of the log has come."""
        for _ in range(hops):
            await self._connect(self.rng.randint(0, 40))
        while not self.witness.at_end:
            await self._connect(None)

    async def _connect(self, reads: int | None) -> None:
        connection = SSEConnection(
            "client",
            topics=self.witness.topics,
            queue_size=self.rng.randint(1, 16),
            last_event_id=self.last_event_id or None,
        )
        self.rng.choice(self.world.runtimes).follow(connection)
        session = ConnectionSession(connection, retry=1)
        try:
            await self._read(session, reads)
        finally:
            connection.close()

    async def _read(self, session: ConnectionSession, reads: int | None) -> None:
        decoder = StreamDecoder()
        chunk = session.opening()
        while reads is None or reads > 0:
            self._see(decoder, chunk)
            if reads is None and self.witness.at_end:
                return
            chunk = await self._next(session, patient=reads is None)
            reads = None if reads is None else reads - 1
        # Cut off in the middle of what was on its way.
        self._see(decoder, chunk[: self.rng.randint(0, len(chunk))])

    async def _next(self, session: ConnectionSession, *, patient: bool) -> bytes:
        for _ in range(self.rng.choice([0, 0, 1, 5, 30])):
            await checkpoint()
        if self.rng.random() < 0.3:
            return session.heartbeat()
        if patient:
            await session.wait()
        else:
            await checkpoint()
            session.is_over()
        return session.take()

    def _see(self, decoder: StreamDecoder, chunk: bytes) -> None:
        for block in decoder.feed(chunk):
            self.witness.see(block)
            self.last_event_id = decoder.last_event_id or self.last_event_id


async def run_world(seed: int, *, messages: int = 150, clients: int = 6, hops: int = 8) -> int:
    """Run one world to its end; returns how many events were checked."""
    world = World(seed)
    everyone = [Client(world) for _ in range(clients)]
    with anyio.fail_after(30):
        async with world.running(), anyio.create_task_group() as tasks:
            for client in everyone:
                tasks.start_soon(client.run, world.rng.randint(0, hops))
            tasks.start_soon(world.publish_all, messages)
    return sum(client.witness.events for client in everyone)
