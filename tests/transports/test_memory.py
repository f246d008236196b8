"""The log in memory: the promises of every transport, and what is its own."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import lowlevel

from sse_kit.config import Retention
from sse_kit.errors import InvalidPosition, InvalidSetting, Misuse, TransportNotRunning
from sse_kit.testing import TransportConformance
from sse_kit.transports.base import (
    TAIL_BUFFER,
    Batch,
    Bounds,
    Feed,
    Gap,
    GapReason,
    Position,
    Publication,
    Rebase,
)
from sse_kit.transports.memory import BURST, MemoryTransport
from sse_kit.transports.memory_log import DEDUP_WINDOW, MemoryLog

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream

    from sse_kit.transports.base import Transport

LOGS = defaultdict[str, MemoryLog](lambda: MemoryLog(Retention(max_bytes=2**20)))
SMALL_LOGS = defaultdict[str, MemoryLog](lambda: MemoryLog(Retention(max_records=20)))


class TestMemory(TransportConformance):
    lease = 0.05

    def make(self, namespace: str) -> Transport:
        return MemoryTransport(log=LOGS[namespace])

    def make_small(self, namespace: str) -> Transport:
        return MemoryTransport(log=SMALL_LOGS[namespace])


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def numbered(number: int, key: str | None = None) -> Publication:
    return Publication(("t",), b"%d" % number, key)


def fill(log: MemoryLog, count: int) -> None:
    for number in range(1, count + 1):
        log.append(numbered(number))


def limited(
    *, max_records: int | None = None, max_bytes: int | None = None, max_age: float | None = None
) -> tuple[MemoryLog, Clock]:
    clock = Clock()
    kept = Retention(max_records=max_records, max_bytes=max_bytes, max_age=max_age)
    return MemoryLog(kept, clock=clock), clock


def kept(log: MemoryLog) -> tuple[int, int]:
    bounds = log.bounds()
    return bounds.first, bounds.last


def payloads(log: MemoryLog, after: int = 0) -> list[int]:
    return [int(record.payload) for record in log.read(after, 1_000).records]


def test_history_is_bounded_by_count() -> None:
    """The oldest go, one by one."""
    log, _ = limited(max_records=3)
    fill(log, 5)
    assert kept(log) == (3, 5)
    assert payloads(log, 2) == [3, 4, 5]


def test_history_is_bounded_by_bytes() -> None:
    """Of payload and topics; a topic counts as UTF-8."""
    log, _ = limited(max_bytes=3 * 8)
    for _ in range(3):
        log.append(Publication(("\u00e9" * 2, "x"), b"12345"))
    assert kept(log) == (2, 3)


def test_the_newest_record_is_kept_whatever_its_size() -> None:
    """What was acknowledged can be read, at least until the next."""
    log, _ = limited(max_bytes=20)
    fill(log, 3)
    log.append(Publication(("t",), bytes(30)))
    assert kept(log) == (4, 4)
    log.append(numbered(5))
    assert kept(log) == (5, 5)


def test_history_is_bounded_by_age() -> None:
    """What is older goes also when nothing new comes, the newest too."""
    log, clock = limited(max_age=10)
    log.append(numbered(1))
    clock.now += 10
    log.append(numbered(2))
    assert kept(log) == (1, 2)
    clock.now += 1
    assert kept(log) == (2, 2)
    clock.now += 10
    assert kept(log) == (3, 2)
    assert log.read(0, 10).records == ()


def test_a_log_that_is_empty_of_age_goes_on() -> None:
    """Offsets are not used again, and the last position is still one."""
    log, clock = limited(max_age=10)
    last = log.append(numbered(1)).position
    clock.now += 11
    assert log.locate(last) == last
    assert log.append(numbered(2)).position.offset == 2
    assert payloads(log, 1) == [2]


def test_history_without_bounds_keeps_everything() -> None:
    """None is no bound."""
    log, clock = limited()
    fill(log, 1_000)
    clock.now += 10**9
    assert kept(log) == (1, 1_000)


def test_a_key_is_known_for_the_window() -> None:
    """To the last second of it, and not longer."""
    log, clock = limited()
    first = log.append(numbered(1, "k"))
    clock.now += DEDUP_WINDOW
    again = log.append(numbered(2, "k"))
    assert (again.position, again.duplicate) == (first.position, True)
    clock.now += 0.001
    assert log.append(numbered(3, "k")).duplicate is False
    assert payloads(log) == [1, 3]


def test_a_duplicate_does_not_prolong_the_window() -> None:
    """It begins with the first publish."""
    log, clock = limited()
    log.append(numbered(1, "k"))
    clock.now += DEDUP_WINDOW - 1
    assert log.append(numbered(2, "k")).duplicate
    clock.now += 2
    assert not log.append(numbered(3, "k")).duplicate


def test_a_key_outlives_its_record() -> None:
    """T3 is about time: a record that was trimmed is not stored again."""
    log, _ = limited(max_records=1)
    first = log.append(numbered(1, "k"))
    log.append(numbered(2))
    again = log.append(numbered(3, "k"))
    assert (again.position, again.duplicate) == (first.position, True)


def test_without_a_window_no_key_is_known() -> None:
    """And the transport says so."""
    log = MemoryLog(dedup_window=0)
    assert not log.append(numbered(1, "k")).duplicate
    assert not log.append(numbered(2, "k")).duplicate
    assert MemoryTransport(log=log).traits.dedup_window == 0


def test_a_cleared_log_is_another_one() -> None:
    """Its positions are unknown, its keys too, and offsets begin again."""
    log = MemoryLog()
    old = log.append(numbered(1, "k")).position
    log.clear()
    assert log.locate(old) == Gap(GapReason.EPOCH, log.bounds().start)
    again = log.append(numbered(2, "k"))
    assert (again.position.offset, again.duplicate) == (1, False)
    assert again.position.epoch != old.epoch


def test_a_rewound_log_has_a_new_epoch_and_the_old_records() -> None:
    """What is read is all of the new epoch, so that positions compare."""
    log = MemoryLog()
    fill(log, 5)
    old = log.bounds().epoch
    log.rewind(3)
    new = log.bounds().epoch
    log.append(numbered(44))
    page = log.read(0, 10)
    assert new != old
    assert [record.position for record in page.records] == [Position(new, n) for n in (1, 2, 3, 4)]
    assert payloads(log) == [1, 2, 3, 44]


def test_a_position_of_an_earlier_generation_is_translated_up_to_the_fork() -> None:
    """The history before it is the same; beyond it a client is told."""
    log = MemoryLog()
    fill(log, 5)
    old = log.bounds().epoch
    log.rewind(3)
    fill(log, 4)
    new = log.bounds().epoch
    assert [log.locate(Position(old, n)) for n in (0, 3)] == [Position(new, 0), Position(new, 3)]
    assert log.locate(Position(old, 4)) == Gap(GapReason.AHEAD, Position(new, 3))


def test_the_fork_of_an_earlier_generation_moves_back_with_the_log() -> None:
    """Two rewinds: what all three generations share is up to the lower one."""
    log = MemoryLog()
    fill(log, 6)
    epochs = [log.bounds().epoch]
    log.rewind(5)
    epochs.append(log.bounds().epoch)
    log.rewind(2)
    new = log.bounds().epoch
    assert log.forks == dict.fromkeys(epochs, 2)
    assert all(log.locate(Position(old, 2)) == Position(new, 2) for old in epochs)
    assert all(log.locate(Position(old, 3)).__class__ is Gap for old in epochs)


def test_a_gap_at_a_trimmed_fork_resumes_at_what_is_kept() -> None:
    """One gap tells all that is missing: the reader is not sent into a second one."""
    log, _ = limited(max_records=2)
    fill(log, 3)
    old = log.bounds().epoch
    log.rewind(1)
    fill(log, 6)
    bounds = log.bounds()
    assert log.locate(Position(old, 3)) == Gap(GapReason.AHEAD, bounds.start)
    assert bounds.start.offset == 5


def test_keys_go_with_the_records_that_a_rewind_loses() -> None:
    """A lost record is stored when it is published again; a kept one is still known."""
    log = MemoryLog()
    log.append(numbered(1, "kept"))
    log.append(numbered(2, "lost"))
    log.rewind(1)
    known = log.append(numbered(3, "kept"))
    assert (known.duplicate, known.position) == (True, Position(log.bounds().epoch, 1))
    assert log.append(numbered(4, "lost")).duplicate is False
    assert payloads(log) == [1, 4]


@pytest.mark.parametrize("offset", [-1, 1, 6])
def test_a_log_rewinds_only_inside_what_is_kept(offset: int) -> None:
    """Elsewhere there is no record to go on from; nothing changes."""
    log, _ = limited(max_records=3)
    fill(log, 5)
    before = log.bounds()
    with pytest.raises(InvalidPosition, match="rewind inside"):
        log.rewind(offset)
    assert log.bounds() == before


def test_what_a_rewind_loses_no_longer_counts() -> None:
    """The bytes of lost records make room for new ones."""
    log, _ = limited(max_bytes=20)
    fill(log, 9)
    log.rewind(2)
    log.append(Publication(("t",), bytes(15)))
    assert kept(log) == (1, 3)


def test_a_log_rewinds_to_its_edges() -> None:
    """To its end, which loses nothing, and to its start, which loses all."""
    log, _ = limited(max_records=3)
    fill(log, 5)
    log.rewind(5)
    assert payloads(log, 2) == [3, 4, 5]
    log.rewind(2)
    assert kept(log) == (3, 2)
    log.append(Publication(("t",), bytes(1)))
    assert kept(log) == (3, 3)


def test_a_transport_takes_a_log_or_a_retention() -> None:
    """Given both, one would be ignored in silence."""
    with pytest.raises(InvalidSetting, match="retention="):
        MemoryTransport(log=MemoryLog(), retention=Retention())


def test_the_traits_are_those_of_the_log() -> None:
    """A payload may be as large as all that is kept."""
    traits = MemoryTransport(retention=Retention(max_bytes=7)).traits
    assert (traits.shared, traits.durable, traits.max_payload) == (False, False, 7)
    assert traits.dedup_window == DEDUP_WINDOW


async def feeds(stream: MemoryObjectReceiveStream[Feed], count: int) -> list[Feed]:
    with anyio.fail_after(5):
        return [await stream.receive() for _ in range(count)]


def offsets(feed: Feed) -> list[int]:
    assert isinstance(feed, Batch)
    return [record.position.offset for record in feed.records]


@pytest.mark.anyio
async def test_a_tail_is_told_that_the_log_was_cleared() -> None:
    """One gap to the start of the new log, of which it has seen nothing."""
    log = MemoryLog()
    fill(log, 3)
    async with MemoryTransport(log=log) as transport, transport.tail() as stream:
        log.clear()
        fill(log, 2)
        gap, batch = await feeds(stream, 2)
        assert gap == Gap(GapReason.EPOCH, log.bounds().start)
        assert offsets(batch) == [1, 2]


@pytest.mark.anyio
@pytest.mark.parametrize("loss", ["clear", "rewind"])
async def test_a_quiet_tail_is_told_of_a_loss_at_once(loss: str) -> None:
    """Not when the next record comes: until then it would take the log for current."""
    log = MemoryLog()
    fill(log, 3)
    async with MemoryTransport(log=log) as transport, transport.tail() as stream:
        await anyio.wait_all_tasks_blocked()
        if loss == "clear":
            log.clear()
        else:
            log.rewind(1)
        (gap,) = await feeds(stream, 1)
        assert isinstance(gap, Gap)
        assert gap.resume == log.bounds().end


@pytest.mark.anyio
@pytest.mark.parametrize("cursor", [1, 3])
async def test_a_tail_up_to_the_fork_is_told_of_the_new_epoch_once(cursor: int) -> None:
    """With the place of the fork; then it goes on with records of the new epoch."""
    log = MemoryLog()
    fill(log, 5)
    old = log.bounds().epoch
    async with (
        MemoryTransport(log=log) as transport,
        transport.tail(Position(old, cursor)) as stream,
    ):
        log.rewind(3)
        log.append(numbered(44))
        rebase, batch = await feeds(stream, 2)
        new = log.bounds().epoch
        assert rebase == Rebase(old, new, 3)
        assert offsets(batch) == list(range(cursor + 1, 5))
        log.append(numbered(55))
        (batch,) = await feeds(stream, 1)
        assert isinstance(batch, Batch)
        assert batch.records[0].position == Position(new, 5)


@pytest.mark.anyio
async def test_a_tail_beyond_the_fork_is_told_by_a_gap() -> None:
    """What it handed out after the fork never was; it goes on from there."""
    log = MemoryLog()
    fill(log, 5)
    async with MemoryTransport(log=log) as transport, transport.tail() as stream:
        log.rewind(3)
        log.append(numbered(44))
        gap, batch = await feeds(stream, 2)
        assert gap == Gap(GapReason.AHEAD, Position(log.bounds().epoch, 3))
        assert offsets(batch) == [4]


@pytest.mark.anyio
async def test_a_tail_that_slept_through_two_rewinds_is_told_once() -> None:
    """Straight from the generation that it knows to the present one."""
    log = MemoryLog()
    fill(log, 5)
    old = log.bounds().epoch
    async with MemoryTransport(log=log) as transport, transport.tail(Position(old, 2)) as stream:
        log.rewind(4)
        log.rewind(3)
        rebase, batch = await feeds(stream, 2)
        assert rebase == Rebase(old, log.bounds().epoch, 3)
        assert offsets(batch) == [3]


@pytest.mark.anyio
async def test_a_rewind_before_a_clear_is_forgotten() -> None:
    """Of an earlier generation of another log nothing is known."""
    log = MemoryLog()
    fill(log, 5)
    old = log.bounds().epoch
    async with MemoryTransport(log=log) as transport, transport.tail(Position(old, 2)) as stream:
        log.rewind(3)
        log.clear()
        (gap,) = await feeds(stream, 1)
        assert gap == Gap(GapReason.EPOCH, Position(log.bounds().epoch, 0))
        assert log.forks == {}


@pytest.mark.anyio
async def test_a_tail_that_is_outrun_is_told_how_many_it_missed() -> None:
    """What is handed out and what is missed is all there was."""
    log = MemoryLog(Retention(max_records=5))
    async with MemoryTransport(log=log) as transport, transport.tail() as stream:
        for number in range(40):
            await transport.publish(numbered(number))
            await anyio.wait_all_tasks_blocked()
        handed, missed = 0, 0
        while handed + missed < 40:
            (feed,) = await feeds(stream, 1)
            if isinstance(feed, Gap):
                assert feed.reason is GapReason.TRIMMED
                missed += feed.missed or 0
            else:
                handed += len(offsets(feed))
    assert handed + missed == 40
    assert missed > 0
    assert handed >= TAIL_BUFFER


@pytest.mark.anyio
async def test_two_transports_share_a_log() -> None:
    """Which is how tests make a cluster."""
    log = MemoryLog()
    async with (
        MemoryTransport(log=log) as here,
        MemoryTransport(log=log) as there,
        there.tail() as stream,
    ):
        published = await here.publish(numbered(1))
        (batch,) = await feeds(stream, 1)
        assert isinstance(batch, Batch)
        assert batch.records[0].position == published.position
        assert await there.bounds() == Bounds(published.position.epoch, 1, 1)


@pytest.mark.anyio
async def test_two_transports_have_two_logs() -> None:
    """Unless they share one."""
    async with MemoryTransport() as here, MemoryTransport() as there:
        await here.publish(numbered(1))
        assert (await there.bounds()).last == 0
        assert (await there.bounds()).epoch != (await here.bounds()).epoch


@pytest.mark.anyio
async def test_a_transport_is_entered_once_at_a_time() -> None:
    """A second registry with the same transport would end the first one's tails."""
    async with MemoryTransport() as transport:
        with pytest.raises(Misuse, match="running already"):
            async with transport:
                pass
        async with transport.tail() as stream:
            await transport.publish(numbered(1))
            assert offsets((await feeds(stream, 1))[0]) == [1]


@pytest.mark.anyio
async def test_a_tail_needs_a_running_transport() -> None:
    """Before it was entered, and after it was left."""
    transport = MemoryTransport()
    with pytest.raises(TransportNotRunning):
        async with transport.tail():
            pass
    async with transport:
        pass
    with pytest.raises(TransportNotRunning):
        async with transport.tail():
            pass


@pytest.mark.anyio
async def test_leaving_what_was_not_entered_is_no_error() -> None:
    """So that whoever cleans up need not know."""
    await MemoryTransport().__aexit__(None, None, None)


@pytest.mark.anyio
async def test_a_tail_ends_with_its_transport() -> None:
    """Its reader doesn't wait for ever, and leaving it late is no error."""
    transport = MemoryTransport()
    await transport.__aenter__()
    async with transport.tail() as stream:
        await transport.__aexit__(None, None, None)
        with pytest.raises(anyio.EndOfStream):
            await feeds(stream, 1)


@pytest.mark.anyio
async def test_an_error_leaves_a_cancelled_transport_as_it_is() -> None:
    """T12, also when the scope around was cancelled in the meantime."""
    error = ZeroDivisionError()

    async def fail() -> None:
        with anyio.CancelScope() as scope:
            async with MemoryTransport() as transport, transport.tail():
                scope.cancel()
                raise error

    with pytest.raises(ZeroDivisionError) as caught:
        await fail()
    assert caught.value is error


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_of_asyncio_itself_is_not_swallowed() -> None:
    """A server that stops cancels its tasks, and anyio's scopes don't know of it."""
    inside = anyio.Event()

    async def hold() -> None:
        async with MemoryTransport() as transport, transport.tail() as stream:
            inside.set()
            await stream.receive()

    task = asyncio.create_task(hold())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@pytest.mark.anyio
async def test_a_cancelled_publish_stores_nothing() -> None:
    """In memory there is no moment between."""
    async with MemoryTransport() as transport:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await transport.publish(numbered(1))
        assert scope.cancelled_caught
        assert (await transport.bounds()).last == 0


@pytest.mark.anyio
@pytest.mark.parametrize("call", ["publish", "read"])
async def test_a_busy_loop_starves_nobody(call: str) -> None:
    """Publishing lets others run now and then, reading a page each time."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await lowlevel.checkpoint()

    async with MemoryTransport() as transport, anyio.create_task_group() as tasks:
        tasks.start_soon(count)
        for number in range(BURST * 10):
            if call == "publish":
                await transport.publish(numbered(number))
            else:
                await transport.read(0, limit=1)
        tasks.cancel_scope.cancel()
    assert turns >= (10 if call == "publish" else BURST * 10) - 1
