"""sse_kit.demo.job: it counts right, once at a time, and tells every step."""

from __future__ import annotations

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from sse_kit.demo.job import LIMIT, Job, count_primes, primes_below
from sse_kit.demo.models import JobState, JobStatus


async def run(job: Job) -> list[JobStatus]:
    """Run the job and return what it told."""
    told: list[JobStatus] = []

    async def tell(status: JobStatus) -> None:
        await checkpoint()
        told.append(status)

    assert job.claim()
    await job.run(tell)
    return told


@pytest.mark.parametrize(("limit", "primes"), [(10, 4), (1_000, 168), (1_000_000, 78_498)])
def test_it_counts_as_many_primes_as_there_are(limit: int, primes: int) -> None:
    """The prime-counting function is known."""
    assert count_primes(0, limit) == len(primes_below(limit)) == primes


@given(start=st.integers(0, 2_000), width=st.integers(0, 500))
def test_a_range_has_the_primes_that_nothing_divides(start: int, width: int) -> None:
    """Any range is counted as one divides by hand, without the ends of others."""
    numbers = range(max(start, 2), start + width)
    by_hand = sum(all(number % by for by in range(2, number)) for number in numbers)
    assert count_primes(start, start + width) == by_hand


@pytest.mark.anyio
async def test_a_run_tells_every_step() -> None:
    """The first status has nothing done, the last all; no step is left out."""
    told = await run(Job(limit=1_000, steps=7))
    assert [status.done for status in told] == list(range(8))
    assert [status.state for status in told] == [JobState.RUNNING] * 7 + [JobState.FINISHED]
    assert told[-1].found == 168


@pytest.mark.anyio
async def test_a_job_runs_once_at_a_time() -> None:
    """A claim is refused until the run is finished."""
    job = Job(limit=100, steps=2)
    assert job.claim()
    assert not job.claim()


@pytest.mark.anyio
async def test_a_finished_job_can_run_again() -> None:
    """It starts from nothing, and finds the same."""
    job = Job(limit=100, steps=2)
    first = await run(job)
    second = await run(job)
    assert second[0].done == second[0].found == 0
    assert second[-1].found == first[-1].found == 25


@pytest.mark.anyio
async def test_a_follower_sees_the_run_to_its_end() -> None:
    """It gets the present status, then newer ones, and the last one for certain."""
    job = Job(limit=1_000, steps=5)
    seen: list[JobStatus] = []

    async def follow() -> None:
        seen.extend([status async for status in job.follow()])

    async with anyio.create_task_group() as tasks:
        assert job.claim()
        tasks.start_soon(follow)
        tasks.start_soon(job.run, lambda _: checkpoint())
    done = [status.done for status in seen]
    assert done == sorted(set(done))
    assert seen[-1].state is JobState.FINISHED


@pytest.mark.anyio
async def test_a_job_that_does_not_run_is_followed_once() -> None:
    """There is nothing to wait for."""
    job = Job(steps=3)
    assert [status async for status in job.follow()] == [JobStatus(steps=3)]


def test_the_page_tells_the_limit_that_is_counted_to() -> None:
    """Its text names 400 million."""
    assert LIMIT == 400_000_000
