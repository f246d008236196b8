"""A database file keeps every promise of a transport, on both event loops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sse_kit.config import Retention
from sse_kit.testing import TransportConformance
from sse_kit.transports.sqlite import SqliteTransport

if TYPE_CHECKING:
    from pathlib import Path

    from sse_kit.transports.base import Transport


class TestSqlite(TransportConformance):
    """Several logs share one file."""

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.path: Path = tmp_path_factory.mktemp("sqlite") / "log.db"

    def make(self, namespace: str) -> Transport:
        return SqliteTransport(self.path, namespace=namespace)

    def make_small(self, namespace: str) -> Transport:
        return SqliteTransport(self.path, namespace=namespace, retention=Retention(max_records=50))
