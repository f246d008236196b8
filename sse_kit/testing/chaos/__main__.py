"""The command line."""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from sse_kit.errors import SSEKitError
from sse_kit.testing.chaos.cluster import ENGINES, Cluster, store_of
from sse_kit.testing.chaos.report import Totals, table
from sse_kit.testing.chaos.runner import Plan, Runner, Stuck
from sse_kit.testing.engines import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    made = argparse.ArgumentParser(prog="python -m sse_kit.testing.chaos", description=__doc__)
    names = ", ".join(sorted(ENGINES))
    made.add_argument("--engine", required=True, help=f"{names}, or module:store for another")
    made.add_argument("--seed", default=None, help="makes the same faults again; default: new")
    made.add_argument("--minutes", type=float, default=1.0, help="after which no round begins")
    made.add_argument("--faults", type=int, help="end when there are so many, in all runs")
    made.add_argument("--messages", type=int, help="end when so many are acknowledged, as well")
    made.add_argument("--rate", type=float, default=700.0, help="messages a second")
    made.add_argument("--round-faults", type=int, default=12, help="faults between two judgements")
    made.add_argument("--no-lossy", action="store_true", help="never set the engine back")
    made.add_argument("--state", type=Path, help="a file that totals are added up in, over runs")
    made.add_argument("--markdown", action="store_true", help="print the table of the docs")
    return made


def plan_of(options: argparse.Namespace) -> Plan:
    """Return the plan that the command line asks for."""
    return Plan(
        seed=options.seed or secrets.token_hex(4),
        seconds=options.minutes * 60,
        faults=options.faults,
        messages=options.messages,
        rate=options.rate,
        round_faults=options.round_faults,
        lossy=not options.no_lossy,
    )


def run(engine: str, plan: Plan, totals: Totals, save: Callable[[], None]) -> str:
    """Run the plan; return why it could not be carried out, or ``""``."""
    with (
        tempfile.TemporaryDirectory(prefix="sse-kit-chaos-") as folder,
        Cluster(store_of(engine)(Path(folder))) as cluster,
    ):
        broken = totals.counts.broken
        failures: list[str] = []
        try:
            anyio.run(Runner(cluster, plan, totals, say).run, save)
        except* (Stuck, EngineError) as errors:
            failures += [*map(str, errors.exceptions), cluster.logs()]
        if totals.counts.broken > broken:
            failures.append(cluster.logs())
        return "\n".join(failures)


def say(line: str) -> None:
    """Print at once, to stderr: the result alone goes to stdout."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201  this is a command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0 if every promise was kept, 1 if one was broken, 2 if it could not be run."""
    options = parser().parse_args(arguments)
    plan = plan_of(options)
    say(f"seed {plan.seed}")
    # Ours even where a shell has it ignored, as it does for what runs in its background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        totals = Totals.load(options.engine, options.state)
        failure = run(options.engine, plan, totals, lambda: totals.save(options.state))
    except (EngineError, SSEKitError, ValueError) as error:
        say(str(error))
        return 2
    finally:
        signal.signal(signal.SIGTERM, before)
    if failure:
        say(failure)
    print(table([totals]) if options.markdown else totals.text())  # noqa: T201
    return 1 if failure or totals.counts.broken else 0


def _interrupt(_: int, __: object) -> None:
    """End by SIGTERM as by Ctrl-C, which event loops know: nothing that was started stays."""
    signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
