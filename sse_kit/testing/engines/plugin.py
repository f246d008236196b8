"""Fixtures of pytest: ``pytest_plugins = ["sse_kit.testing.engines.plugin"]``.

=================== ========= ==========================================================
``redis_engine``    session   a running engine that all tests share; see ``VARIANTS``
``nats_engine``
``postgres_engine``
``own_redis``       function  makes engines of the test's own: ``own_redis(password="x")``,
``own_nats``                  with the arguments of the class. They run, may be killed and
``own_postgres``              frozen, and are gone when the test is over
``namespace``       function  a name that nobody has used: tests that share an engine don't meet
=================== ========= ==========================================================

A shared engine is the first of its variants that is there. A test for each of them::

    @pytest.mark.parametrize("redis_engine", VARIANTS["redis"], indirect=True)

``SSE_KIT_REDIS_URL``, ``SSE_KIT_NATS_URL``, ``SSE_KIT_POSTGRES_URL`` name an engine that runs
already: it is the shared one, and tests that need their own are skipped. What is absent skips a
test with the remedy; ``SSE_KIT_REQUIRE_ENGINES=redis,nats,postgres`` makes it a failure.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import pytest

from sse_kit.testing.engines import (
    Engine,
    EngineAbsent,
    NatsEngine,
    PostgresEngine,
    Reachable,
    RedisEngine,
)
from sse_kit.testing.suite import fresh_namespace

if TYPE_CHECKING:
    from typing import TypeAlias

E = TypeVar("E", bound=Engine)

VARIANTS: dict[str, tuple[str, ...]] = {
    "redis": ("valkey", "redis"),
    "nats": ("nats",),
    "postgres": ("18", "16"),
}
REQUIRE = "SSE_KIT_REQUIRE_ENGINES"

MAKERS: dict[str, Callable[[Any], Engine]] = {
    "redis": RedisEngine,
    "nats": lambda _: NatsEngine(),
    "postgres": PostgresEngine,
}


@dataclass(frozen=True)
class ForeignEngine:
    """An engine that somebody else runs: it can be used, not killed."""

    url: str


class SharedEngines:
    """The engines that tests share, each started when it is first asked for."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._started: dict[tuple[str, str], Engine] = {}

    def get(self, kind: str, variants: tuple[str, ...]) -> Reachable:
        """Return the first of the variants that is there; skip or fail the test without one."""
        if url := os.environ.get(url_variable(kind)):
            return ForeignEngine(url)
        absent: list[str] = []
        for variant in variants:
            try:
                return self._running(kind, variant)
            except EngineAbsent as error:
                absent.append(str(error))
        return missing(kind, "; ".join(absent))

    def _running(self, kind: str, variant: str) -> Engine:
        if (kind, variant) not in self._started:
            self._started[kind, variant] = self._stack.enter_context(MAKERS[kind](variant))
        return self._started[kind, variant]


def url_variable(kind: str) -> str:
    """Return the variable that names a running engine."""
    return f"SSE_KIT_{kind.upper()}_URL"


def required() -> set[str]:
    """Return the kinds of engine whose absence is a failure."""
    return {name.strip() for name in os.environ.get(REQUIRE, "").split(",")} - {""}


def missing(kind: str, reason: str) -> NoReturn:
    """Skip the test, or fail it if this engine is required."""
    if kind in required():
        pytest.fail(f"{REQUIRE} names {kind!r}, but {reason}", pytrace=False)
    pytest.skip(reason)


def pytest_configure() -> None:
    """Refuse a name that is no engine: its absence would never be noticed."""
    if unknown := required() - set(VARIANTS):
        known = ", ".join(VARIANTS)
        problem = f"{REQUIRE} names {min(unknown)!r}: it may name {known}"
        raise pytest.UsageError(problem)


@pytest.fixture(scope="session")
def shared_engines() -> Iterator[SharedEngines]:
    """Return what starts the shared engines, and closes them when all tests are over."""
    with ExitStack() as stack:
        yield SharedEngines(stack)


@pytest.fixture
def namespace() -> str:
    """Return a name that nobody has used: 33 letters and digits."""
    return fresh_namespace()


@pytest.fixture(scope="session")
def redis_engine(request: pytest.FixtureRequest, shared_engines: SharedEngines) -> Reachable:
    """Return the shared Redis or Valkey."""
    return shared_engines.get("redis", _asked(request, "redis"))


@pytest.fixture(scope="session")
def nats_engine(request: pytest.FixtureRequest, shared_engines: SharedEngines) -> Reachable:
    """Return the shared NATS."""
    return shared_engines.get("nats", _asked(request, "nats"))


@pytest.fixture(scope="session")
def postgres_engine(request: pytest.FixtureRequest, shared_engines: SharedEngines) -> Reachable:
    """Return the shared PostgreSQL."""
    return shared_engines.get("postgres", _asked(request, "postgres"))


OwnRedis: TypeAlias = Callable[..., RedisEngine]
OwnNats: TypeAlias = Callable[..., NatsEngine]
OwnPostgres: TypeAlias = Callable[..., PostgresEngine]


@pytest.fixture
def own_redis() -> Iterator[OwnRedis]:
    """Return what starts a Redis or Valkey of the test's own."""
    with ExitStack() as stack:
        yield _owner(RedisEngine, stack)


@pytest.fixture
def own_nats() -> Iterator[OwnNats]:
    """Return what starts a NATS of the test's own."""
    with ExitStack() as stack:
        yield _owner(NatsEngine, stack)


@pytest.fixture
def own_postgres() -> Iterator[OwnPostgres]:
    """Return what starts a PostgreSQL of the test's own."""
    with ExitStack() as stack:
        yield _owner(PostgresEngine, stack)


def _asked(request: pytest.FixtureRequest, kind: str) -> tuple[str, ...]:
    variant: str | None = getattr(request, "param", None)
    return VARIANTS[kind] if variant is None else (variant,)


def _owner(kind: type[E], stack: ExitStack) -> Callable[..., E]:
    def start(*arguments: Any, **options: Any) -> E:
        variable = url_variable(kind.kind)
        if variable in os.environ:
            pytest.skip(f"{variable} is somebody else's engine: unset it to run this test")
        try:
            engine = kind(*arguments, **options)
            stack.callback(engine.close)
            engine.start()
        except EngineAbsent as error:
            return missing(kind.kind, str(error))
        return engine

    return start
