"""What ``test_broken.py`` runs: the suite against a correct transport, and against each broken one.

Of a broken transport only the tests of the promise that it breaks are run. One of them must fail.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, ClassVar

import pytest

from sse_kit.config import Retention
from sse_kit.testing import TransportConformance
from sse_kit.testing.broken import BROKEN, BrokenTransport
from sse_kit.transports.memory import MemoryLog, MemoryTransport


class OverMemory(TransportConformance):
    transport: ClassVar[type[MemoryTransport]] = MemoryTransport

    @pytest.fixture(autouse=True)
    def logs(self) -> None:
        self.large = defaultdict(lambda: MemoryLog(Retention(max_bytes=2**20)))
        self.small = defaultdict(lambda: MemoryLog(Retention(max_records=20)))

    def make(self, namespace: str) -> MemoryTransport:
        return self.transport(log=self.large[namespace])

    def make_small(self, namespace: str) -> MemoryTransport:
        return self.transport(log=self.small[namespace])


class TestCorrect(OverMemory):
    pass


def suite_of(broken: type[BrokenTransport]) -> type[OverMemory]:
    """Return the tests of the promise that ``broken`` breaks."""
    prefix = f"test_{broken.promise.lower()}_"
    members: dict[str, Any] = {
        name: None for name in dir(OverMemory) if name.startswith("test_")
        if not name.startswith(prefix)
    }
    return type(f"Test{broken.__name__}", (OverMemory,), members | {"transport": broken, "patience": 0.3})


globals().update({f"Test{broken.__name__}": suite_of(broken) for broken in BROKEN})
