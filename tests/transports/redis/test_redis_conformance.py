"""Every promise of a transport, over Valkey and over Redis, on asyncio and on trio."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sse_kit.config import Retention
from sse_kit.testing import TransportConformance
from sse_kit.testing.engines.plugin import VARIANTS
from sse_kit.transports.redis import RedisTransport

if TYPE_CHECKING:
    from sse_kit.testing.engines import Reachable
    from sse_kit.transports.base import Transport


@pytest.mark.parametrize("redis_engine", VARIANTS["redis"], indirect=True)
class TestRedis(TransportConformance):
    """The promises."""

    lease = 0.5  # its clock is in milliseconds

    @pytest.fixture(autouse=True)
    def use(self, redis_engine: Reachable) -> None:
        self.url = redis_engine.url

    def make(self, namespace: str) -> Transport:
        return RedisTransport(self.url, namespace=namespace)

    def make_small(self, namespace: str) -> Transport:
        return RedisTransport(self.url, namespace=namespace, retention=Retention(max_records=50))
