"""A job worth a progress bar: it counts primes, on one core of the server, step by step."""

from __future__ import annotations

import time
from math import isqrt
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from sse_kit.demo.models import JobState, JobStatus

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

LIMIT = 400_000_000
STEPS = 100


class Job:
    """Counts the primes below ``limit`` in ``steps`` steps; one run at a time."""

    def __init__(self, *, limit: int = LIMIT, steps: int = STEPS) -> None:
        self.limit = limit
        self.status = JobStatus(steps=steps)
        self._changed = anyio.Event()

    def claim(self) -> bool:
        """Take the job for a run; False: it is running."""
        if self.status.state is JobState.RUNNING:
            return False
        self._set(JobStatus(state=JobState.RUNNING, steps=self.status.steps))
        return True

    async def run(self, tell: Callable[[JobStatus], Awaitable[object]]) -> None:
        """Do all steps in worker threads; ``tell`` gets the status after each."""
        started = time.monotonic()
        await tell(self.status)
        steps = self.status.steps
        found = 0
        for step in range(steps):
            start, stop = self.limit * step // steps, self.limit * (step + 1) // steps
            found += await to_thread.run_sync(count_primes, start, stop)
            self._set(
                JobStatus(
                    state=JobState.RUNNING if step + 1 < steps else JobState.FINISHED,
                    done=step + 1,
                    steps=steps,
                    found=found,
                    seconds=round(time.monotonic() - started, 3),
                )
            )
            await tell(self.status)

    async def follow(self) -> AsyncGenerator[JobStatus, None]:
        """Yield the present status, and each new one until the run is finished.

        Who is slow misses what is between: each status tells all that the earlier ones did.
        """
        while True:
            status, changed = self.status, self._changed
            yield status
            if status.state is not JobState.RUNNING:
                return
            if status is self.status:
                await changed.wait()

    def _set(self, status: JobStatus) -> None:
        self.status = status
        self._changed.set()
        self._changed = anyio.Event()


def count_primes(start: int, stop: int) -> int:
    """Return how many primes ``p`` have ``start <= p < stop``."""
    start = max(start, 2)
    if stop <= start:
        return 0
    return sum(_sieve(start, stop, primes_below(isqrt(stop - 1) + 1)))


def primes_below(stop: int) -> list[int]:
    """Return all primes ``p < stop``."""
    if stop <= 2:  # noqa: PLR2004  the first prime
        return []
    flags = _sieve(2, stop, primes_below(isqrt(stop - 1) + 1))
    return [number for number, prime in enumerate(flags, 2) if prime]


def _sieve(start: int, stop: int, primes: Sequence[int]) -> bytearray:
    """Return a 1 for each prime from ``start`` to ``stop``, given all up to the root of it."""
    flags = bytearray(b"\1") * (stop - start)
    for prime in primes:
        first = max(prime * prime, -(-start // prime) * prime)
        if first < stop:
            flags[first - start :: prime] = bytes(len(range(first, stop, prime)))
    return flags
