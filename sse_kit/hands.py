"""Taking the first step of a call at once, in the name of a task that waits. asyncio only.

Most calls of an ASGI ``send`` end at their first step, because the socket has room; to wake a task
for each costs more than the call. But the first step cannot be taken just anywhere: ``send`` may
look at the current task (timeouts and cancel scopes do), read context variables, suspend, raise.

Here it is taken in the name of a *hand*: a real task that is parked and belongs to nobody yet, and
in a context that the caller gives. A coroutine that suspends is given to that hand, which goes on
with it as any task would, and a new hand takes the place of the old one. So for the coroutine there
has been one task from beginning to end, and a timeout it has set fires at that one. It is what an
eager task of Python 3.12 does, with one task for all the coroutines that end at once.
"""

from __future__ import annotations

import asyncio
from asyncio.tasks import (  # documented, in "Extending asyncio"
    _enter_task,  # pyright: ignore[reportPrivateUsage]
    _leave_task,  # pyright: ignore[reportPrivateUsage]
)
from functools import partial
from types import coroutine as coroutine_of
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
    from contextvars import Context


ENDED = object()
"""Instead of what a first step waits for: nothing more, it was the last one.

``next`` with a default raises no StopIteration at the end, which would cost more than the step.
"""


class Suspended:
    """A call that has suspended: when awaited it goes on, in its own context.

    ``steps`` is what its ``__await__`` has returned, ``waits_for`` what the first of them yielded.
    """

    __slots__ = ("_cancelled", "_context", "_steps", "_waits_for")

    def __init__(self, context: Context, steps: Iterator[object], waits_for: object) -> None:
        self._context = context
        self._steps = steps
        self._waits_for = waits_for
        self._cancelled: BaseException | None = None

    def cancel(self, error: asyncio.CancelledError) -> None:
        """Take a cancellation before it went on, as a task does: what it waits for is cancelled."""
        cancel = getattr(self._waits_for, "cancel", None)
        if cancel is None or not cancel(*error.args):
            self._cancelled = error

    def __await__(self) -> Generator[Any, Any, None]:
        """Have the task wait for what the call waits for, again and again."""
        waits_for = self._waits_for
        while True:
            advance = partial(next, self._steps, ENDED)
            try:
                if self._cancelled is None:
                    yield waits_for
                else:
                    advance = partial(self._throw, self._cancelled)
                    self._cancelled = None
            except BaseException as error:  # noqa: BLE001  whatever it is, it is the call's
                advance = partial(self._throw, error)
            try:
                waits_for = self._context.run(advance)
            except StopIteration:
                return
            if waits_for is ENDED:
                return

    def _throw(self, error: BaseException) -> object:
        """Raise it in the call, or here where that has no way in, as ``yield from`` does."""
        throw: Callable[[BaseException], object] | None = getattr(self._steps, "throw", None)
        if throw is None:
            raise error
        return throw(error)


def first_step(context: Context, call: Awaitable[object]) -> Suspended | None:
    """Take the first step of a call; None: it has ended. Raises what the step raises."""
    steps = call.__await__()
    waits_for = context.run(next, steps, ENDED)
    return None if waits_for is ENDED else Suspended(context, steps, waits_for)


@coroutine_of
def _pause() -> Generator[None, None, None]:
    yield


class Hand:
    """A task in whose name first steps are taken, until one suspends; then it finishes that."""

    __slots__ = ("_finish", "_suspended", "_wake", "task")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._suspended: Suspended | None = None
        self._wake = loop.create_future()
        run = self._run()
        # Begun before it has a task: one that is cancelled before its first step would never begin,
        # and what was given to it would have to go on in another.
        run.send(None)
        # Not by the loop's task factory: an eager one would run it in the middle of a step.
        self.task = asyncio.Task(run, loop=loop, name="sse_kit hand")

    def give(
        self, suspended: Suspended, finish: Callable[[Suspended], Coroutine[Any, Any, None]]
    ) -> None:
        """Have ``finish(suspended)`` run in the task."""
        self._suspended, self._finish = suspended, finish
        if not self._wake.done():
            self._wake.set_result(None)

    async def _run(self) -> None:
        try:
            await _pause()
            await self._wake
        except asyncio.CancelledError as error:
            if self._suspended is None:
                raise
            self._suspended.cancel(error)
        assert self._suspended is not None, "it is woken with one"  # noqa: S101
        await self._finish(self._suspended)


class Hands:
    """The hands of an event loop: ``with hands.stage() as stage`` takes first steps."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.spare: Hand | None = Hand(self.loop)
        self.closed = False

    def stage(self) -> Stage:
        """Return a stage, to be entered at once."""
        return Stage(self)

    async def close(self) -> None:
        """End the spare hand; no other is kept."""
        self.closed = True
        if self.spare is not None:
            self.spare.task.cancel()
            await asyncio.wait([self.spare.task])
            self.spare = None


class Stage:
    """While it is entered a hand's task is the current one, not the task that entered it."""

    __slots__ = ("_hand", "_hands", "_outer")

    def __init__(self, hands: Hands) -> None:
        self._hands = hands

    def __enter__(self) -> Self:
        """Step into the name of a hand."""
        hands = self._hands
        self._outer = asyncio.current_task(hands.loop)
        if self._outer is not None:
            _leave_task(hands.loop, self._outer)
        # Not left there while in use: a step may itself enter a stage, in an eager task.
        self._hand = self._usable(hands.spare)
        hands.spare = None
        _enter_task(hands.loop, self._hand.task)
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Step back."""
        hands = self._hands
        _leave_task(hands.loop, self._hand.task)
        if hands.closed:
            self._hand.task.cancel()
        else:
            hands.spare = self._hand
        if self._outer is not None:
            _enter_task(hands.loop, self._outer)

    def hand_over(
        self, suspended: Suspended, finish: Callable[[Suspended], Coroutine[Any, Any, None]]
    ) -> Hand:
        """Give the present hand a coroutine that suspended here, and take another hand."""
        hand = self._hand
        hand.give(suspended, finish)
        _leave_task(self._hands.loop, hand.task)
        self._hand = Hand(self._hands.loop)
        _enter_task(self._hands.loop, self._hand.task)
        return hand

    def _usable(self, spare: Hand | None) -> Hand:
        """Return the spare hand, or a new one: code in a step may have cancelled its task."""
        if spare is None or spare.task.done() or spare.task.cancelling():
            return Hand(self._hands.loop)
        return spare
