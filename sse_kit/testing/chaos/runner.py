"""Rounds: traffic and faults for some seconds, then silence, then the judge.

A lossy restart comes between two rounds, when every client has all that was acknowledged: what an
engine forgets before anybody was told of it, nobody can announce. It counts for the round after it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from sse_kit.testing.chaos.judge import Counts, Judge
from sse_kit.testing.chaos.schedule import OF_APPS, Fault, Planned, schedule
from sse_kit.testing.chaos.traffic import TOPICS, Client, Publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sse_kit.testing.chaos.cluster import Cluster
    from sse_kit.testing.chaos.report import Totals

PUBLISHERS = 4
FOLLOWED = (TOPICS[:1], TOPICS[1:3], TOPICS[2:], TOPICS[::3], TOPICS, TOPICS[1:2])
"""The topics of each client."""

STARTING = 30.0
"""Seconds for the clients to connect at first."""


@dataclass(frozen=True)
class Plan:
    """How long, how much, how fast.

    A run ends with the round in which its ``seconds`` are over, or in which the totals of all runs
    have so many ``faults`` and so many ``messages``, of what is given.
    """

    seed: str
    seconds: float
    faults: int | None = None
    messages: int | None = None
    rate: float = 700.0
    """Messages a second, on average."""
    round_faults: int = 12
    lossy: bool = True
    patience: float = 120.0
    """Seconds after which what did not come in the silence is lost."""


class Stuck(Exception):
    """The publishers' last batches were not acknowledged, though all faults were mended."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"a publish was not acknowledged in {self.seconds} s after the last fault"


class Runner:
    """One run against one cluster; what comes of it is added to ``totals`` after each round."""

    def __init__(
        self,
        cluster: Cluster,
        plan: Plan,
        totals: Totals,
        tell: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._plan = plan
        self._totals = totals
        self._tell = tell
        self._judge = Judge()
        self._began = time.monotonic()
        self._locks = {"engine": anyio.Lock(), "0": anyio.Lock(), "1": anyio.Lock()}
        ports = tuple(app.port for app in cluster.apps)
        self._clients = [
            Client(self._judge.witness(topics), ports, f"{plan.seed}-client-{index}")
            for index, topics in enumerate(FOLLOWED)
        ]
        self._publishers = [
            Publisher(self._judge, ports, f"{plan.seed}-{index}") for index in range(PUBLISHERS)
        ]

    async def run(self, save: Callable[[], None]) -> None:
        """Run rounds until an end is reached; ``save`` is called after each.

        Raises:
            Stuck: a publish is not acknowledged though all is well.
        """
        self._totals.seeds.append(self._plan.seed)
        faults = schedule(f"{self._plan.seed}-faults", self._cluster.faults)
        async with anyio.create_task_group() as tasks:
            for client in self._clients:
                tasks.start_soon(client.follow)
            with anyio.fail_after(STARTING):
                for client in self._clients:
                    await client.ready.wait()
            await self._round(faults)
            save()
            while not self._is_over():
                if self._plan.lossy:
                    await self._lose_the_tail()
                await self._round(faults)
                save()
            tasks.cancel_scope.cancel()

    def _is_over(self) -> bool:
        plan, totals = self._plan, self._totals
        wanted = (
            (plan.faults, totals.all_faults),
            (plan.messages, totals.counts.acknowledged),
        )
        given = [there >= enough for enough, there in wanted if enough is not None]
        return time.monotonic() - self._began >= plan.seconds or (bool(given) and all(given))

    async def _round(self, faults: Iterator[Planned]) -> None:
        began = time.monotonic()
        stop = anyio.Event()
        for client in self._clients:
            client.listen()
        async with anyio.create_task_group() as publishing:
            for publisher in self._publishers:
                publishing.start_soon(publisher.publish, self._plan.rate / PUBLISHERS, stop)
            await self._commit(faults)
            stop.set()
            publishing.cancel_scope.deadline = anyio.current_time() + self._plan.patience
        if publishing.cancel_scope.cancelled_caught:
            raise Stuck(self._plan.patience)
        await self._wait_for_all()
        self._account(self._judge.settle(), time.monotonic() - began)

    async def _commit(self, faults: Iterator[Planned]) -> None:
        """Commit a round's faults, each when its pause is over and its target is well."""
        half = self._plan.round_faults // 2
        async with anyio.create_task_group() as tasks:
            for index, planned in enumerate(islice(faults, self._plan.round_faults)):
                await anyio.sleep(planned.pause)
                if self._plan.lossy and index == half:
                    await self._remember()
                lock = self._locks[str(planned.app) if planned.fault in OF_APPS else "engine"]
                await lock.acquire()
                lock.release()
                tasks.start_soon(self._do, lock, planned)

    async def _do(self, lock: anyio.Lock, planned: Planned) -> None:
        async with lock:
            await to_thread.run_sync(partial(self._cluster.commit, planned))
        self._totals.count(planned.fault)

    async def _remember(self) -> None:
        async with self._locks["engine"]:
            await to_thread.run_sync(self._cluster.remember)

    async def _lose_the_tail(self) -> None:
        self._judge.lossy_restart()
        await to_thread.run_sync(self._cluster.set_back)
        self._totals.count(Fault.SET_BACK_ENGINE)

    async def _wait_for_all(self) -> None:
        """Wait until every client has what it is owed, or for as long as our patience lasts."""
        with anyio.move_on_after(self._plan.patience):
            while self._judge.owed():
                self._let_rest()
                await anyio.sleep(0.01)
        self._let_rest()

    def _let_rest(self) -> None:
        """Measure the silence of those alone who still wait for something."""
        for client in self._clients:
            if not client.witness.owed:
                client.rest()

    def _account(self, counts: Counts, seconds: float) -> None:
        totals = self._totals
        totals.counts += counts
        totals.seconds += seconds
        totals.silence = max(totals.silence, *(client.silence for client in self._clients))
        totals.resent += sum(publisher.resent for publisher in self._publishers)
        for publisher in self._publishers:
            publisher.resent = 0
        self._tell(
            f"{totals.engine}: {totals.all_faults} faults, {totals.counts.acknowledged:,} "
            f"acknowledged, {counts.broken} promises broken, {seconds:.1f} s"
        )
        for complaint in self._judge.complaints:
            self._tell(f"  {complaint}")
        self._judge.complaints.clear()
