"""The promises of presence: P1 to P4. Skipped for a transport that is no ``SupportsPresence``."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar, Protocol

import anyio
import pytest

from sse_kit.testing.suite import Suite, fresh_namespace
from sse_kit.transports.base import Transport
from sse_kit.transports.presence import SupportsPresence

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

LONG = 60.0
COUNTS = {"user": 3, "job": 0, "*>%.:$'\";,": 1, "é e\u0301": 2**31, "a b": 5, "{}": 6}


class Counting(Transport, SupportsPresence, Protocol):
    """A transport that counts across processes."""


class PresencePromises(Suite):
    """One test or more for each of P1 to P4."""

    lease: ClassVar[float] = 1.0
    """Seconds of the lease that runs out in a test."""

    @asynccontextmanager
    async def open_counting(self, namespace: str) -> AsyncGenerator[Counting]:
        """Enter a transport that counts; skip the test if it does not."""
        transport = self.make(namespace)
        if not isinstance(transport, SupportsPresence):
            pytest.skip(f"{type(transport).__name__} counts nobody: it is no SupportsPresence")
        with anyio.fail_after(3 * self.patience):
            async with transport:
                yield transport

    async def test_p1_nodes_tells_the_latest_counts(self, namespace: str) -> None:
        """P1: whoever asks sees each node with what it told last, whatever its types are."""
        async with (
            self.open_counting(namespace) as transport,
            self.open_counting(namespace) as other,
        ):
            assert await other.nodes() == {}
            await transport.beat("one", {"user": 1, "gone": 9}, lease=LONG)
            await transport.beat("one", COUNTS, lease=LONG)
            await other.beat("two-2_B", {}, lease=LONG)
            expected = {"one": COUNTS, "two-2_B": {}}
            assert await transport.nodes() == await other.nodes() == expected

    async def test_p2_a_node_is_gone_when_its_lease_is_over(self, namespace: str) -> None:
        """P2: a node that stopped beating is counted for its lease, and no longer."""
        async with self.open_counting(namespace) as transport:
            await transport.beat("lives", {"user": 1}, lease=LONG)
            await transport.beat("dies", {"user": 2}, lease=self.lease)
            assert set(await transport.nodes()) == {"lives", "dies"}
            await self._wait_until_gone(transport, "dies")
            assert await transport.nodes() == {"lives": {"user": 1}}

    async def test_p2_a_beat_renews_the_lease(self, namespace: str) -> None:
        """P2: what counts is the lease of the latest beat."""
        async with self.open_counting(namespace) as transport:
            await transport.beat("measure", {}, lease=self.lease)
            await transport.beat("renewed", {"user": 1}, lease=self.lease)
            await transport.beat("renewed", {"user": 1}, lease=LONG)
            await self._wait_until_gone(transport, "measure")
            assert await transport.nodes() == {"renewed": {"user": 1}}

    async def _wait_until_gone(self, transport: Counting, node: str) -> None:
        while node in await transport.nodes():  # noqa: ASYNC110  no event tells
            await anyio.sleep(0.02)

    async def test_p3_a_node_that_leaves_is_gone_at_once(self, namespace: str) -> None:
        """P3: it is no longer counted, and may come again; leaving twice is no error."""
        async with self.open_counting(namespace) as transport:
            await transport.beat("stays", {"user": 1}, lease=LONG)
            await transport.beat("leaves", {"user": 2}, lease=LONG)
            await transport.leave("leaves")
            await transport.leave("leaves")
            assert await transport.nodes() == {"stays": {"user": 1}}
            await transport.beat("leaves", {"user": 3}, lease=LONG)
            assert (await transport.nodes())["leaves"] == {"user": 3}

    async def test_p4_namespaces_do_not_see_each_other(self, namespace: str) -> None:
        """P4: a node of another namespace is neither told nor taken away."""
        async with (
            self.open_counting(namespace) as transport,
            self.open_counting(fresh_namespace()) as other,
        ):
            await transport.beat("node", {"user": 1}, lease=LONG)
            await other.leave("node")
            assert await other.nodes() == {}
            assert await transport.nodes() == {"node": {"user": 1}}
