"""First steps in the name of a parked task, one fact each."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any, cast

import pytest
from anyio.lowlevel import checkpoint

from sse_kit.hands import Hand, first_step
from tests.stepping import Broken, Steps, begin, over, some_hands
from tests.writing import ASYNCIO, EAGER

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ASYNCIO.values(), ids=ASYNCIO),
]

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="nobody's")


# Beginning and going on --------------------------------------------------------------------------


async def test_what_does_not_suspend_has_ended_with_its_first_step() -> None:
    """No task was woken for it."""
    steps = Steps()
    async with some_hands() as hands:
        assert begin(hands, steps.run(0)) == []
        assert steps.log == ["begun", "done"]


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_what_suspends_is_finished_by_the_hand(times: int) -> None:
    """However often."""
    steps = Steps()
    async with some_hands() as hands:
        [hand] = begin(hands, steps.run(times))
        assert steps.log == ["begun"]
        await over(hand)
        assert steps.log == ["begun", *(f"step {number}" for number in range(times)), "done"]
        assert hand.task.exception() is None


async def test_what_waits_is_woken_by_what_it_waits_for() -> None:
    """By a future, with its result, and by nothing else."""
    got: list[str] = []
    async with some_hands() as hands:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def wait() -> None:
            got.append(await answer)
            got.append(await answer)

        [hand] = begin(hands, wait())
        for _ in range(5):
            await checkpoint()
        assert got == []
        answer.set_result("answer")
        await over(hand)
        assert got == ["answer", "answer"]


async def test_what_was_there_before_the_hand_ran_wakes_it_too() -> None:
    """The future is done by the time the hand comes to wait for it."""
    async with some_hands() as hands:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        [hand] = begin(hands, answer)
        answer.set_result("answer")
        await over(hand)
        assert hand.task.exception() is None


async def test_a_first_step_that_raises_raises_where_it_was_taken() -> None:
    """And the next step can be taken in the same stage."""

    async def fail() -> None:
        raise Broken

    steps = Steps()
    async with some_hands() as hands:
        with hands.stage():
            with pytest.raises(Broken):
                first_step(copy_context(), fail())
            assert first_step(copy_context(), steps.run(0)) is None


async def test_a_later_step_that_raises_raises_out_of_the_suspended() -> None:
    """So whoever finishes it can tell."""

    async def fail() -> None:
        await checkpoint()
        raise Broken

    async with some_hands() as hands:
        [hand] = begin(hands, fail())
        await over(hand)
        assert isinstance(hand.task.exception(), Broken)


async def test_the_error_of_what_it_waits_for_is_raised_inside() -> None:
    """Where it can be caught, and the coroutine goes on."""
    got: list[str] = []
    async with some_hands() as hands:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def wait() -> None:
            with pytest.raises(Broken):
                await answer
            await checkpoint()
            got.append("went on")

        [hand] = begin(hands, wait())
        answer.set_exception(Broken())
        await over(hand)
        assert got == ["went on"]


# The current task --------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [0, 1, 3])
@pytest.mark.parametrize("before", [0, 1, 2])
async def test_the_task_is_one_from_the_first_step_to_the_end(times: int, before: int) -> None:
    """Also if others have suspended in the same stage before, and it is none of theirs."""
    everyone = [Steps() for _ in range(before + 1)]
    async with some_hands() as hands:
        given = begin(hands, *(each.run(1) for each in everyone[:-1]), everyone[-1].run(times))
        if given:
            await over(*given)
        [*others, task] = [set(each.tasks) for each in everyone]
        assert len(task) == 1
        assert None not in task
        assert asyncio.current_task() not in task
        assert all(task.isdisjoint(other) for other in others)


async def test_whoever_entered_a_stage_is_current_again_after_it() -> None:
    """Whether the steps ended, suspended or raised."""

    async def fail() -> None:
        raise Broken

    me = asyncio.current_task()
    async with some_hands() as hands:
        begin(hands, Steps().run(0))
        assert asyncio.current_task() is me
        given = begin(hands, Steps().run(1), Steps().run(1))
        assert asyncio.current_task() is me
        with pytest.raises(Broken):
            begin(hands, fail())
        assert asyncio.current_task() is me
        await over(*given)


async def test_a_stage_may_be_entered_where_no_task_runs() -> None:
    """In a callback of the event loop."""
    steps, done = Steps(), asyncio.Event()
    given: list[Hand] = []
    async with some_hands() as hands:

        def callback() -> None:
            given.extend(begin(hands, steps.run(1)))
            assert asyncio.current_task() is None
            done.set()

        asyncio.get_running_loop().call_soon(callback)
        await done.wait()
        await over(*given)
    assert len(set(steps.tasks)) == 1
    assert None not in steps.tasks


async def test_a_step_may_enter_a_stage_itself() -> None:
    """Then the inner steps have another task, and the outer one its own again."""
    inner, outer = Steps(), Steps()
    given: list[Hand] = []
    async with some_hands() as hands:

        async def nested() -> None:
            outer.note("before")
            given.extend(begin(hands, inner.run(1)))
            outer.note("after")
            await checkpoint()
            outer.note("later")

        given += begin(hands, nested())
        await over(*given)
    assert len(set(inner.tasks)) == len(set(outer.tasks)) == 1
    assert inner.tasks[0] is not outer.tasks[0]


async def test_hands_are_not_made_by_the_task_factory_of_the_loop() -> None:
    """An eager one would run them in the middle of a step."""
    loop = asyncio.get_running_loop()
    made: list[object] = []

    def factory(
        loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **options: Any
    ) -> asyncio.Task[Any]:
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(cast("Any", factory))
    try:
        async with some_hands() as hands:
            await over(*begin(hands, Steps().run(1), Steps().run(1)))
    finally:
        loop.set_task_factory(None)
    assert made == []


@pytest.mark.skipif(not EAGER, reason="this Python has no eager tasks for every event loop")
async def test_a_step_may_start_an_eager_task() -> None:
    """Which runs at once, as itself, and may enter a stage."""
    loop = asyncio.get_running_loop()
    eager, inner, outer = Steps(), Steps(), Steps()
    started: list[asyncio.Task[None]] = []
    given: list[Hand] = []
    async with some_hands() as hands:

        async def task() -> None:
            eager.note("begun")
            given.extend(begin(hands, inner.run(1)))
            eager.note("still")
            await checkpoint()
            eager.note("later")

        async def nested() -> None:
            outer.note("before")
            started.append(loop.create_task(task()))
            outer.note("after")
            await started[0]
            outer.note("later")

        loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009  3.12
        try:
            given += begin(hands, nested())
            await over(*given)
        finally:
            loop.set_task_factory(None)
    tasks = [set(each.tasks) for each in (eager, inner, outer)]
    assert [len(each) for each in tasks] == [1, 1, 1]
    assert len(set.union(*tasks)) == 3


# Context variables -------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [0, 1, 2])
async def test_each_step_has_the_context_that_was_given(times: int) -> None:
    """It reads it, writes to it, and leaves that of the caller alone."""
    seen: list[str] = []

    async def look() -> None:
        seen.append(VARIABLE.get())
        for number in range(times):
            VARIABLE.set(f"after {number}")
            await checkpoint()
            seen.append(VARIABLE.get())
        seen.append(await asyncio.create_task(read()) if times else VARIABLE.get())
        VARIABLE.set("the last")

    async def read() -> str:
        return VARIABLE.get()

    context = copy_context()
    context.run(VARIABLE.set, "given")
    async with some_hands() as hands:
        given = begin(hands, look(), context=context)
        if given:
            await over(*given)
    last = f"after {times - 1}" if times else "given"
    assert seen == ["given", *(f"after {number}" for number in range(times)), last]
    assert context[VARIABLE] == "the last"
    assert VARIABLE.get() == "nobody's"


# What is no coroutine ----------------------------------------------------------------------------


class Awaited:
    """Awaitable, and no coroutine."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.done = False

    def __await__(self) -> Generator[None, None, None]:
        for _ in range(self.times):
            yield
        self.done = True


@pytest.mark.parametrize("times", [0, 1, 2])
async def test_an_awaitable_need_not_be_a_coroutine(times: int) -> None:
    """Servers have awaitables of their own."""
    awaitable = Awaited(times)
    async with some_hands() as hands:
        given = begin(hands, awaitable)
        assert awaitable.done == (times == 0)
        if given:
            await over(*given)
        assert awaitable.done


async def test_what_cannot_be_awaited_is_refused_by_name() -> None:
    """At once, as an error of whoever made the call."""
    nothing: Any = 7
    async with some_hands() as hands:
        with pytest.raises(AttributeError, match="'int' object has no attribute '__await__'"):
            begin(hands, nothing)


# The end -----------------------------------------------------------------------------------------


async def test_closing_leaves_no_task() -> None:
    """Not of a spare hand, not of those that have finished."""
    before = asyncio.all_tasks()
    async with some_hands() as hands:
        await over(*begin(hands, *(Steps().run(2) for _ in range(3))))
    assert asyncio.all_tasks() == before


async def test_a_stage_that_is_entered_after_closing_leaves_no_task() -> None:
    """The last callbacks of the event loop may come later than that."""
    before = asyncio.all_tasks()
    async with some_hands() as hands:
        pass
    steps = Steps()
    await over(*begin(hands, steps.run(1)))
    assert steps.log == ["begun", "step 0", "done"]
    await checkpoint()
    await checkpoint()
    assert asyncio.all_tasks() == before


async def test_a_coroutine_that_is_dropped_half_way_is_closed() -> None:
    """Its ``finally`` runs, as that of any coroutine nobody awaits any more."""
    log: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("closed")

    suspended = first_step(copy_context(), wait())
    assert suspended is not None
    waiting = suspended.__await__()
    next(waiting)
    waiting.close()
    assert log == ["closed"]
