"""When the dispatcher asks who is silent: once a heartbeat for each, not at every look."""

from __future__ import annotations

from contextvars import Context
from typing import TYPE_CHECKING

import pytest

from sse_kit import dispatch as dispatch_module
from sse_kit.config import RegistrySettings
from sse_kit.dispatch import LONGEST_TICK, Dispatcher
from tests.writing import ASYNCIO

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_kit.hands import Stage, Suspended

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ASYNCIO.values(), ids=ASYNCIO),
]

HEARTBEAT = 15.0


class Clock:
    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


class Silent:
    """A writer to whom nothing is sent; ``then`` is called when it beats."""

    subscription = None
    context = Context()
    due = 0

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self.beats: list[float] = []
        self.then = then

    def advance(self, stage: Stage) -> None:
        """Have nothing to write."""

    def beat(self, stage: Stage, now: float) -> float:  # noqa: ARG002
        self.beats.append(now)
        self.then()
        return now + HEARTBEAT * 0.9

    def keep(self, context: Context) -> None:
        raise NotImplementedError

    def take_hand(self, stage: Stage, suspended: Suspended) -> None:
        raise NotImplementedError

    def fail(self, error: BaseException) -> None:
        raise NotImplementedError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(dispatch_module, "time", clock)
    return clock


def look(dispatcher: Dispatcher, clock: Clock, seconds: float) -> None:
    """Let so much time pass, with a look at every tick of it."""
    last = clock.now + seconds
    while clock.now < last:
        clock.now += LONGEST_TICK
        dispatcher.beat()


async def test_a_silent_stream_is_asked_once_a_heartbeat(clock: Clock) -> None:
    """Never later than that, and not at the looks between."""
    dispatcher = Dispatcher(RegistrySettings(heartbeat=HEARTBEAT))
    writer = Silent()
    dispatcher.add(writer)
    start = clock.now
    look(dispatcher, clock, 10 * HEARTBEAT)
    pauses = [b - a for a, b in zip([start, *writer.beats], writer.beats, strict=False)]
    assert 10 <= len(pauses) <= 13
    assert max(pauses) <= HEARTBEAT
    await dispatcher.hands.close()


async def test_one_that_left_is_asked_no_more(clock: Clock) -> None:
    """Nor is it kept until its time would have come."""
    dispatcher = Dispatcher(RegistrySettings(heartbeat=HEARTBEAT))
    writer = Silent()
    dispatcher.add(writer)
    dispatcher.discard(writer)
    dispatcher.discard(writer)
    look(dispatcher, clock, 3 * HEARTBEAT)
    assert writer.beats == []
    await dispatcher.hands.close()


async def test_one_that_leaves_in_the_middle_of_a_look_is_asked_no_more(clock: Clock) -> None:
    """What it is sent may end another stream, and its own."""
    dispatcher = Dispatcher(RegistrySettings(heartbeat=HEARTBEAT))
    other = Silent()

    def leave() -> None:
        dispatcher.discard(other)
        dispatcher.discard(first)

    first = Silent(leave)
    dispatcher.add(first)
    dispatcher.add(other)
    look(dispatcher, clock, 3 * HEARTBEAT)
    assert (len(first.beats), other.beats) == (1, [])
    await dispatcher.hands.close()
