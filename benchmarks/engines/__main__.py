"""The command line: ``python -m benchmarks.engines``."""

from __future__ import annotations

import argparse
import secrets
import tempfile
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, TypeAlias, cast

import anyio

from benchmarks import machine
from benchmarks.engines import floors, measure
from sse_kit import transport_from_url
from sse_kit.config import Retention
from sse_kit.testing.engines import NatsEngine, PostgresEngine, RedisEngine
from sse_kit.transports.base import Publication
from sse_kit.transports.setup import SupportsSetup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.engines.floors import Floor
    from benchmarks.engines.measure import Replaying

HERE = Path(__file__).resolve().parent
RUNS = 3
KEPT = Retention(max_records=20_000)

Started: TypeAlias = "Callable[[], AbstractContextManager[str]]"


@dataclass(frozen=True, slots=True)
class Subject:
    """A transport under measurement: how its engine is started, and its client's floor."""

    name: str
    started: Started
    floor: Floor | None


Result: TypeAlias = dict[str, float]
"""By column, of one run; ``bare`` is left out where there is none."""


@contextmanager
def _file() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/log.db"


@contextmanager
def _redis() -> Iterator[str]:
    with RedisEngine() as engine:
        yield engine.url


@contextmanager
def _nats() -> Iterator[str]:
    with NatsEngine() as engine:
        yield engine.url


@contextmanager
def _postgres() -> Iterator[str]:
    with PostgresEngine() as engine:
        yield engine.url


def _path(url: str) -> str:
    return url.removeprefix("sqlite:///") + ".bare"


SUBJECTS = (
    Subject("memory", lambda: nullcontext("memory://"), None),
    Subject("sqlite", _file, lambda url: floors.sqlite(_path(url))),
    Subject("redis", _redis, floors.redis),
    Subject("nats", _nats, floors.jetstream),
    Subject("postgres", _postgres, floors.postgres),
)


async def _measure(subject: Subject, url: str, seconds: float) -> Result:
    namespace = f"b{secrets.token_hex(8)}"
    transport = cast("Replaying", transport_from_url(url, namespace=namespace, retention=KEPT))
    if isinstance(transport, SupportsSetup):
        await transport.setup()

    async def store(data: bytes) -> object:
        return await transport.publish(Publication(("t",), data))

    async with transport:
        await measure.latency(transport, 0.5)  # warm
        latency = await measure.latency(transport, seconds)
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


def _row(name: str, results: list[Result]) -> str:
    of = {column: median(result[column] for result in results) for column in results[0]}
    times = (f"{1000 * of[column]:.2f}" for column in measure.TIMES)
    bare = of.get("bare")
    floor = ["–", "–"] if bare is None else [f"{bare:,.0f}", f"{of['rate'] / bare:.2f}"]
    rates = (f"{of['rate']:,.0f}", *floor, f"{of['replay']:,.0f}")
    return f"| {' | '.join((name, *times, *rates))} |"


COLUMNS = (
    "transport",
    "publish p50, ms",
    "p99",
    "to the tail p50, ms",
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
    found: dict[str, list[Result]] = {subject.name: [] for subject in chosen}
    for _ in range(runs):
        for subject in chosen:
            found[subject.name].append(_run(subject, seconds))
    head = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    table = "\n".join([*head, *(_row(name, results) for name, results in found.items())])
    print(table)
    if not asked.quick and not asked.only:
        (HERE / "RESULTS.md").write_text(f"{_preface(runs, seconds)}\n{table}\n")


def _preface(runs: int, seconds: float) -> str:
    facts = ", ".join(f"{name} {value}" for name, value in machine.facts().items())
    return (
        f"# The engines\n\nMedian of {runs} runs of {seconds:g} s each, {measure.SIZE} bytes a "
        f"message; publisher, tail and engine on one machine.\n{facts}.\n\nLatencies are from the "
        f"call of publish, at {measure.PACE} messages a second. The bare client stores the same "
        f"bytes without any promise:\nno order without holes, no key, no retention.\n"
    )


if __name__ == "__main__":
    main()
