"""NATS keeps every promise of a transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sse_kit.config import Retention
from sse_kit.testing import TransportConformance
from sse_kit.transports.nats import NatsTransport

if TYPE_CHECKING:
    from sse_kit.testing.engines import Reachable
    from sse_kit.transports.base import Transport


class TestNats(TransportConformance):
    """A stream in files, which is the default; on asyncio, see conftest.py."""

    @pytest.fixture(autouse=True)
    def use(self, nats_engine: Reachable) -> None:
        self.url = nats_engine.url

    def make(self, namespace: str) -> Transport:
        return NatsTransport(self.url, namespace=namespace)

    def make_small(self, namespace: str) -> Transport:
        return NatsTransport(self.url, namespace=namespace, retention=Retention(max_records=50))
