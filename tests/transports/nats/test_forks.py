"""Servers that come back with less than they had, which their streams do not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit import SSEConnection, publication
from sse_kit.config import RegistrySettings
from sse_kit.leases import Leases
from sse_kit.runtime import running
from sse_kit.testing import FaultProxy
from sse_kit.testing.suite import numbered, place
from sse_kit.transports import nats_log
from sse_kit.transports.base import Gap, GapReason, Position
from sse_kit.transports.nats import NatsTransport
from sse_kit.transports.nats_stream import Names
from tests.transports.nats.tools import api, info_of, plain_client
from tests.transports.tools import numbers, publish, reading, records

if TYPE_CHECKING:
    from pathlib import Path

    from sse_kit.testing.engines import NatsEngine, Reachable
    from sse_kit.testing.engines.plugin import OwnNats
    from sse_kit.transports.base import Record

pytestmark = pytest.mark.anyio


def lose(engine: NatsEngine, snapshot: Path) -> None:
    """Let the server come back without the end of its log, as after a loss of power."""
    engine.kill()
    engine.restore(snapshot)
    engine.start()


async def filled(transport: NatsTransport, engine: NatsEngine) -> Path:
    """Publish 15 numbers, keep a copy, publish 5 more: those will be lost."""
    await publish(transport, range(1, 16))
    copy = engine.snapshot()
    await publish(transport, range(16, 21))
    return copy


async def everything(transport: NatsTransport) -> list[Record]:
    """Read the log."""
    return list((await transport.read(0, limit=99)).records)


def without_mark(position: Position) -> Position:
    return Position(position.epoch, position.offset)


async def test_the_stream_does_not_tell_of_a_fork(own_nats: OwnNats, namespace: str) -> None:
    """X13: its time of creation is the same, and offset 18 is another record."""
    engine = own_nats()
    async with NatsTransport(engine.url, namespace=namespace) as transport:
        copy = await filled(transport, engine)
        async with plain_client(engine.url) as client:
            before = await info_of(client, namespace)
        old = await everything(transport)
        lose(engine, copy)
        await publish(transport, range(101, 109))
        new = await everything(transport)
        async with plain_client(engine.url) as client:
            after = await info_of(client, namespace)
    assert (before["created"], before["config"]) == (after["created"], after["config"])
    assert (old[17].payload, new[17].payload) == (b"18", b"103")
    assert place(old[17].position) == place(new[17].position)
    assert old[14].position == new[14].position
    assert old[17].position.mark != new[17].position.mark


async def check_fork(transport: NatsTransport, lost: Position, fork: Position) -> None:
    """Assert that who had seen a lost record is told where the histories part."""
    assert await transport.locate(lost) == Gap(GapReason.AHEAD, fork)
    async with reading(transport, lost) as tail:
        assert await tail.gap() == Gap(GapReason.AHEAD, fork)
        assert await numbers(tail, 8) == list(range(101, 109))


async def test_a_fork_is_found_by_the_mark(own_nats: OwnNats, namespace: str) -> None:
    """X13: by any process, also one that has never seen the lost records; the others miss nothing.

    Without its mark the same position is taken as it is: 101 to 103 would be lost in silence.
    """
    engine = own_nats()
    async with NatsTransport(engine.url, namespace=namespace) as transport:
        copy = await filled(transport, engine)
        old = [record.position for record in await everything(transport)]
        lose(engine, copy)
        await publish(transport, range(101, 109))
        async with NatsTransport(engine.url, namespace=namespace) as fresh:
            for lost in old[15:]:
                await check_fork(fresh, lost, old[14])
            for kept in old[:15]:
                assert await fresh.locate(kept) == kept
            async with reading(fresh, old[11]) as tail:
                assert await numbers(tail, 5) == [13, 14, 15, 101, 102]
            with pytest.raises(AssertionError):
                await check_fork(fresh, without_mark(old[17]), old[14])


async def test_a_fork_before_anything_new_is_seen(own_nats: OwnNats, namespace: str) -> None:
    """What is beyond the end resumes at the end, which is the fork."""
    engine = own_nats()
    async with NatsTransport(engine.url, namespace=namespace) as transport:
        copy = await filled(transport, engine)
        old = [record.position for record in await everything(transport)]
        lose(engine, copy)
        async with NatsTransport(engine.url, namespace=namespace) as fresh:
            assert await fresh.locate(old[19]) == Gap(GapReason.AHEAD, old[14])


async def check_live(engine: NatsEngine, namespace: str) -> None:
    """Assert that a tail that comes back late, to a log that is longer by then, is told."""
    with FaultProxy(engine.url) as proxy:
        async with (
            NatsTransport(engine.url, namespace=namespace) as transport,
            NatsTransport(proxy.url, namespace=namespace) as late,
            reading(late) as tail,
        ):
            copy = await filled(transport, engine)
            old = await records(tail, 20)
            proxy.refuse()
            proxy.cut()
            lose(engine, copy)
            await publish(transport, range(101, 109))
            proxy.forward()
            gap = await tail.gap()
            assert gap == Gap(GapReason.AHEAD, old[14].position)
            assert await numbers(tail, 8) == list(range(101, 109))


async def test_a_live_tail_sees_a_fork(own_nats: OwnNats, namespace: str) -> None:
    """It reads the record it stands at again: that is another one now."""
    await check_live(own_nats(), namespace)


async def test_the_check_tells_a_tail_that_trusts_numbers(
    own_nats: OwnNats, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """X13: 21 follows 20, and nobody knows that six records were missed."""
    monkeypatch.setattr(nats_log, "_differ", lambda *_: False)
    with pytest.raises(AssertionError):
        await check_live(own_nats(), namespace)


async def test_a_client_that_comes_back_is_told_of_a_fork(
    own_nats: OwnNats, namespace: str
) -> None:
    """Its Last-Event-ID has the mark of what was lost; the gap leads to the fork, and on."""
    engine = own_nats()
    async with NatsTransport(engine.url, namespace=namespace) as transport:
        fork = await transport.publish(publication("t", "kept"))
        copy = engine.snapshot()
        await transport.publish(publication("t", "lost"))
        kept, lost = (record.position for record in await everything(transport))
        lose(engine, copy)
        for text in ("new", "newer"):
            await transport.publish(publication("t", text))
    leases = Leases(recheck=60, max_lifetime=None)
    transport = NatsTransport(engine.url, namespace=namespace)
    async with running(transport, RegistrySettings(), leases) as runtime:
        connection = SSEConnection("c", topics=["t"], last_event_id=str(lost))
        runtime.follow(connection)
        with anyio.fail_after(5):
            gap, *messages = [await anext(connection) for _ in range(3)]
        connection.close()
    assert place(fork.position) == place(kept)
    assert (gap.event, gap.id) == ("gap", str(kept))
    assert [message.data for message in messages] == ["new", "newer"]


async def test_a_restart_without_loss_is_no_gap(own_nats: OwnNats, namespace: str) -> None:
    """After kill -9 and after a clean stop everybody goes on, also the key of what was sent."""
    engine = own_nats()
    async with (
        NatsTransport(engine.url, namespace=namespace) as transport,
        reading(transport) as tail,
    ):
        await transport.publish(numbered(0, key="k"))
        for number, restart in enumerate((engine.kill, engine.stop), start=1):
            restart()
            engine.start()
            await publish(transport, [number])
        again = await transport.publish(numbered(9, key="k"))
        assert await numbers(tail, 3) == [0, 1, 2]
    assert again.duplicate


async def test_a_stream_in_memory_begins_anew(own_nats: OwnNats, namespace: str) -> None:
    """It is gone with its server: a new epoch, of which nobody has seen anything."""
    engine = own_nats()
    async with (
        NatsTransport(engine.url, namespace=namespace, storage="memory") as transport,
        reading(transport) as tail,
    ):
        (old,) = await publish(transport, [1])
        assert await numbers(tail, 1) == [1]
        engine.restart()
        (new,) = await publish(transport, [2])
        gap = await tail.gap()
        assert (gap.reason, gap.resume) == (GapReason.EPOCH, Position(new.epoch, 0))
        assert await numbers(tail, 1) == [2]
        assert not transport.traits.durable
    assert (old.offset, new.offset) == (1, 1)
    assert old.epoch != new.epoch


async def test_a_stream_that_was_deleted_begins_anew(
    nats_engine: Reachable, namespace: str
) -> None:
    """Also where an idle tail is the first to notice, which has nothing to publish."""
    async with NatsTransport(nats_engine.url, namespace=namespace) as transport:
        (old,) = await publish(transport, [1])
        async with reading(transport, old) as tail, plain_client(nats_engine.url) as client:
            await api(client, f"STREAM.DELETE.{Names(namespace).log}")
            gap = await tail.gap()
            assert gap.reason is GapReason.EPOCH
            assert gap.resume.epoch != old.epoch


@pytest.mark.parametrize("mark", ["x", "0", "f" * 40, "ffffffffffffffff", "7fffffffffffffff"])
async def test_a_forged_mark_is_a_gap(nats_engine: Reachable, namespace: str, mark: str) -> None:
    """Any client may send any: it is told so, and harms only itself."""
    async with NatsTransport(nats_engine.url, namespace=namespace) as transport:
        positions = await publish(transport, range(3))
        for offset in (1, 3, 4):
            found = await transport.locate(Position(positions[0].epoch, offset, mark))
            assert isinstance(found, Gap)
            assert found.resume.offset <= offset


async def test_a_position_before_all_is_found_whatever_its_mark(
    nats_engine: Reachable, namespace: str
) -> None:
    """There is no record before the first."""
    async with NatsTransport(nats_engine.url, namespace=namespace) as transport:
        (first,) = await publish(transport, [1])
        start = Position(first.epoch, 0, "1")
        assert await transport.locate(start) == start


async def test_a_record_that_was_trimmed_is_taken_as_it_is(
    nats_engine: Reachable, namespace: str
) -> None:
    """By a tail that stands at it as by whoever comes back: or they would doubt for ever."""
    async with (
        NatsTransport(nats_engine.url, namespace=namespace) as transport,
        plain_client(nats_engine.url) as client,
    ):
        (last,) = await publish(transport, [1])
        await api(client, f"STREAM.PURGE.{Names(namespace).log}")
        other = Position(last.epoch, last.offset, "1")
        assert await transport.locate(other) == other
        page = await transport.next_page(other)
        assert page is not None
        assert page.records == ()
