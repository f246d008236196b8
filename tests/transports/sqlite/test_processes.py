"""Several processes over one file: they hear each other, are counted, and may be forked."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import to_thread

from sse_kit.transports.base import Publication
from sse_kit.transports.sqlite import SqliteTransport
from tests.servers.harness import Client, Crowd, serving
from tests.transports.sqlite.tools import PATIENCE, ROOT

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

WORKERS = 4
MESSAGES = 200


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


async def publish_moments(path: Path) -> list[float]:
    """Publish now and then; return how long each took to the other process, in seconds."""
    command = [sys.executable, "-m", "tests.transports.sqlite.receiver", str(path)]
    start = partial(subprocess.Popen, command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    async with SqliteTransport(path) as transport:
        with await to_thread.run_sync(start) as receiver:
            assert receiver.stdout is not None
            await to_thread.run_sync(receiver.stdout.readline)
            chance = random.Random(1)
            for _ in range(MESSAGES):
                await transport.publish(Publication(("t",), str(time.monotonic()).encode()))
                await anyio.sleep(chance.uniform(0, 0.02))
            await transport.publish(Publication(("t",), b""))
            ages: list[float] = json.loads(await to_thread.run_sync(receiver.stdout.read))
    return ages


def test_another_process_hears_of_every_message(
    path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """How long it took, from publish to the other's tail, is in the report, and not judged."""
    ages = sorted(anyio.run(publish_moments, path))
    assert len(ages) == MESSAGES
    record_testsuite_property("wake_up_p50_ms", round(ages[MESSAGES // 2] * 1000, 1))
    record_testsuite_property("wake_up_p99_ms", round(ages[MESSAGES * 99 // 100] * 1000, 1))


class Watched(SqliteTransport):
    """Hardly ever looks by itself."""

    poll = 60.0


class Unwatched(Watched):
    """Has nothing else: the naive way."""

    async def _watch(self, _: threading.Event) -> None:
        await anyio.sleep_forever()


@pytest.mark.parametrize(("kind", "hears"), [(Watched, True), (Unwatched, False)])
def test_the_watch_hears_what_others_wrote(
    path: Path, kind: type[SqliteTransport], *, hears: bool
) -> None:
    """Long before a tail looks by itself, which is all there is without it."""

    async def run() -> bool:
        async with (
            SqliteTransport(path) as other,
            kind(path) as transport,
            transport.tail() as feeds,
        ):
            with anyio.move_on_after(PATIENCE if hears else 0.5) as scope:
                await other.publish(Publication(("t",), b"first"))
                await feeds.receive()
                await anyio.wait_all_tasks_blocked()  # the tail waits again
                await other.publish(Publication(("t",), b"second"))
                await feeds.receive()
            return not scope.cancelled_caught

    assert anyio.run(run) is hears


def process_of(client: Client) -> bytes:
    client.read_until(lambda each: b"\r\n\r\n" in each.received)
    found = re.search(rb"(?i)x-process: (\d+)", client.received)
    assert found is not None
    return found[1]


def test_workers_of_uvicorn_need_no_engine(tmp_path: Path) -> None:
    """What is published through one of four workers reaches clients on all of them."""
    command = ("uvicorn", "tests.transports.sqlite.app:app", "--port", "{port}")
    with serving((*command, "--workers", str(WORKERS)), tmp_path) as server, Crowd() as crowd:
        processes: set[bytes] = set()
        deadline = time.monotonic() + 3 * PATIENCE
        while len(processes) < WORKERS:
            assert time.monotonic() < deadline, server.output()
            crowd.send(server.port, "/stream")
            processes.add(process_of(crowd.clients[-1]))
        answers = [
            server.call(f"/publish?text=message-{number}", method="POST") for number in range(3)
        ]
        crowd.read_until(lambda client: b"data: message-2\n" in client.received)
        for client in crowd.clients:
            found = re.findall(rb"data: (message-\d)\n", client.received)
            assert found == [b"message-0", b"message-1", b"message-2"]
        positions = [answer.split()[1] for answer in answers]
        assert [position.rpartition(b".")[2] for position in positions] == [b"1", b"2", b"3"]


BEATS = """
import os, sys, anyio
from sse_kit.transports.sqlite import SqliteTransport

async def main():
    async with SqliteTransport(sys.argv[1]) as transport:
        await transport.beat("dies", {"user": 3}, lease=float(sys.argv[2]))
        os.kill(os.getpid(), 9)

anyio.run(main)
"""


async def count_a_node_that_dies(path: Path) -> None:
    async with SqliteTransport(path) as transport:
        await transport.beat("lives", {"user": 1}, lease=60.0)
        command = [sys.executable, "-c", BEATS, str(path), "1.5"]
        await anyio.run_process(command, cwd=ROOT, check=False)
        assert (await transport.nodes())["dies"] == {"user": 3}
        with anyio.fail_after(PATIENCE):
            while "dies" in await transport.nodes():  # noqa: ASYNC110  no event tells
                await anyio.sleep(0.02)
        assert await transport.nodes() == {"lives": {"user": 1}}


def test_a_node_that_was_killed_is_counted_for_its_lease(path: Path) -> None:
    """It said nothing when it died, and is gone by the machine's clock."""
    anyio.run(count_a_node_that_dies, path)


FORKED = """
import os, sys, anyio
from sse_kit.errors import TransportNotRunning
from sse_kit.transports.base import Publication
from sse_kit.transports.sqlite import SqliteTransport

transport = SqliteTransport(sys.argv[1])

def fork():
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    try:
        anyio.run(transport.publish, Publication(("t",), b"2"))
    except TransportNotRunning:
        os._exit(7)
    os._exit(1)

async def main():
    async with transport:
        await transport.publish(Publication(("t",), b"1"))
        code = await anyio.to_thread.run_sync(fork)
        print(code, (await transport.publish(Publication(("t",), b"3"))).position.offset)

anyio.run(main)
"""


def test_a_forked_process_is_told_that_it_runs_nothing(path: Path) -> None:
    """At once, instead of waiting for a writer that it has not; its parent goes on."""
    command = [sys.executable, "-c", FORKED, str(path)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.split() == ["7", "2"]


LEFT = """
import sys, threading, anyio
from sse_kit.errors import EngineUnavailable, TransportNotRunning
from sse_kit.transports.base import Publication
from sse_kit.transports.sqlite import SqliteTransport
from sse_kit.transports.sqlite_log import SqliteLog

transport = SqliteTransport(sys.argv[1])
begun = threading.Event()
page = SqliteLog.page

def told(log, after, limit):
    if limit == 7:
        begun.set()
    return page(log, after, limit)

SqliteLog.page = told

async def ask():
    try:
        await transport.read(0, limit=7)
    except (EngineUnavailable, TransportNotRunning):
        pass

async def main():
    async with anyio.create_task_group() as outside:
        async with transport:
            await transport.publish(Publication(("t",), bytes(8 * 1024 * 1024)))
        for _ in range(8):
            begun.clear()
            async with transport:
                for _ in range(2):
                    outside.start_soon(ask)
                await anyio.to_thread.run_sync(begun.wait)

anyio.run(main)
"""


def test_leaving_waits_for_whoever_reads(path: Path) -> None:
    """A task outside is in SQLite just then, which a close in another thread would crash."""
    command = [sys.executable, "-c", LEFT, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
