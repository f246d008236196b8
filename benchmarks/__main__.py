"""The command line: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import machine
from benchmarks.catalogue import PEERS
from benchmarks.report import Report
from benchmarks.runner import Runner
from benchmarks.scenarios import ALIASES, FULL, NAMES, QUICK, chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).resolve().parent

SPARE_FILES = 200
"""What a process has open beside its connections."""


def names(among: Sequence[str], what: str) -> Callable[[str], list[str]]:
    """Return a parser of names with commas between, which knows those ``among`` which they are."""

    def parse(text: str) -> list[str]:
        for name in (found := text.split(",")):
            if name not in among:
                message = f"no {what} {name!r}: there are {', '.join(among)}"
                raise argparse.ArgumentTypeError(message)
        return found

    return parse


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python3 dev.py bench", description=__doc__)
    peers = [peer.name for peer in PEERS]
    scenarios = [*NAMES, *ALIASES]
    parser.add_argument("--only", type=names(peers, "peer"), default=peers, metavar="PEER,…")
    parser.add_argument(
        "--scenario", type=names(scenarios, "scenario"), default=[], metavar="NAME,…"
    )
    parser.add_argument("--quick", action="store_true", help="once, and shorter")
    parser.add_argument("--many", type=int, metavar="N", help="subscribers of the large crowds")
    parser.add_argument("--output", type=Path, help="folder for RESULTS.md and results.svg")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure, print the tables, and write them where the command line says."""
    asked = parse(sys.argv[1:])
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, _: sys.exit(f"ended by {signal.Signals(number).name}"))
    pace = QUICK if asked.quick else FULL
    peers = [peer for peer in PEERS if peer.name in asked.only]
    scenarios = chosen(asked.scenario, asked.many or pace.many)
    where = {"facts": machine.facts(), "versions": machine.versions()}
    require_files(max(scenario.subscribers for scenario in scenarios))
    results = Runner(peers, scenarios, pace).run()
    report = Report(results=results, peers=peers, scenarios=scenarios, pace=pace, **where)
    print(report.markdown())
    # What a part of the work says is not to replace what the whole said.
    whole = not (asked.quick or asked.scenario or asked.many) and len(peers) == len(PEERS)
    if folder := asked.output or (HERE if whole else None):
        report.write(folder)


def require_files(connections: int) -> None:
    """Raise the limit of open files, which servers inherit; stop if that is not enough."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < connections + SPARE_FILES:
        sys.exit(
            f"{connections:,} connections need more open files than the {hard:,} allowed here: "
            f"run ulimit -Hn {connections + SPARE_FILES} as root, or leave those scenarios out"
        )


if __name__ == "__main__":
    main()
