"""What was lost is told exactly: after a restart, a restore, a promotion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sse_kit.testing.suite import fresh_namespace
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
    from sse_kit.transports.postgres_settings import PostgresOptions

pytestmark = pytest.mark.anyio

TIMELINE = "to_timestamp(('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int)"
"""The naive way to know one life of a server from another."""


async def lose_five_of_fifteen(
    engine: PostgresEngine, *, schema: str, new_timeline: bool
) -> list[list[str | int]]:
    """Lose 11 to 15, publish 21 to 28; return what clients at 15, 8 and 10 are told."""
    how: PostgresOptions = {"schema": schema, "namespace": fresh_namespace()}
    async with entered(engine.url, **how) as transport:
        first = await publish_all(transport, range(1, 11))
        snapshot = engine.snapshot()
        await publish_all(transport, range(11, 16))
    engine.kill()
    engine.restore(snapshot, new_timeline=new_timeline)
    engine.start()
    epoch = first[0].position.epoch
    async with entered(engine.url, **how) as transport:
        await publish_all(transport, range(21, 29))
        return [await told(transport, Position(epoch, offset), 28) for offset in (15, 8, 10)]


NEW = list(range(21, 29))


@pytest.mark.parametrize("new_timeline", [True, False])
async def test_a_lossy_restore_is_told_to_those_who_lost_something(
    mortal: PostgresEngine, *, new_timeline: bool
) -> None:
    """Who had seen what is lost gets one gap, to the fork; who had not, loses nothing."""
    ahead, behind, at_fork = await lose_five_of_fifteen(
        mortal, schema="sse_kit", new_timeline=new_timeline
    )
    assert ahead == ["ahead -> 10", *NEW]
    assert behind == ["rebase", 9, 10, *NEW]
    assert at_fork == ["rebase", *NEW]


async def test_a_timeline_does_not_tell_an_older_copy(mortal: PostgresEngine) -> None:
    """The naive way serves the wrong continuation to a client that had seen what is lost."""
    plant(mortal.url, "naive_life", "pg_postmaster_start_time()", TIMELINE)
    ahead, _, _ = await lose_five_of_fifteen(mortal, schema="naive_life", new_timeline=False)
    assert ahead == [26, 27, 28]


async def test_an_epoch_of_a_lost_life_is_never_given_again(
    mortal: PostgresEngine, namespace: str
) -> None:
    """Two lives that go on from one copy are two epochs: a counter would give both one name."""
    epochs: set[str] = set()
    async with entered(mortal.url, namespace=namespace) as transport:
        await publish_all(transport, range(1, 4))
    mortal.stop()
    snapshot = mortal.snapshot()
    for life in (1, 2):
        mortal.start()
        async with entered(mortal.url, namespace=namespace) as transport:
            published = await publish_all(transport, range(10 * life, 10 * life + 3))
            epochs.add(published[-1].position.epoch)
        mortal.kill()
        mortal.restore(snapshot, new_timeline=False)
    assert len(epochs) == 2


async def test_a_restart_that_loses_nothing_is_no_gap(
    mortal: PostgresEngine, namespace: str
) -> None:
    """A tail that lives through it, and one that comes back after it, miss nothing."""
    async with entered(mortal.url, namespace=namespace) as transport:
        first = await publish_all(transport, range(1, 6))
        async with tail_of(transport) as tail:
            mortal.restart()
            await publish_all(transport, range(6, 9))
            rebase = await tail.next()
            live = [int((await tail.record()).payload) for _ in range(3)]
        again = await told(transport, first[2].position, 8)
    assert (type(rebase).__name__, live) == ("Rebase", [6, 7, 8])
    assert again == ["rebase", 4, 5, 6, 7, 8]


async def test_a_promoted_standby_that_was_behind_is_told(
    mortal: PostgresEngine, own_postgres: OwnPostgres, namespace: str
) -> None:
    """A transport with both addresses goes on with the standby, and tells of what that lacks."""
    standby = own_postgres(standby_of=mortal)
    both = f"127.0.0.1:{mortal.port},127.0.0.1:{standby.port}"
    url = f"postgresql://postgres@{both}/postgres?target_session_attrs=read-write"
    async with entered(url, namespace=namespace, publish_timeout=15.0) as transport:
        first = await publish_all(transport, range(1, 11))
        behind = "SELECT last FROM sse_kit.log WHERE namespace = '{n}'"
        await until(lambda: run_sql(standby.url, behind, n=namespace) == [(10,)])
        standby.stop()
        async with tail_of(transport) as tail:
            await publish_all(transport, range(11, 16))
            seen = [int((await tail.record()).payload) for _ in range(5)]
            mortal.kill()
            standby.start()
            standby.promote()
            await publish_all(transport, range(21, 24))
            after = [item for item in await told_by(tail, 23) if item != "rebase"]
        calm = await told(transport, first[7].position, 23)
    assert seen == [11, 12, 13, 14, 15]
    assert after == ["ahead -> 10", 21, 22, 23]
    assert calm == ["rebase", 9, 10, 21, 22, 23]
