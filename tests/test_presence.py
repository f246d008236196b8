"""The connections of a whole cluster: two registries over one log are one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit import ConnectionRegistry, MemoryLog, MemoryTransport
from sse_kit.errors import EngineUnavailable, NoPresence, RegistryNotRunning
from sse_kit.presence import Presence
from sse_kit.transports.presence import SupportsPresence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sse_kit import Transport

pytestmark = pytest.mark.anyio

EMPTY = {"nodes": 1, "active": 0, "by_type": {}}


def registry_over(log: MemoryLog) -> ConnectionRegistry:
    return ConnectionRegistry(MemoryTransport(log=log), presence_lease=0.3)


class Flaky(MemoryTransport):
    """Fails ``failures`` times."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures
        self.beaten = anyio.Event()

    async def beat(self, node: str, counts: Mapping[str, int], /, *, lease: float) -> None:
        self._fail()
        await super().beat(node, counts, lease=lease)
        self.beaten.set()

    async def leave(self, node: str, /) -> None:
        self._fail()
        await super().leave(node)

    def _fail(self) -> None:
        self.failures -= 1
        if self.failures >= 0:
            address = "flaky"
            raise EngineUnavailable(address, "no answer")


async def test_every_process_counts() -> None:
    """What each process has is summed by type, and only what is active."""
    log = MemoryLog()
    async with registry_over(log) as one, registry_over(log) as two:
        await one.add_connection(conn_type="user")
        await one.add_connection(conn_type="job")
        await two.add_connection(conn_type="user")
        (await two.add_connection(conn_type="closed")).close()
        with anyio.fail_after(5):
            while (stats := await one.cluster_stats())["active"] != 3:  # noqa: ASYNC110  no event
                await anyio.sleep(0.01)
    assert stats == {"nodes": 2, "active": 3, "by_type": {"user": 2, "job": 1}}


async def test_a_process_knows_itself_without_delay() -> None:
    """Its own connections are counted as they are now, not as it last told."""
    async with registry_over(MemoryLog()) as registry:
        await registry.add_connection(conn_type="user")
        stats = await registry.cluster_stats()
    assert stats == {"nodes": 1, "active": 1, "by_type": {"user": 1}}


async def test_a_process_that_ends_is_counted_no_more() -> None:
    """Leaving a registry takes leave of the cluster, at once."""
    log = MemoryLog()
    async with registry_over(log) as stays:
        async with registry_over(log) as ends:
            await ends.add_connection()
            with anyio.fail_after(5):
                while (await stays.cluster_stats())["nodes"] != 2:  # noqa: ASYNC110  no event tells
                    await anyio.sleep(0.01)
        assert await stays.cluster_stats() == EMPTY


async def test_a_process_that_crashed_is_gone_within_its_lease() -> None:
    """Nobody takes leave for it: its lease does."""
    log = MemoryLog()
    log.beat("crashed", {"user": 7}, 0.1)
    async with registry_over(log) as registry:
        assert (await registry.cluster_stats())["active"] == 7
        with anyio.fail_after(5):
            while await registry.cluster_stats() != EMPTY:  # noqa: ASYNC110  no event tells
                await anyio.sleep(0.01)


async def test_an_outage_costs_no_beat_for_good() -> None:
    """A beat that fails is made up for by the next one."""
    transport = Flaky(2)
    async with ConnectionRegistry(transport, presence_lease=0.03):
        with anyio.fail_after(5):
            await transport.beaten.wait()


async def test_leaving_during_an_outage_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged: the lease does it."""
    transport = Flaky(1)
    await Presence(transport, dict, lease=1).leave()
    assert "could not take leave" in caplog.text


class Slow(Flaky):
    """Takes its time to forget a node, until it has a new beat or 0.2 s are over."""

    async def leave(self, node: str, /) -> None:
        await super().leave(node)
        self.beaten = anyio.Event()
        with anyio.move_on_after(0.2):
            await self.beaten.wait()


async def test_nothing_is_told_after_taking_leave() -> None:
    """However long that takes: else a process that stopped would be counted for its lease."""
    transport = Slow(0)
    async with ConnectionRegistry(transport, presence_lease=0.03):
        await transport.beaten.wait()
    assert not transport.beaten.is_set()


async def test_a_process_that_is_cancelled_takes_leave_too() -> None:
    """As a server does it that is told to stop twice; the lease is long."""
    transport = Flaky(0)
    with anyio.CancelScope() as scope:
        async with ConnectionRegistry(transport, presence_lease=60.0):
            await transport.beaten.wait()
            scope.cancel()
            await anyio.sleep_forever()
    assert transport.log.nodes() == {}


async def test_a_transport_that_cannot_count_says_so() -> None:
    """Not a wrong number, but an error that names what to do."""

    class Mute:
        """Every method of the memory transport but those of presence."""

        def __init__(self) -> None:
            self._inner: Transport = MemoryTransport()

        def __getattr__(self, name: str) -> object:
            if name in {"beat", "leave", "nodes"}:
                raise AttributeError(name)
            return getattr(self._inner, name)

        async def __aenter__(self) -> object:
            return await self._inner.__aenter__()

        async def __aexit__(self, *args: object) -> None:
            await self._inner.__aexit__(None, None, None)

    mute = Mute()
    assert not isinstance(mute, SupportsPresence)
    async with ConnectionRegistry(mute) as registry:  # type: ignore[arg-type]
        with pytest.raises(NoPresence, match="Mute"):
            await registry.cluster_stats()


async def test_a_registry_that_was_not_entered_counts_nobody() -> None:
    """The engine is asked, so there has to be one."""
    with pytest.raises(RegistryNotRunning, match="cluster_stats"):
        await ConnectionRegistry().cluster_stats()
