"""One writer for each process: whatever waits goes to the engine as one batch.

While a batch is under way the next one gathers by itself, so the busier a process is the larger its
batches are, and a publish that comes alone waits for nobody. A batch that failed is sent again with
the same keys, which is what makes it safe not to know whether the engine took it; in smaller parts,
so that what cannot be stored keeps nothing else from it.
"""

from __future__ import annotations

import random
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import anyio

from sse_kit.errors import PublishFailed
from sse_kit.transports.base import Publication, Published
from sse_kit.wakeup import Wakeup

MAX_BATCH = 256
"""Publications sent at once, at most."""

MAX_BATCH_BYTES = 1024 * 1024
"""Bytes of payload in a batch, at most; a single payload may be larger, and goes alone."""

PARTS = 16
"""Into how many a batch that failed is split: by halves, one that is stuck would cost the others
more time-outs than there are in ``publish_timeout``."""

FIRST_DELAY = 0.02
LONGEST_DELAY = 0.5
"""Seconds between two attempts: an engine comes back in a second or two, and few ask it."""

Append: TypeAlias = Callable[[Sequence[Publication]], Awaitable[Sequence[Published]]]
"""Stores publications, each with a key, in their order; answers each. Raises if it may not have."""


def delays() -> Iterator[float]:
    """Yield seconds to wait before each further attempt: doubling, with jitter, for ever."""
    delay = FIRST_DELAY
    while True:
        yield random.uniform(delay / 2, delay)  # noqa: S311  jitter
        delay = min(2 * delay, LONGEST_DELAY)


@dataclass(slots=True, eq=False)
class _Job:
    """A publication that waits for its answer; ``given_up``: nobody does any more.

    ``most``: how many a batch that it is part of may hold; ``reason``: why it failed last.
    """

    publication: Publication
    done: anyio.Event = field(default_factory=anyio.Event)
    answer: Published | None = None
    most: int = MAX_BATCH
    reason: str = ""
    given_up: bool = False


class Writer:
    """Publishes through ``append``; each publication has ``timeout`` seconds.

    First come, first served, but one that failed alone goes behind all that wait: whoever needs an
    order waits for the answer before the next publish. :meth:`run` does it, in a task of its own.
    """

    def __init__(self, append: Append, *, timeout: float) -> None:
        self._append = append
        self._timeout = timeout
        self._waiting: deque[_Job] = deque()
        self._sent: list[_Job] = []
        self._wakeup = Wakeup()
        self._reason = ""
        self._closed = False

    async def publish(self, publication: Publication) -> Published:
        """Wait until the engine has it.

        Raises:
            PublishFailed: it is not known whether it has.

        """
        if publication.key is None:
            publication = replace(publication, key=secrets.token_urlsafe(12))
        job = _Job(publication)
        if not self._closed:
            self._waiting.append(job)
            self._wakeup.wake()
            try:
                with anyio.move_on_after(self._timeout):
                    await job.done.wait()
            finally:
                job.given_up = job.answer is None
        if job.answer is None:
            reason = job.reason or self._reason or f"no answer in {self._timeout:g} s"
            raise PublishFailed(publication.key, reason)
        return job.answer

    async def run(self) -> None:
        """Write, for ever."""
        pauses = delays()
        try:
            while True:
                self._sent = self._take()
                if not self._sent:
                    await self._wakeup.wait()
                    pauses = delays()
                elif await self._write(self._sent):
                    pauses = delays()
                else:
                    await anyio.sleep(next(pauses))
        finally:
            self._close()

    def _take(self) -> list[_Job]:
        batch: list[_Job] = []
        size, most = 0, MAX_BATCH
        while self._waiting:
            job = self._waiting.popleft()
            if job.given_up:
                continue
            size += len(job.publication.payload)
            most = min(most, job.most)
            if batch and (len(batch) >= most or size > MAX_BATCH_BYTES):
                self._waiting.appendleft(job)
                break
            batch.append(job)
        return batch

    async def _write(self, batch: list[_Job]) -> bool:
        """Tell whether the engine has answered; those whom it has not wait again."""
        try:
            answers = await self._append([job.publication for job in batch])
        except Exception as error:  # noqa: BLE001  whatever it is: nobody knows what was stored
            self._reason = str(error) or type(error).__name__
            self._put_back(batch)
            return False
        self._reason = ""
        for job, answer in zip(batch, answers, strict=True):
            job.answer = answer
            job.done.set()
        return True

    def _put_back(self, batch: list[_Job]) -> None:
        for job in batch:
            job.reason = self._reason
            job.most = max(1, len(batch) // PARTS)
        if len(batch) > 1:
            self._waiting.extendleft(reversed(batch))
        else:
            self._waiting.extend(batch)

    def _close(self) -> None:
        self._closed = True
        self._reason = "the transport was left"
        for job in (*self._sent, *self._waiting):
            job.reason = self._reason
            job.done.set()
