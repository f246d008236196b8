"""What an engine keeps over a kill, and what it loses when it is set back."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest

from sse_kit.testing.engines import Engine, EngineFailed, PostgresEngine, RedisEngine, RedisRefused
from tests.engines import jetstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_kit.testing.engines.plugin import OwnPostgres, OwnRedis


class Counter(NamedTuple):
    """An engine, and how to add one and to count in it."""

    engine: Engine
    add: Callable[[], object]
    counted: Callable[[], int]


def in_redis(engine: RedisEngine) -> Counter:
    engine.command("DEL", "numbers")
    return Counter(
        engine,
        lambda: engine.command("INCR", "numbers"),
        lambda: int(engine.command("GET", "numbers") or 0),
    )


def in_nats(engine: Engine) -> Counter:
    url = engine.url
    jetstream.create(url)
    return Counter(engine, lambda: jetstream.publish(url), lambda: jetstream.count(url))


def in_postgres(engine: PostgresEngine) -> Counter:
    engine.sql("DROP TABLE IF EXISTS numbers")
    engine.sql("CREATE TABLE numbers ()")
    return Counter(
        engine,
        lambda: engine.sql("INSERT INTO numbers DEFAULT VALUES"),
        lambda: int(engine.sql("SELECT count(*) FROM numbers")),
    )


@pytest.fixture
def counter(engine: Engine) -> Counter:
    """Return an engine with nothing counted."""
    if isinstance(engine, RedisEngine):
        return in_redis(engine)
    return in_postgres(engine) if isinstance(engine, PostgresEngine) else in_nats(engine)


def test_what_was_answered_survives_a_kill(counter: Counter) -> None:
    """Also without a moment between the answer and the kill, and over a clean restart."""
    for number in (1, 2, 3):
        counter.add()
        counter.engine.kill()
        counter.engine.start()
        assert counter.counted() == number
    counter.engine.restart()
    assert counter.counted() == 3


def test_a_restored_engine_has_lost_what_came_after(counter: Counter) -> None:
    """It answers as if that had never been, and takes what is new."""
    counter.add()
    before = counter.engine.snapshot()
    counter.add()
    counter.engine.kill()
    counter.engine.restore(before)
    counter.engine.start()
    assert counter.counted() == 1
    counter.add()
    assert counter.counted() == 2


def test_redis_without_a_log_of_writes_falls_back_to_what_it_saved(own_redis: OwnRedis) -> None:
    """With RDB alone a kill loses what came after it, without persistence it loses all."""
    for persistence, kept in (("rdb", 1), ("none", 0)):
        counter = in_redis(own_redis(persistence=persistence))
        counter.add()
        counter.engine.snapshot()
        counter.add()
        counter.engine.kill()
        counter.engine.start()
        assert counter.counted() == kept


def test_a_promoted_replica_of_redis_goes_on_alone(own_redis: OwnRedis) -> None:
    """It is read-only and has what its primary had; promoted, it stays a primary over restarts."""
    primary = own_redis(password="secret")  # noqa: S106
    primary.command("SET", "who", "primary")
    replica = own_redis(password="secret", replica_of=primary)  # noqa: S106
    with pytest.raises(RedisRefused, match="READONLY"):
        replica.command("SET", "who", "replica")
    assert replica.command("GET", "who") == "primary"
    primary.kill()
    replica.promote()
    replica.restart()
    assert replica.command("SET", "who", "replica") == "OK"


def test_a_promoted_standby_of_postgres_is_on_a_timeline_of_its_own(
    own_postgres: OwnPostgres,
) -> None:
    """It is read-only until then, and has what its primary had."""
    primary = own_postgres()
    primary.sql("CREATE TABLE numbers ()")
    standby = own_postgres(standby_of=primary)
    with pytest.raises(EngineFailed, match="read-only"):
        standby.sql("INSERT INTO numbers DEFAULT VALUES")
    primary.kill()
    standby.promote()
    standby.sql("INSERT INTO numbers DEFAULT VALUES")
    assert timeline(standby) == 2


@pytest.mark.parametrize(("new_timeline", "found"), [(True, 2), (False, 1)])
def test_a_restored_postgres_is_on_a_new_timeline_unless_it_is_a_copy(
    new_timeline: bool,  # noqa: FBT001  pytest passes it by name
    found: int,
    own_postgres: OwnPostgres,
) -> None:
    """A recovery to a point in time is a branch of history, a copy of files is not known to be."""
    engine = own_postgres("16")
    before = engine.snapshot()
    engine.kill()
    engine.restore(before, new_timeline=new_timeline)
    engine.start()
    assert timeline(engine) == found


def timeline(engine: PostgresEngine) -> int:
    return int(engine.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")[:8], 16)
