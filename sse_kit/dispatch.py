"""The hot path: one batch to the clients of its topics, without waking a task for each. asyncio.

Theory of operation. The task of a connection is parked in ``receive()``, where it waits for the
client to leave; it writes nothing. Whoever has something for the client (the tail, a heartbeat, the
application) has :class:`Dispatcher` take the first step of ``send``, in the manner of
:mod:`sse_kit.hands`. A ``send`` that suspends goes to a hand, which then writes all that waits for
that client, until nothing does (:mod:`sse_kit.inline`): meanwhile nobody else writes for it, and
what comes is queued in its subscription, which is bounded.

First steps are taken in the event loop's own turns only (the tail's, the housekeeper's, or
:meth:`Dispatcher.wake`'s, which waits for the next one). So code inside of a ``send`` may publish,
open, end or wake streams, its own too: no step begins while another one of the same writer runs.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from contextvars import Context
from typing import TYPE_CHECKING, Protocol

from anyio.lowlevel import current_token

from sse_kit.hands import ENDED, Hands, Suspended
from sse_kit.shutdown import stop_watch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from sse_kit.config import RegistrySettings
    from sse_kit.hands import Stage
    from sse_kit.subscription import Entry, Subscription

HEARTBEAT_SPREAD = 0.2
"""Share by which heartbeats come early, so that those who got the same event don't beat as one;
half of it at least, which is how long the next look at them may take."""

LONGEST_TICK = 0.5
"""Seconds between two looks at who is silent, at most."""


NEVER = -1


class Writer(Protocol):
    """Who writes one stream: what a dispatcher needs of it."""

    due: int
    """The dispatcher's: when it is to :meth:`beat`."""

    @property
    def subscription(self) -> Subscription | None:
        """What it follows, if anything."""
        ...

    @property
    def context(self) -> Context:
        """What its ``send`` runs in."""
        ...

    def advance(self, stage: Stage) -> None:
        """Write all there is, or until ``send`` suspends."""
        ...

    def beat(self, stage: Stage, now: float) -> float:
        """Write a heartbeat if it is time; return when to ask again (seconds, monotonic)."""
        ...

    def keep(self, context: Context) -> None:
        """Have ``send`` run in this context from now on: it has left variables in it."""
        ...

    def take_hand(self, stage: Stage, suspended: Suspended) -> None:
        """Have a hand finish a step, and write what comes meanwhile."""
        ...

    def fail(self, error: BaseException) -> None:
        """End the stream: ``send`` raised."""
        ...


class Dispatcher:
    """Writes for all streams of a registry, in the event loop that made it."""

    def __init__(self, settings: RegistrySettings) -> None:
        self.settings = settings
        self.hands = Hands()
        self.watch = stop_watch()
        self._writers: dict[Subscription, Writer] = {}
        self._tick = min(settings.heartbeat * HEARTBEAT_SPREAD / 2, LONGEST_TICK)
        # By the number of the tick at which it is asked whether it is silent: its ``due``.
        self._due: dict[int, dict[Writer, None]] = {}
        self._woken: list[Writer] = []

    def add(self, writer: Writer) -> None:
        """Take on a writer: what it has is written at once."""
        if writer.subscription is not None:
            self._writers[writer.subscription] = writer
        self._ask_at(writer, time.monotonic() + self.settings.heartbeat * (1 - HEARTBEAT_SPREAD))
        with self.hands.stage() as stage:
            writer.advance(stage)

    def discard(self, writer: Writer) -> None:
        """Forget a writer."""
        if writer.subscription is not None:
            self._writers.pop(writer.subscription, None)
        self._due.get(writer.due, {}).pop(writer, None)
        writer.due = NEVER

    def deliver(self, subscriptions: tuple[Subscription, ...], entries: list[Entry]) -> None:
        """Write the same entries to several clients, or queue them: a ``Deliver`` of the hub.

        Each client is written to once, with the frames joined once for all; more often if that
        would be more than its queue may hold.
        """
        subscriptions[0].audience.touched = time.monotonic()
        for part in parts(entries, self.settings.queue_bytes):
            self._deliver(subscriptions, part)

    def _deliver(self, subscriptions: tuple[Subscription, ...], entries: list[Entry]) -> None:
        chunk = b"".join([entry.frame for entry in entries])
        rest = iter(subscriptions)
        with self.hands.stage() as stage:
            while (common := Context()).run(self._write, rest, chunk, entries, stage, common):
                pass

    def _write(
        self,
        rest: Iterator[Subscription],
        chunk: bytes,
        entries: list[Entry],
        stage: Stage,
        common: Context,
    ) -> bool:
        """Write to those of ``rest``; True: there are more, who need another context.

        Clients that have no context variables share ``common``, in which this runs, and which has
        none either. It is left to the first of them whose ``send`` leaves a variable in it.
        """
        # Every microsecond in this loop is paid for every delivery: so it is written out.
        for subscription in rest:
            send = subscription.send
            if send is None:
                subscription.push(entries)
                continue
            own = subscription.context
            body = {"type": "http.response.body", "body": chunk, "more_body": True}
            try:
                steps = send(body).__await__()
                waits_for = next(steps, ENDED) if own is None else own.run(next, steps, ENDED)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
                self._writers[subscription].fail(error)
                if common:
                    return True
                continue
            if waits_for is not ENDED or common:
                writer = self._writers[subscription]
                if common:
                    writer.keep(common)
                if waits_for is not ENDED:
                    writer.take_hand(stage, Suspended(writer.context, steps, waits_for))
                if common:
                    return True
        return False

    def wake(self, writer: Writer) -> None:
        """Have a writer write what it has, in the next turn of the event loop."""
        if not self._woken:
            self.hands.loop.call_soon(self._advance_woken)
        self._woken.append(writer)

    def _advance_woken(self) -> None:
        woken, self._woken = self._woken, []
        with self.hands.stage() as stage:
            for writer in woken:
                writer.advance(stage)

    async def keep_beating(self) -> None:
        """Write heartbeats, for ever."""
        while True:
            await asyncio.sleep(self._tick)
            self.beat()

    def beat(self) -> None:
        """Write a heartbeat to whoever was sent nothing for a while."""
        now = time.monotonic()
        due = [tick for tick in self._due if tick * self._tick <= now]
        with self.hands.stage() as stage:
            for writer in [writer for tick in due for writer in self._due.pop(tick)]:
                # What it or another is sent may be the end of it.
                again = writer.beat(stage, now) if writer.due != NEVER else now
                if writer.due != NEVER:
                    self._ask_at(writer, again)

    def _ask_at(self, writer: Writer, moment: float) -> None:
        writer.due = int(moment / self._tick) + 1
        self._due.setdefault(writer.due, {})[writer] = None


def parts(entries: list[Entry], max_bytes: int) -> Iterator[list[Entry]]:
    """Split entries into as few lists as may be, of at most ``max_bytes`` or of one entry."""
    if sum([len(entry.frame) for entry in entries]) <= max_bytes:
        yield entries
        return
    part: list[Entry] = []
    size = 0
    for entry in entries:
        if part and size + len(entry.frame) > max_bytes:
            yield part
            part, size = [], 0
        part.append(entry)
        size += len(entry.frame)
    yield part


@asynccontextmanager
async def dispatching(settings: RegistrySettings) -> AsyncGenerator[Dispatcher | None, None]:
    """Give a dispatcher, on asyncio; elsewhere None, and each stream is written by its own task."""
    if not isinstance(current_token().native_token, asyncio.AbstractEventLoop):
        yield None
        return
    dispatcher = Dispatcher(settings)
    try:
        yield dispatcher
    finally:
        await dispatcher.hands.close()
