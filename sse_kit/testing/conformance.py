"""The proof of a transport: one test or more for each promise of a transport.

Those of ``sse_kit.transports.base``, and of ``sse_kit.transports.presence`` if it has that.

Three lines make it a test of yours; pytest needs nothing else, anyio's plugin comes with anyio::

    class TestMyTransport(TransportConformance):
        def make(self, namespace: str) -> Transport:
            return MyTransport("localhost", namespace)

Each test's name and docstring begin with the number of its promise. All run on asyncio, and on
trio if it is installed; a transport for one of them overrides anyio's fixture in the class::

        @pytest.fixture
        def anyio_backend(self) -> str:
            return "asyncio"

Tests of what a transport cannot do are skipped, with the reason. Nothing waits for ever: what is
silent for ``patience`` seconds has failed. ``sse_kit.testing.broken`` is the proof of the proof.
"""

from __future__ import annotations

import pytest

from sse_kit.testing.suite_presence import PresencePromises
from sse_kit.testing.suite_publish import PublishPromises
from sse_kit.testing.suite_replay import ReplayPromises
from sse_kit.testing.suite_tail import LifetimePromises, TailPromises


@pytest.mark.anyio
class TransportConformance(
    PublishPromises, TailPromises, LifetimePromises, ReplayPromises, PresencePromises
):
    """All promises. Subclass it with a name that pytest collects, and implement ``make``.

    Override ``make_small`` too, to have trimming tested, and ``patience`` for a slow engine.
    """
