"""Lifetimes and authorisers over time: when they are looked at, and that they are spread."""

from __future__ import annotations

import anyio
import pytest

from sse_kit import CloseReason, SSEConnection
from sse_kit import leases as leases_module
from sse_kit.leases import LIFETIME_SPREAD, Leases, ask
from sse_kit.session import ConnectionSession

pytestmark = pytest.mark.anyio

CLIENTS = 200


class Clock:
    """Stands still until it is set; has what the leases want of :mod:`time`."""

    now = 1_000.0

    def monotonic(self) -> float:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that the leases read, and nobody else."""
    clock = Clock()
    monkeypatch.setattr(leases_module, "time", clock)
    return clock


def connections(count: int) -> list[SSEConnection]:
    return [SSEConnection(f"{number}") for number in range(count)]


async def test_streams_that_began_together_end_one_after_the_other(clock: Clock) -> None:
    """Each between nine tenths of the lifetime and all of it."""
    leases = Leases(recheck=60, max_lifetime=100)
    everyone = connections(CLIENTS)
    for each in everyone:
        leases.add(ConnectionSession(each, retry=1), None)
    start, alive = clock.now, []
    async with anyio.create_task_group() as tasks:
        for after in (100 * (1 - LIFETIME_SPREAD) - 0.01, 93, 97, 100):
            clock.now = start + after
            leases.look(tasks)
            alive.append(sum(each.is_active() for each in everyone))
    assert alive[0] == CLIENTS > alive[1] > alive[2] > alive[3] == 0
    assert {each.close_reason for each in everyone} == {CloseReason.LIFETIME}
    assert all(each.goodbye for each in everyone)


async def test_authorisers_of_streams_that_began_together_are_not_asked_as_one(
    clock: Clock,
) -> None:
    """Each for the first time within the interval, and then once an interval."""
    asked: list[SSEConnection] = []

    def authorise(connection: SSEConnection) -> bool:
        asked.append(connection)
        return True

    leases = Leases(recheck=10, max_lifetime=None)
    everyone = connections(CLIENTS)
    for each in everyone:
        leases.add(ConnectionSession(each, retry=1), authorise)
    start = clock.now
    for second in range(1, 31):
        clock.now = start + second
        before = len(asked)
        async with anyio.create_task_group() as tasks:
            leases.look(tasks)
        assert len(asked) - before < CLIENTS / 2
        if second % 10 == 0:
            assert {asked.count(each) for each in everyone} == {second // 10}


async def test_a_stream_that_is_gone_is_not_asked_about(clock: Clock) -> None:
    """Nor ended again."""
    leases = Leases(recheck=1, max_lifetime=1)
    [gone] = connections(1)
    leases.add(ConnectionSession(gone, retry=1), lambda _: False)
    leases.discard(gone)
    leases.discard(gone)
    clock.now += 10
    async with anyio.create_task_group() as tasks:
        leases.look(tasks)
    assert gone.is_active()
    assert len(leases) == 0


async def test_an_answer_that_cannot_be_a_bool_is_none() -> None:
    """As if the authoriser had failed."""

    class Undecided:
        def __bool__(self) -> bool:
            raise TypeError

    [connection] = connections(1)
    answer = await ask(connection, lambda _: Undecided(), timeout=1)  # type: ignore[arg-type, return-value]
    assert answer is None


async def test_being_cancelled_is_no_answer() -> None:
    """An authoriser that is being waited for ends with its request."""
    [connection] = connections(1)
    answered = False

    async def never(_: SSEConnection) -> bool:
        await anyio.sleep_forever()
        return True

    with anyio.CancelScope() as scope:
        scope.cancel()
        await ask(connection, never, timeout=1)
        answered = True
    assert not answered
