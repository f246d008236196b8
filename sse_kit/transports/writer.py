"""One writer for each process: whatever waits goes to the engine as one batch.

While a batch is under way the next one gathers by itself, so the busier a process is the larger its
batches are, and a publish that comes alone waits for nobody. A batch that failed is sent again with
the same keys, which is what makes it safe not to know whether the engine took it.
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
"""Bytes of payload after which a batch is full; a single payload may be larger."""

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
    """A publication that waits for its answer; ``given_up``: nobody does any more."""

    publication: Publication
    done: anyio.Event = field(default_factory=anyio.Event)
    answer: Published | None = None
    given_up: bool = False


class Writer:
    """Publishes through ``append``, in order; each publication has ``timeout`` seconds.

    :meth:`run` does it, in a task of its own.
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
            reason = self._reason or f"no answer in {self._timeout:g} s"
            raise PublishFailed(publication.key, reason)
        return job.answer

    async def run(self) -> None:
        """Write, for ever."""
        try:
            while True:
                self._sent = self._take()
                if self._sent:
                    await self._write()
                else:
                    await self._wakeup.wait()
        finally:
            self._close()

    def _take(self) -> list[_Job]:
        batch: list[_Job] = []
        size = 0
        while self._waiting and len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES:
            job = self._waiting.popleft()
            if not job.given_up:
                batch.append(job)
                size += len(job.publication.payload)
        return batch

    async def _write(self) -> None:
        """Try until the engine has answered, or nobody waits any more."""
        pauses = delays()
        while batch := [job for job in self._sent if not job.given_up]:
            try:
                answers = await self._append([job.publication for job in batch])
            except Exception as error:  # noqa: BLE001  whatever it is: nobody knows what was stored
                self._reason = str(error) or type(error).__name__
                await anyio.sleep(next(pauses))
                continue
            self._reason = ""
            for job, answer in zip(batch, answers, strict=True):
                job.answer = answer
                job.done.set()
            return

    def _close(self) -> None:
        self._closed = True
        self._reason = "the transport was left"
        for job in (*self._sent, *self._waiting):
            job.done.set()
