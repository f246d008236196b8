"""The benchmark's arithmetic, counting and parsers; no server is started."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import tables
from benchmarks.__main__ import parse
from benchmarks.catalogue import NCHAN, PEERS, Family, Peer
from benchmarks.crowd import Crowd, Stamps
from benchmarks.foreign import Absent, program
from benchmarks.goals import Board, Goal
from benchmarks.machine import cpu_model
from benchmarks.model import Sample
from benchmarks.plot import Bar, Chart, svg
from benchmarks.publisher import SIZE, payload
from benchmarks.report import Report
from benchmarks.runner import Results
from benchmarks.scenarios import FULL, Scenario, chosen, crowds, everything
from benchmarks.stats import middle, percentile, ratio, spread
from benchmarks.summary import Field, Summary
from benchmarks.usage import Usage

BURST = next(scenario for scenario in everything(8_000) if scenario.name == "burst")
MEASURED = [peer for peer in PEERS if peer.name in {NCHAN, "sse_kit", "FastHTML", "litestar"}]


def sample(
    cost: float, *, phase: str = "burst", done: int = 1_000, expected: int = 1_000
) -> Sample:
    """Return a sample that says ``cost`` microseconds for each, and was busy with that alone."""
    cpu = cost * done / 1e6
    return Sample(phase=phase, done=done, expected=expected, seconds=cpu, cpu=cpu, busy=0.5)


def results(**costs: float) -> Results:
    made = Results()
    for peer, cost in costs.items():
        made.samples[peer, "burst"].append(sample(cost))
    return made


# Arithmetic ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([7], 0.99, 7), ([3, 1, 2], 0.5, 2), (list(range(200)), 0.99, 198)],
)
def test_percentile(values: list[int], share: float, expected: int | None) -> None:
    """That share of the values lie below it, whatever their order."""
    assert percentile(values, share) == expected


def test_a_ratio_needs_both_of_its_sides() -> None:
    """What was not measured, or is nothing, gives none."""
    assert ratio(3.0, 2.0) == 1.5
    assert ratio(None, 2.0) is ratio(3.0, None) is ratio(3.0, 0.0) is None


def test_middle_and_spread() -> None:
    """The median of what is known, and the width as a share of it."""
    assert middle([3.0, None, 1.0, 2.0]) == 2.0
    assert middle([None]) is None
    assert spread([8.0, 10.0, 13.0]) == 0.5


def test_a_sample_divides_by_what_arrived() -> None:
    """Lost events do not make a server look cheap."""
    half = sample(10.0, done=500, expected=1_000).model_copy(update={"cpu": 0.01, "seconds": 2.0})
    assert (half.cost, half.rate, half.lost) == (20.0, 250.0, 500)


def test_a_summary_takes_medians_but_adds_up_what_was_lost() -> None:
    """One bad run of three does not move the cost, and its lost events stay visible."""
    runs = [sample(10.0), sample(30.0, done=990), sample(11.0)]
    summary = Summary.of(runs)
    assert summary is not None
    assert (summary.cost, summary.lost, summary.expected) == (11.0, 10, 3_000)
    assert Summary.of([]) is None


# Tables -------------------------------------------------------------------------------------------


def row_of(markdown: str, name: str) -> list[str]:
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    line = next(line for line in rows if name in line.split("|")[1])
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_shows_ratios_against_nchan_and_the_best_python_peer() -> None:
    """The best is the one with the least CPU, and the planted wrong value is seen."""
    made = results(nchan=8.0, sse_kit=4.0, FastHTML=16.0, litestar=20.0)
    right = row_of(tables.comparison(BURST, Field.of(made, MEASURED, "burst")), "sse_kit")
    assert right[:7] == ["**sse_kit**", "4.00", "0.50", "0.25", "250,000", "2.00", "4.00"]
    made.samples["nchan", "burst"][0] = sample(2.0)
    wrong = row_of(tables.comparison(BURST, Field.of(made, MEASURED, "burst")), "sse_kit")
    assert wrong[2] == "2.00"


def test_without_nchan_there_is_no_ratio_against_it() -> None:
    """The cells stay empty, the row stays."""
    made = results(sse_kit=4.0)
    row = row_of(tables.comparison(BURST, Field.of(made, MEASURED, "burst")), "sse_kit")
    assert row[2:4] == [tables.NONE, tables.NONE]


def test_lost_events_and_a_busy_generator_stand_out() -> None:
    """Both are bold in the table."""
    summary = Summary.of([sample(1.0, done=900)])
    assert summary is not None
    assert tables.lost(summary) == "**100** of 1,000"
    assert tables.lost(replace(summary, lost=0)) == "0"
    assert (tables.busy(0.85), tables.busy(0.86)) == ("85%", "**86%** (!)")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.456, "0.46"), (12.34, "12.3"), (211_999.4, "212,000"), (9.996, "10.0")],
)
def test_numbers_have_three_figures(value: float | None, shown: str) -> None:
    """More would be noise."""
    assert tables.number(value) == shown


# Goals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measured", "limit", "at_least", "met"),
    [
        (1.1, 1.1, False, True),
        (1.2, 1.1, False, False),
        (1.5, 1.5, True, True),
        (1.4, 1.5, True, False),
        (None, 1.5, True, None),
        (1.4, None, False, None),
    ],
)
def test_a_goal_is_met_missed_or_not_measured(
    measured: float | None, limit: float | None, *, at_least: bool, met: bool | None
) -> None:
    """The limit itself is met."""
    assert Goal("a", measured, limit, "", at_least=at_least).met is met


def test_the_goals_of_a_burst() -> None:
    """One and a half times nchan, three times the best Python peer."""
    made = results(nchan=8.0, sse_kit=4.0, FastHTML=16.0)
    goals = [goal for goal in Board(made, lambda _: "FastHTML").goals() if "burst" in goal.what]
    assert [(goal.measured, goal.met) for goal in goals] == [(2.0, True), (4.0, True)]


# The plan -----------------------------------------------------------------------------------------


def test_a_crowd_serves_every_scenario_of_its_size() -> None:
    """A peer has one server for 500 subscribers, one for the many; ours one for each point too."""
    by_name = {peer.name: peer for peer in PEERS}
    scenarios = everything(8_000)

    def sizes(name: str) -> list[list[str]]:
        return [[each.name for each in crowd] for crowd in crowds(scenarios, by_name[name])]

    shared = [["paced", "burst", "ten-per-turn"], ["connect", "many"]]
    assert sizes("FastHTML") == shared
    assert sizes("empty-bare") == sizes("sse_kit-workers") == [["connect"]]
    assert sizes("sse_kit")[:2] == shared
    assert all(len(crowd) == 1 for crowd in sizes("sse_kit")[2:])


def test_names_choose_scenarios() -> None:
    """None chooses all; ``curves`` and ``idle`` are names for others."""
    assert chosen([], 10) == everything(10)
    assert [scenario.name for scenario in chosen(["idle", "burst"], 10)] == ["burst", "connect"]
    assert {scenario.point for scenario in chosen(["curves"], 10)} >= {"50 each", "1 topic"}


def test_a_wrong_name_is_refused_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """A typing error measures nothing."""
    with pytest.raises(SystemExit):
        parse(["--only", "nchan,nginx"])
    assert "no peer 'nginx': there are nchan, sse_kit" in capsys.readouterr().err


def test_what_a_peer_lacks_is_named_with_the_remedy() -> None:
    """A package, or a program."""
    peer = Peer(name="x", family=Family.PYTHON, command=lambda *_: [], packages=("no-such-thing",))
    with pytest.raises(Absent, match="no-such-thing is absent: pip install no-such-thing, or"):
        peer.start_command(1, Path())
    with pytest.raises(Absent, match="no-such-program is absent: apt-get install it"):
        program("no-such-program", "apt-get install it")


# Counting -----------------------------------------------------------------------------------------


def test_a_payload_has_its_size_and_one_end() -> None:
    """So counting its last byte counts events."""
    data = payload()
    assert len(data) == SIZE
    assert data.count("~") == 1
    assert data.endswith("~")


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_stamp_is_read_once_however_it_is_cut(cut: int) -> None:
    """Two events, cut in two at any place, give two latencies."""
    latencies: list[int] = []
    stamps = Stamps(latencies)
    now = time.monotonic_ns()
    data = f"data: @{now}@x~\n\ndata: @{now}@x~\n\n".encode()
    stamps.feed(data[:cut])
    stamps.feed(data[cut:])
    assert len(latencies) == 2
    assert all(0 <= latency < 10**9 for latency in latencies)


def test_the_crowd_counts_events_that_are_split_or_joined() -> None:
    """Three events in two packets are three, and one that never ends is missed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        crowd = Crowd(listener.getsockname()[1])
        sock = crowd.connect(lambda _: None)
        server, _ = listener.accept()
        with server:
            server.sendall(b"data: one~\n\ndata: two~\n\ndata: th")
            assert crowd.wait_for(2, patience=5)
            server.sendall(b"ree~\n\ndata: never")
            assert crowd.wait_for(3, patience=5)
            assert not crowd.wait_for(4, patience=0.01)
        assert sock.fileno() > 0
        crowd.close()


# Meters and the machine ---------------------------------------------------------------------------


def test_usage_measures_this_process() -> None:
    """Its CPU time is that of the process clock, and it has memory."""
    usage = Usage(os.getpid())
    usage.pids = usage.pids[:1]
    assert usage.cpu() == pytest.approx(time.process_time(), abs=0.1)
    assert usage.memory() > 1_000_000


def test_the_name_of_the_cpu() -> None:
    """As /proc/cpuinfo has it."""
    assert cpu_model("processor\t: 0\nmodel name\t: A Chip 3000\nflags\t: x\n") == "A Chip 3000"


# The report ---------------------------------------------------------------------------------------


def test_the_chart_is_well_formed_and_to_scale() -> None:
    """The longest bar is the largest value, and names are escaped."""
    drawn = svg([Chart("T", "N", [Bar("a<b", 2.0, ours=True), Bar("c", 1.0, ours=False)])])
    bars = ET.fromstring(drawn).findall("{http://www.w3.org/2000/svg}rect")  # noqa: S314
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.01)


def test_the_report_names_who_did_not_run() -> None:
    """With the reason, beside the tables of the others."""
    made = results(nchan=8.0, sse_kit=4.0)
    made.not_run["litestar"] = "litestar is absent: pip install litestar"
    scenarios: list[Scenario] = [BURST]
    report = Report(
        results=made, peers=MEASURED, scenarios=scenarios, pace=FULL, facts={}, versions={}
    )
    text = report.markdown()
    assert "- litestar: litestar is absent: pip install litestar." in text
    assert row_of(text, "sse_kit")[1] == "4.00"
    assert "not measured" in text
