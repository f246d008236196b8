"""The load generator, a process of its own: a job on stdin, a sample for each phase on stdout."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.crowd import Crowd
from benchmarks.model import Job, Phase, Sample
from benchmarks.publisher import Events, Publisher, publisher
from benchmarks.stats import percentile
from benchmarks.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

PARALLEL = 50
"""Connections that are being opened together."""

STEP = 0.05
QUIET = 0.1
"""A server is at rest when it works less than this share of a step."""

LONGEST_REST = 30.0
"""Seconds after which a server that never rests is measured all the same."""

WARM_UP = 5
"""Events before the first that counts."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The meters at one moment."""

    clock: float
    cpu: float
    own: float
    arrived: int


class Load:
    """Runs the phases of one job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.usage = Usage(job.pid)
        self.crowd = Crowd(job.port, checked=any(phase.checked for phase in job.phases))
        self.publisher: Publisher = publisher(job.publish, self.crowd)

    def run(self, phase: Phase) -> Sample:
        """Measure one phase."""
        self.crowd.latencies.clear()
        runs = {
            "connect": self.connect,
            "paced": self.paced,
            "rounds": self.rounds,
            "publish": self.publish,
            "storm": self.storm,
        }
        return runs[phase.kind](phase)

    def connect(self, phase: Phase) -> Sample:
        """Open the crowd, and wait until the server has nothing left to do for it."""
        self.wait_for_workers()
        memory, before = self.usage.memory(), self.read()
        self.open(self.request, PARALLEL)
        after = self.read()
        rest = self.settle()
        count = self.crowd.opened
        kilobytes = (self.usage.memory() - memory) / max(count, 1) / 1024
        sample = self.sample(phase, before, after, done=count, expected=self.job.subscribers)
        self.warm_up()
        cpu = rest - before.cpu
        return sample.model_copy(update={"cpu": cpu, "kilobytes": kilobytes})

    def wait_for_workers(self) -> None:
        """Wait until the server is at rest and starts no more processes."""
        while True:
            self.usage = Usage(self.job.pid)
            self.settle()
            if Usage(self.job.pid).pids == self.usage.pids:
                return

    def warm_up(self) -> None:
        """Let every line of the server run once before it counts."""
        if self.job.publish == "nothing":
            return
        self.publisher.publish(Events(count=WARM_UP))
        expected = self.crowd.arrived + WARM_UP * self.job.subscribers
        self.crowd.wait_for(expected, patience=self.job.patience)
        self.settle()

    def paced(self, phase: Phase) -> Sample:
        """Publish a few events at a time, at a steady rate."""
        memory, doubled = self.usage.memory(), self.crowd.doubled
        for number in range(phase.stalled):
            self.crowd.stall(self.request(number))
        times = max(round(phase.rate * phase.seconds), 1)
        events = Events(
            count=phase.count,
            size=phase.size,
            group=phase.group,
            times=times,
            interval=1 / phase.rate,
        )
        before = self.read()
        self.publisher.publish(events)
        self.crowd.pump_until(before.clock + times / phase.rate)
        expected = times * phase.count * self.job.subscribers
        self.crowd.wait_for(before.arrived + expected, patience=self.job.patience)
        sample = self.deliveries(phase, before, expected)
        doubled = self.crowd.doubled - doubled
        grown = (self.usage.memory() - memory) / 1024 / 1024
        once = {"done": sample.done - doubled, "doubled": doubled, "grown": grown}
        return sample.model_copy(update=once)

    def rounds(self, phase: Phase) -> Sample:
        """Publish ``count`` events, wait for all, and do it again until the time is over."""
        before, expected = self.read(), 0
        while time.monotonic() - before.clock < phase.seconds or not expected:
            self.publisher.publish(Events(count=phase.count, group=phase.group))
            expected += phase.count * self.job.subscribers
            if not self.crowd.wait_for(before.arrived + expected, patience=self.job.patience):
                break
        return self.deliveries(phase, before, expected)

    def publish(self, phase: Phase) -> Sample:
        """Publish over many topics, and wait until the server is at rest."""
        before = self.read()
        self.publisher.publish(Events(count=phase.count, topics=phase.topics))
        while not self.publisher.done():
            self.crowd.pump(1.0)
        after = self.read()
        cpu = self.settle() - before.cpu
        sample = self.sample(phase, before, after, done=phase.count, expected=phase.count)
        return sample.model_copy(update={"cpu": cpu})

    def storm(self, phase: Phase) -> Sample:
        """Let everybody come back at once, ``count`` events behind."""
        last = self.leave_behind(phase.count)
        count = self.job.subscribers
        before = self.read()
        self.open(partial(self.request, last_event_id=last), count)
        expected = before.arrived + count * phase.count
        self.crowd.wait_for(expected, patience=self.job.patience)
        after = self.read()
        done = (after.arrived - before.arrived) // phase.count
        self.crowd.latencies.clear()  # they would say how long the clients were away
        return self.sample(phase, before, after, done=done, expected=count)

    def open(self, request: Callable[[int], bytes], parallel: int) -> None:
        """Open the crowd."""
        self.crowd.open(
            request, self.job.subscribers, parallel=parallel, patience=self.job.patience
        )

    def leave_behind(self, count: int) -> str:
        """Publish ``count`` events, and return the id of the last one before them."""
        seen: list[bytes] = []
        sock = self.crowd.connect(seen.append)
        sock.sendall(self.request(0))
        while b"\nid: " not in b"".join(seen):
            self.crowd.pump(1.0)
        last = b"".join(seen).rpartition(b"\nid: ")[2].split(b"\n")[0]
        self.publisher.publish(Events(count=count))
        while not self.publisher.done():
            self.crowd.pump(1.0)
        self.settle()
        return last.decode()

    def request(self, number: int, *, last_event_id: str | None = None) -> bytes:
        """Return what subscriber ``number`` sends."""
        resume = "" if last_event_id is None else f"Last-Event-ID: {last_event_id}\r\n"
        accept = "Accept: text/event-stream\r\n"
        path = self.job.path.replace("{number}", str(number))
        return f"GET {path} HTTP/1.1\r\nHost: bench\r\n{accept}{resume}\r\n".encode()

    def settle(self) -> float:
        """Read on until the server is at rest, or never is; return its CPU time before that."""
        before, last = self.usage.cpu(), time.monotonic() + LONGEST_REST
        while True:
            self.crowd.pump_until(time.monotonic() + STEP)
            now = self.usage.cpu()
            if now - before < STEP * QUIET or time.monotonic() > last:
                return before
            before = now

    def read(self) -> Reading:
        """Read the meters."""
        return Reading(time.monotonic(), self.usage.cpu(), time.process_time(), self.crowd.arrived)

    def deliveries(self, phase: Phase, before: Reading, expected: int) -> Sample:
        """Return the sample of a phase whose units are deliveries."""
        after = self.read()
        done = after.arrived - before.arrived
        return self.sample(phase, before, after, done=done, expected=expected)

    def sample(
        self, phase: Phase, before: Reading, after: Reading, *, done: int, expected: int
    ) -> Sample:
        """Return what lies between two readings."""
        seconds = after.clock - before.clock
        p50, p99 = (percentile(self.crowd.latencies, share) for share in (0.5, 0.99))
        return Sample(
            phase=phase.name,
            done=done,
            expected=expected,
            seconds=seconds,
            cpu=after.cpu - before.cpu,
            busy=(after.own - before.own) / seconds,
            p50=None if p50 is None else p50 / 1e6,
            p99=None if p99 is None else p99 / 1e6,
        )


def main() -> None:
    """Carry out the job that is on stdin."""
    job = Job.model_validate_json(sys.stdin.read())
    if job.core is not None:
        os.sched_setaffinity(0, {job.core})
    load = Load(job)
    try:
        for phase in job.phases:
            print(load.run(phase).model_dump_json(), flush=True)
    finally:
        load.crowd.close()


if __name__ == "__main__":
    main()
