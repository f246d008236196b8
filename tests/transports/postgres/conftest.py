"""One event loop, a server whose tables are there, and one that may be killed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit.testing.engines import EngineAbsent, PostgresEngine
from sse_kit.testing.engines.plugin import missing, url_variable
from sse_kit.transports.postgres import PostgresTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sse_kit.testing.engines import Reachable

CONFIG = {
    "wal_writer_delay": "10s",  # so that a commit that is not flushed is surely lost by kill -9
    "max_notify_queue_pages": "64",  # the least, so that the queue is soon full
}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Return asyncio: psycopg knows no other."""
    return "asyncio"


@pytest.fixture
def url(postgres_engine: Reachable) -> str:
    """Return the address of the shared server."""
    anyio.run(PostgresTransport(postgres_engine.url).setup)
    return postgres_engine.url


@pytest.fixture(scope="session")
def killable() -> Iterator[PostgresEngine]:
    """Return the server behind ``mortal``."""
    if url_variable("postgres") in os.environ:
        pytest.skip(f"{url_variable('postgres')} is somebody else's engine: unset it")
    try:
        engine = PostgresEngine(config=CONFIG)
    except EngineAbsent as error:
        missing("postgres", str(error))
    with engine:
        yield engine


@pytest.fixture
def mortal(killable: PostgresEngine) -> Iterator[PostgresEngine]:
    """Return a server that may be killed; it runs, and its tables are there."""
    killable.start()
    anyio.run(PostgresTransport(killable.url).setup)
    yield killable
    if killable.running:
        killable.thaw()
