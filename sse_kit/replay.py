"""Asks the engine what the hub's subscriptions need to know.

Equal questions at the same time are asked once (a restart brings thousands of clients with the same
cursor). An engine that fails is asked again, with backoff, for as long as anyone waits: an outage
delays a client, it never loses it anything.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import anyio

from sse_kit.errors import TransportError
from sse_kit.subscription import Ask, Locate, Verify
from sse_kit.transports.base import Gap

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskGroup

    from sse_kit.hub import Hub
    from sse_kit.subscription import Entry, Question, Read, Subscription
    from sse_kit.transports.base import Position, Record, SupportsReplay

logger = logging.getLogger(__name__)

PAGE = 256
"""Records asked for at once."""

PARALLEL = 16
"""Questions under way at once: an engine serves few well, and thousands badly."""

FIRST_DELAY = 0.05
LONGEST_DELAY = 2.0


class Replayer:
    """Answers the questions of a hub; its tasks live in ``tasks``."""

    def __init__(self, hub: Hub, engine: SupportsReplay, tasks: TaskGroup) -> None:
        self._hub = hub
        self._engine = engine
        self._tasks = tasks
        self._limit = anyio.Semaphore(PARALLEL)
        self._waiting: dict[Question, dict[Subscription, None]] = {}
        self._asked: dict[Subscription, Question] = {}

    def ask(self, subscription: Subscription, question: Question) -> None:
        """Have the answer given to the hub, then wake the subscription; one question at a time."""
        if subscription in self._asked:
            return
        self._asked[subscription] = question
        if question in self._waiting:
            self._waiting[question][subscription] = None
            return
        self._waiting[question] = {subscription: None}
        self._tasks.start_soon(self._answer, question)

    def forget(self, subscription: Subscription) -> None:
        """Drop what it asked; its answer, when it comes, goes to nobody."""
        question = self._asked.pop(subscription, None)
        if question is not None:
            del self._waiting[question][subscription]

    async def _answer(self, question: Question) -> None:
        delay = FIRST_DELAY
        while not await self._attempt(question):
            # Holding no place meanwhile: what the engine can answer shall not wait for this.
            await anyio.sleep(random.uniform(delay / 2, delay))  # noqa: S311
            delay = min(delay * 2, LONGEST_DELAY)
        for subscription in self._waiting.pop(question):
            del self._asked[subscription]
            subscription.wake()

    async def _attempt(self, question: Question) -> bool:
        """Ask the engine once, in turn; tell whether nobody waits for the answer any more."""
        async with self._limit:
            try:
                if self._waiting[question]:
                    await self._ask_engine(question)
            except TransportError as error:
                logger.info("transport could not answer %s: %s", question, error)
            except Exception:
                # Whatever it raises: without an answer these clients cannot go on.
                logger.exception("transport failed to answer %s", question)
            else:
                return True
        return False

    async def _ask_engine(self, question: Question) -> None:
        if isinstance(question, Locate):
            await self._locate(question)
        elif isinstance(question, Verify):
            await self._verify(question)
        else:
            await self._read(question)

    async def _read(self, question: Read) -> None:
        position = question.position
        # The record at a mark is read again: so the page proves that it continues that one.
        again = position.mark is not None and position.offset > 0
        page = await self._engine.read(position.offset - again, limit=PAGE + again)
        records = page.records
        if again and records and records[0].position.offset == position.offset:
            if records[0].position != position:
                await self._locate(question)
                return
            records = records[1:]
        entries = _Entries(records, self._hub.ready)
        for subscription in self._waiting[question]:
            self._hub.page_read(subscription, question, page.bounds, entries)

    async def _verify(self, question: Verify) -> None:
        """Have those who arrive wait for the tail, if it has not come to a fork yet."""
        is_lost = isinstance(await self._engine.locate(question.position), Gap)
        for subscription in self._waiting[question]:
            if is_lost:
                self._hub.park(subscription, question)
            else:
                subscription.arrives = False

    async def _locate(self, question: Question) -> None:
        """Have the engine find a position; news of a fork wait until the tail has them too."""
        found = await self._engine.locate(question.position)
        is_behind = isinstance(found, Gap) and await self._is_lost(self._hub.position, found)
        for subscription in self._waiting[question]:
            if is_behind:
                self._hub.park(subscription, question)
            else:
                self._hub.located(subscription, question, found)

    async def _is_lost(self, head: Position, found: Gap) -> bool:
        """Tell whether the hub is beyond a fork itself: then its ring is of the lost history."""
        resume = found.resume
        if head.mark is None or head.epoch != resume.epoch or head.offset <= resume.offset:
            return False
        return isinstance(await self._engine.locate(head), Gap)


class _Entries(Sequence["Entry"]):
    """The records of a page, each made ready once, when the first client gets that far."""

    def __init__(self, records: tuple[Record, ...], ready: Callable[[Record], Entry]) -> None:
        self._records = records
        self._ready = ready
        self._made: dict[int, Entry] = {}

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> list[Entry]: ...
    def __getitem__(self, index: int | slice) -> Entry | list[Entry]:
        if isinstance(index, slice):
            return [self[each] for each in range(len(self))[index]]
        record = self._records[index]
        if index not in self._made:
            self._made[index] = self._ready(record)
        return self._made[index]


class Follower:
    """A subscription with the hub it follows, and the one to ask for what the ring has not."""

    __slots__ = ("hub", "replayer", "subscription")

    def __init__(self, hub: Hub, subscription: Subscription, replayer: Replayer | None) -> None:
        self.hub = hub
        self.subscription = subscription
        self.replayer = replayer

    def advance(self) -> bool:
        """Go as far as possible without waiting; tell whether something is queued."""
        step = self.hub.step(self.subscription)
        if isinstance(step, Ask):
            return step is Ask.READY
        assert self.replayer is not None, "a hub without replay has no questions"  # noqa: S101
        self.replayer.ask(self.subscription, step)
        return False

    def checkpoint(self) -> Position | None:
        """Return the position its client may skip to, or None while anything waits for it."""
        return self.hub.checkpoint(self.subscription)

    def lag(self) -> int:
        """Count the records of the log between it and the head."""
        if self.subscription.live:
            return len(self.subscription.queue)
        return max(self.hub.position.offset - self.subscription.position.offset, 0)

    def release(self) -> None:
        """Stop following."""
        self.hub.discard(self.subscription)
        if self.replayer is not None:
            self.replayer.forget(self.subscription)
