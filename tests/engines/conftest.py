"""One engine of each kind for a whole module, since every test can start it again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sse_kit.testing.engines import Engine, EngineAbsent
from sse_kit.testing.engines.plugin import MAKERS, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

EACH = {"valkey": "redis", "redis": "redis", "nats": "nats", "18": "postgres"}
"""The kind of each variant."""


@pytest.fixture(scope="module", params=EACH)
def module_engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Return an engine of the module's own."""
    kind = EACH[request.param]
    try:
        engine = MAKERS[kind](request.param)
    except EngineAbsent as error:
        missing(kind, str(error))
    with engine:
        yield engine


@pytest.fixture
def engine(module_engine: Engine) -> Engine:
    """Return it, running, whatever the test before did to it."""
    module_engine.start()
    return module_engine
