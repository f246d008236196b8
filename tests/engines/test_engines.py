"""The fixtures themselves: real servers, treated as badly as tests will treat them."""

from __future__ import annotations

import pytest

from sse_kit.testing.engines import (
    Engine,
    EngineFailed,
    EngineMisused,
    NatsEngine,
    PostgresEngine,
    RedisEngine,
)


def test_a_started_engine_is_where_its_url_says(engine: Engine) -> None:
    """Its version is told too."""
    assert engine.running
    assert f":{engine.port}" in engine.url
    assert engine.version in repr(engine)


def test_a_killed_engine_comes_back_at_the_same_url(engine: Engine) -> None:
    """Kill -9 leaves none of its processes, and the port is the one it had."""
    url = engine.url
    engine.kill()
    assert not engine.running
    engine.start()
    assert (engine.running, engine.url) == (True, url)


def test_a_frozen_engine_is_silent(engine: Engine) -> None:
    """Who connects is not refused, and not answered; then it goes on."""
    engine.freeze()
    assert engine.running
    assert not engine.answers(0.2)
    engine.thaw()
    assert engine.answers()


def test_a_frozen_engine_can_be_stopped_and_killed(engine: Engine) -> None:
    """What stands still hears a signal only when it goes on; kill -9 needs no hearing."""
    engine.freeze()
    assert engine.running
    engine.restart()
    engine.freeze()
    engine.kill()
    assert not engine.running


def test_a_running_engine_keeps_its_data(engine: Engine) -> None:
    """Nobody sets it back under its feet."""
    with pytest.raises(EngineMisused, match="runs on its data"):
        engine.restore(engine.snapshot())


@pytest.mark.parametrize("kind", [RedisEngine, NatsEngine, PostgresEngine])
def test_an_engine_that_does_not_start_shows_its_log(
    kind: type[RedisEngine | NatsEngine | PostgresEngine],
) -> None:
    """The error has what the program said."""
    engine = kind(config={"no_such_setting": "1"})
    with pytest.raises(EngineFailed, match="no_such_setting"):
        engine.start()
    engine.close()
    assert not engine.folder.exists()
