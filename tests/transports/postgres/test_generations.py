"""What was lost is told exactly: after a restart, a restore, a promotion."""

from __future__ import annotations

import subprocess
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import anyio
import pytest

from sse_kit.testing.suite import fresh_namespace
from sse_kit.transports.base import Position
from sse_kit.transports.postgres import PostgresTransport
from tests.transports.postgres.tools import (
    entered,
    numbered,
    plant,
    publish_all,
    run_sql,
    tail_of,
    told,
    told_by,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sse_kit.testing.engines import PostgresEngine
    from sse_kit.testing.engines.plugin import OwnPostgres
    from sse_kit.transports.postgres_settings import PostgresOptions

pytestmark = pytest.mark.anyio

Restore: TypeAlias = "Callable[[], None]"

TIMELINE = "to_timestamp(('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int)"
"""The naive way to know one life of a server from another."""


def copied(engine: PostgresEngine, *, new_timeline: bool) -> Restore:
    """Copy the files; return what kills the server, and starts it on the copy."""
    snapshot = engine.snapshot()

    def restore() -> None:
        engine.kill()
        engine.restore(snapshot, new_timeline=new_timeline)
        engine.start()

    return restore


def dumped(engine: PostgresEngine, url: str, dump: Path, *prepare: str) -> Restore:
    """Dump a database; return what restores it into the running server, which is prepared first."""

    def call(program: str, *arguments: str) -> None:
        path = engine.program.with_name(program + engine.program.suffix)
        subprocess.run([path, *arguments, f"--dbname={url}"], check=True)

    call("pg_dump", "--format=custom", f"--file={dump}")

    def restore() -> None:
        if prepare:
            run_sql(engine.url, *prepare)
        call("pg_restore", *(() if prepare else ("--clean",)), str(dump))

    return restore


async def lose_five_of_fifteen(
    url: str, save: Callable[[], Restore], schema: str = "sse_kit"
) -> list[list[str | int]]:
    """Lose 11 to 15, publish 21 to 28; return what clients at 15, 8 and 10 are told."""
    how: PostgresOptions = {"schema": schema, "namespace": fresh_namespace()}
    async with entered(url, **how) as transport:
        first = await publish_all(transport, range(1, 11))
        restore = save()
        await publish_all(transport, range(11, 16))
    restore()
    epoch = first[0].position.epoch
    async with entered(url, **how) as transport:
        await publish_all(transport, range(21, 29))
        return [await told(transport, Position(epoch, offset), 28) for offset in (15, 8, 10)]


NEW = list(range(21, 29))


@pytest.mark.parametrize("new_timeline", [True, False])
async def test_a_lossy_restore_is_told_to_those_who_lost_something(
    mortal: PostgresEngine, *, new_timeline: bool
) -> None:
    """Who had seen what is lost gets one gap, to the fork; who had not, loses nothing."""
    told_to = await lose_five_of_fifteen(
        mortal.url, partial(copied, mortal, new_timeline=new_timeline)
    )
    assert_told(*told_to)


def assert_told(ahead: list[str | int], behind: list[str | int], at_fork: list[str | int]) -> None:
    assert ahead == ["ahead -> 10", *NEW]
    assert behind == ["rebase", 9, 10, *NEW]
    assert at_fork == ["rebase", *NEW]


async def test_a_timeline_does_not_tell_an_older_copy(mortal: PostgresEngine) -> None:
    """The naive way serves the wrong continuation to a client that had seen what is lost."""
    plant(mortal.url, "naive_life", "pg_postmaster_start_time()", TIMELINE)
    save = partial(copied, mortal, new_timeline=False)
    ahead, _, _ = await lose_five_of_fifteen(mortal.url, save, "naive_life")
    assert ahead == [26, 27, 28]


@pytest.fixture
def database(mortal: PostgresEngine) -> str:
    """Return the URL of a database of the test's own; its tables are there."""
    name = fresh_namespace()
    run_sql(mortal.url, f"CREATE DATABASE {name}")
    url = f"{mortal.url.rpartition('/')[0]}/{name}"
    anyio.run(PostgresTransport(url).setup)
    return url


@pytest.mark.parametrize("anew", [True, False])
async def test_a_dump_that_is_restored_into_the_running_server_is_told(
    mortal: PostgresEngine, database: str, tmp_path: Path, *, anew: bool
) -> None:
    """Into a database made anew, or over the tables that are there."""
    name = database.rpartition("/")[2]
    prepare = (f"DROP DATABASE {name} WITH (FORCE)", f"CREATE DATABASE {name}") if anew else ()
    save = partial(dumped, mortal, database, tmp_path / "dump", *prepare)
    assert_told(*await lose_five_of_fifteen(database, save))


async def test_a_start_time_does_not_tell_a_restored_dump(
    mortal: PostgresEngine, database: str, tmp_path: Path
) -> None:
    """The naive way serves the wrong continuation to a client that had seen what is lost."""
    plant(database, "naive_life", "pg_relation_filenode('sse_kit.log')", "NULL")
    save = partial(dumped, mortal, database, tmp_path / "dump")
    ahead, _, _ = await lose_five_of_fifteen(database, save, "naive_life")
    assert ahead == [26, 27, 28]


async def test_a_copy_of_a_database_is_another_log(mortal: PostgresEngine, database: str) -> None:
    """What both publish from there on has two epochs: a client that changes sides is told."""
    copy = f"{mortal.url.rpartition('/')[0]}/{fresh_namespace()}"
    async with entered(database) as transport:
        first = await transport.publish(numbered(1))
    names = [url.rpartition("/")[2] for url in (copy, database)]
    run_sql(mortal.url, "CREATE DATABASE {} TEMPLATE {}".format(*names))
    epochs = [first.position.epoch]
    for url in (database, copy):
        async with entered(url) as transport:
            epochs.append((await transport.publish(numbered(2))).position.epoch)
    assert epochs[0] == epochs[1] != epochs[2]


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
