"""One event loop, and a server whose tables are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit.transports.postgres import PostgresTransport

if TYPE_CHECKING:
    from sse_kit.testing.engines import Reachable


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Return asyncio: psycopg knows no other."""
    return "asyncio"


@pytest.fixture
def url(postgres_engine: Reachable) -> str:
    """Return the address of the shared server."""
    anyio.run(PostgresTransport(postgres_engine.url).setup)
    return postgres_engine.url
