"""What was lost is told exactly: after a restart, a restore, a promotion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from sse_kit.transports.base import Position
from tests.transports.postgres.tools import (
    entered,
    plant,
    publish_all,
    run_sql,
    tail_of,
    told,
    told_by,
    until,
)

if TYPE_CHECKING:
    from sse_kit.testing.engines import PostgresEngine
    from sse_kit.testing.engines.plugin import OwnPostgres

pytestmark = pytest.mark.anyio

TIMELINE = "to_timestamp(('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int)"
"""The naive way to know one life of a server from another."""


async def lose_five_of_fifteen(
    engine: PostgresEngine, *, schema: Literal["sse_kit", "naive"], new_timeline: bool
) -> list[list[str | int]]:
    """Lose 11 to 15, publish 21 to 28; return what clients at 15, 8 and 10 are told."""
    async with entered(engine.url, schema=schema) as transport:
        first = await publish_all(transport, range(1, 11))
        snapshot = engine.snapshot()
        await publish_all(transport, range(11, 16))
    engine.kill()
    engine.restore(snapshot, new_timeline=new_timeline)
    engine.start()
    epoch = first[0].position.epoch
    async with entered(engine.url, schema=schema) as transport:
        await publish_all(transport, range(21, 29))
        return [await told(transport, Position(epoch, offset), 28) for offset in (15, 8, 10)]


NEW = list(range(21, 29))


@pytest.mark.parametrize("new_timeline", [True, False])
async def test_a_lossy_restore_is_told_to_those_who_lost_something(
    own_postgres: OwnPostgres, *, new_timeline: bool
) -> None:
    """Who had seen what is lost gets one gap, to the fork; who had not, loses nothing."""
    engine = own_postgres()
    run_sql(engine.url, "SELECT 1")
    async with entered(engine.url):
        pass
    ahead, behind, at_fork = await lose_five_of_fifteen(
        engine, schema="sse_kit", new_timeline=new_timeline
    )
    assert ahead == ["ahead -> 10", *NEW]
    assert behind == ["rebase", 9, 10, *NEW]
    assert at_fork == ["rebase", *NEW]


async def test_a_timeline_does_not_tell_an_older_copy(own_postgres: OwnPostgres) -> None:
    """The naive way serves the wrong continuation to a client that had seen what is lost."""
    engine = own_postgres()
    plant(engine.url, "naive", "pg_postmaster_start_time()", TIMELINE)
    ahead, _, _ = await lose_five_of_fifteen(engine, schema="naive", new_timeline=False)
    assert ahead == [26, 27, 28]


async def test_an_epoch_of_a_lost_life_is_never_given_again(own_postgres: OwnPostgres) -> None:
    """Two lives that go on from one copy are two epochs: a counter would give both one name."""
    engine = own_postgres()
    epochs: set[str] = set()
    async with entered(engine.url) as transport:
        await publish_all(transport, range(1, 4))
    engine.stop()
    snapshot = engine.snapshot()
    for life in (1, 2):
        engine.start()
        async with entered(engine.url) as transport:
            published = await publish_all(transport, range(10 * life, 10 * life + 3))
            epochs.add(published[-1].position.epoch)
        engine.kill()
        engine.restore(snapshot, new_timeline=False)
    assert len(epochs) == 2


async def test_a_restart_that_loses_nothing_is_no_gap(own_postgres: OwnPostgres) -> None:
    """A tail that lives through it, and one that comes back after it, miss nothing."""
    engine = own_postgres()
    async with entered(engine.url) as transport:
        first = await publish_all(transport, range(1, 6))
        async with tail_of(transport) as tail:
            engine.restart()
            await publish_all(transport, range(6, 9))
            rebase = await tail.next()
            live = [int((await tail.record()).payload) for _ in range(3)]
        again = await told(transport, first[2].position, 8)
    assert (type(rebase).__name__, live) == ("Rebase", [6, 7, 8])
    assert again == ["rebase", 4, 5, 6, 7, 8]


async def test_a_promoted_standby_that_was_behind_is_told(own_postgres: OwnPostgres) -> None:
    """A transport with both addresses goes on with the standby, and tells of what that lacks."""
    primary = own_postgres()
    async with entered(primary.url):
        pass
    standby = own_postgres(standby_of=primary)
    both = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    url = f"postgresql://postgres@{both}/postgres?target_session_attrs=read-write"
    async with entered(url, publish_timeout=15.0) as transport:
        first = await publish_all(transport, range(1, 11))
        behind = "SELECT last FROM sse_kit.log"
        await until(lambda: run_sql(standby.url, behind) == [(10,)])
        standby.stop()
        async with tail_of(transport) as tail:
            await publish_all(transport, range(11, 16))
            seen = [int((await tail.record()).payload) for _ in range(5)]
            primary.kill()
            standby.start()
            standby.promote()
            await publish_all(transport, range(21, 24))
            after = [item for item in await told_by(tail, 23) if item != "rebase"]
        calm = await told(transport, first[7].position, 23)
    assert seen == [11, 12, 13, 14, 15]
    assert after == ["ahead -> 10", 21, 22, 23]
    assert calm == ["rebase", 9, 10, 21, 22, 23]
