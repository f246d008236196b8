"""The command line: ``python -m benchmarks.engines``."""

from __future__ import annotations

import argparse
import secrets
import sqlite3
import tempfile
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, TypeAlias, cast

import anyio

from benchmarks import machine
from benchmarks.engines import floors, measure
from sse_kit import MemoryLog, MemoryTransport, transport_from_url
from sse_kit.config import Retention
from sse_kit.testing.engines import NatsEngine, PostgresEngine, RedisEngine
from sse_kit.testing.engines.binaries import (
    nats_server,
    postgres_server,
    valkey_server,
    version_of,
)
from sse_kit.transports.base import Publication
from sse_kit.transports.setup import SupportsSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.engines.floors import Floor
    from benchmarks.engines.measure import Replaying
    from sse_kit.testing.engines import Engine

HERE = Path(__file__).resolve().parent
RUNS = 3
KEPT = Retention(max_records=20_000)

Started: TypeAlias = "Callable[[], AbstractContextManager[str]]"


@dataclass(frozen=True, slots=True)
class Subject:
    """A transport under measurement: how its engine is started, and its client's floor.

    ``written`` says when the disk has what was acknowledged.
    """

    name: str
    written: str
    started: Started
    floor: Floor | None = None


Result: TypeAlias = dict[str, float]
"""By column, of one run; ``bare`` is left out where there is none."""


@contextmanager
def _file() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/log.db"


def _server(make: Callable[[], Engine]) -> Started:
    @contextmanager
    def started() -> Iterator[str]:
        with make() as engine:
            yield engine.url

    return started


def _path(url: str) -> str:
    return url.removeprefix("sqlite:///") + ".bare"


ALWAYS = {"appendfsync": "always"}

SUBJECTS = (
    Subject("memory", "never", lambda: nullcontext("memory://")),
    Subject("sqlite", "at once", _file, lambda url: floors.sqlite(_path(url))),
    Subject("redis", "in 1 s", _server(RedisEngine), floors.redis),
    Subject("redis-always", "at once", _server(lambda: RedisEngine(config=ALWAYS)), floors.redis),
    Subject("nats", "in 2 min", _server(NatsEngine), floors.jetstream),
    Subject(
        *("nats-always", "at once"),
        _server(lambda: NatsEngine(sync_interval="always")),
        floors.jetstream,
    ),
    Subject("postgres", "at once", _server(PostgresEngine), floors.postgres),
)


def _two(url: str) -> tuple[Replaying, Replaying]:
    """Return two transports over one log, as two processes have them."""
    if url == "memory://":
        log = MemoryLog(KEPT)
        return MemoryTransport(log=log), MemoryTransport(log=log)
    namespace = f"b{secrets.token_hex(8)}"
    one, other = (transport_from_url(url, namespace=namespace, retention=KEPT) for _ in range(2))
    return cast("Replaying", one), cast("Replaying", other)


async def _measure(subject: Subject, url: str, seconds: float) -> Result:
    transport, other = _two(url)
    if isinstance(transport, SupportsSetup):
        await transport.setup()

    async def store(data: bytes) -> object:
        return await transport.publish(Publication(("t",), data))

    async with transport, other:
        await measure.latency(transport, other, 0.5)  # warm
        latency = await measure.latency(transport, other, seconds)
        throughput = await measure.throughput(store, seconds)
        replay = await measure.replay(transport, seconds)
    result = {**latency, "rate": throughput, "replay": replay}
    if subject.floor is not None:
        async with subject.floor(url) as bare:
            result["bare"] = await measure.throughput(bare, seconds)
    return result


def _run(subject: Subject, seconds: float) -> Result:
    with subject.started() as url:
        return anyio.run(_measure, subject, url, seconds)


def _row(subject: Subject, results: list[Result]) -> str:
    of = {column: median(result[column] for result in results) for column in results[0]}
    times = (f"{1000 * of[column]:.2f}" for column in measure.TIMES)
    bare = of.get("bare")
    floor = ["–", "–"] if bare is None else [f"{bare:,.0f}", f"{of['rate'] / bare:.2f}"]
    rates = (f"{of['rate']:,.0f}", *floor, f"{of['replay']:,.0f}")
    return f"| {' | '.join((subject.name, subject.written, *times, *rates))} |"


COLUMNS = (
    "transport",
    "on the disk",
    "publish p50, ms",
    "p99",
    "to another tail p50, ms",
    "p99",
    "publishes/s, 32 waiting",
    "the bare client",
    "ratio",
    "replayed/s",
)


def main() -> None:
    """Measure, print the table, and write it where the command line says."""
    parser = argparse.ArgumentParser(prog="python3 dev.py bench-engines", description=__doc__)
    names = [subject.name for subject in SUBJECTS]
    parser.add_argument("--only", choices=names, action="append", help="again for more")
    parser.add_argument("--quick", action="store_true", help="once, and shorter; only prints")
    asked = parser.parse_args()
    runs, seconds = (1, 1.0) if asked.quick else (RUNS, 5.0)
    chosen = [subject for subject in SUBJECTS if subject.name in (asked.only or names)]
    rounds = [[_run(subject, seconds) for subject in chosen] for _ in range(runs)]
    rows = map(_row, chosen, map(list, zip(*rounds, strict=True)))
    head = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    table = "\n".join([*head, *rows])
    print(table)
    if not asked.quick and not asked.only:
        (HERE / "RESULTS.md").write_text(f"{_preface(runs, seconds)}\n{table}\n")


def _preface(runs: int, seconds: float) -> str:
    facts = ", ".join(
        f"{name} {value}" for name, value in {**machine.facts(), **_versions()}.items()
    )
    return (
        f"# The engines\n\nMedian of {runs} runs of {seconds:g} s each, {measure.SIZE} bytes a "
        f"message; two transports, as two processes have\nthem, and the engine on one machine.\n"
        f"{facts}.\n\nLatencies are from the call of publish to its answer, and to the tail of the "
        f"other transport, at {measure.PACE} messages a\nsecond. The bare client stores the same "
        f"bytes, as durably, without any promise: no order without holes, no key, no\nretention. "
        f"*On the disk* is when an acknowledged message is: compare rows of one kind.\n"
    )


def _versions() -> dict[str, str]:
    programs = {
        "Valkey": valkey_server(),
        "nats-server": nats_server(),
        "PostgreSQL": postgres_server("18"),
    }
    found = {name: version_of(program) for name, program in programs.items()}
    return {**found, "SQLite": sqlite3.sqlite_version}


if __name__ == "__main__":
    main()
