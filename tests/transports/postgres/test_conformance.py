"""PostgreSQL keeps every promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit.config import Retention
from sse_kit.testing import TransportConformance
from sse_kit.testing.engines.plugin import VARIANTS
from sse_kit.transports.postgres import PostgresTransport

if TYPE_CHECKING:
    from sse_kit.testing.engines import Reachable
    from sse_kit.transports.base import Transport


@pytest.mark.parametrize("postgres_engine", VARIANTS["postgres"], indirect=True)
class TestPostgres(TransportConformance):
    """On each version."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture(autouse=True)
    def use(self, postgres_engine: Reachable) -> None:
        self.url = postgres_engine.url
        anyio.run(PostgresTransport(self.url).setup)

    def make(self, namespace: str) -> Transport:
        return PostgresTransport(self.url, namespace=namespace)

    def make_small(self, namespace: str) -> Transport:
        return PostgresTransport(self.url, namespace=namespace, retention=Retention(max_records=50))
