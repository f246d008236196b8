"""The small parts of the chaos: what is planned, what is read, what is reported."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_kit.messages import SSEMessage
from sse_kit.testing.chaos.__main__ import main, parser, plan_of
from sse_kit.testing.chaos.judge import Counts
from sse_kit.testing.chaos.report import Totals, table
from sse_kit.testing.chaos.schedule import OF_APPS, OF_ENGINES, Fault, schedule
from sse_kit.testing.chaos.traffic import TOPICS, message_of
from sse_kit.testing.chaos.wire import Broken, Dechunker, status_of
from sse_kit.testing.strategies import chunkings

if TYPE_CHECKING:
    from pathlib import Path

BOTH = (*OF_ENGINES, *OF_APPS)


def test_a_seed_makes_the_same_faults_again() -> None:
    """Another makes others; each kind comes as often, and the apps take turns."""
    first = list(islice(schedule("1", BOTH), 70))
    assert first == list(islice(schedule("1", BOTH), 70))
    assert first != list(islice(schedule("2", BOTH), 70))
    assert set(Counter(planned.fault for planned in first).values()) == {10}
    apps = [planned.app for planned in first if planned.fault in OF_APPS]
    assert apps == [index % 2 for index in range(20)]


@given(st.uuids().map(str))
def test_a_message_follows_from_its_key(key: str) -> None:
    """It is a message that can be published, to one topic or two."""
    message = message_of(key)
    assert message == message_of(key)
    assert SSEMessage(message.data).data == message.data
    assert 1 <= len(set(message.topics)) == len(message.topics) <= 2
    assert set(message.topics) <= set(TOPICS)


def chunked(parts: list[bytes]) -> bytes:
    sized = (b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part)
    return b"".join(sized) + b"0\r\n\r\n"


@given(st.data(), st.lists(st.binary(max_size=40), max_size=5))
def test_a_body_in_chunks_comes_out_whole(data: st.DataObject, parts: list[bytes]) -> None:
    """However the network cuts it; and its end is noticed."""
    decoder = Dechunker()
    pieces = data.draw(chunkings(chunked(parts)))
    assert b"".join(map(decoder.feed, pieces)) == b"".join(parts)
    assert decoder.ended


def test_what_is_no_response_breaks() -> None:
    """Half of a head has no status."""
    assert status_of(b"HTTP/1.1 503 Service Unavailable\r\n") == 503
    for head in (b"", b"HTTP/1.1", b"HTTP/1.1 OK 200"):
        with pytest.raises(Broken):
            status_of(head)


def totals(**counts: int) -> Totals:
    made = Totals("redis", Counts(**counts), silence=1.25, seconds=60.4, seeds=["7"])
    made.count(Fault.KILL_APP)
    made.count(Fault.KILL_APP)
    return made


def test_totals_add_up_over_runs(tmp_path: Path) -> None:
    """What one run leaves in the file the next goes on with."""
    path = tmp_path / "state.json"
    totals(acknowledged=3).save(path)
    again = Totals.load("redis", path)
    assert again == totals(acknowledged=3)
    again.counts += Counts(acknowledged=2, lost=1)
    assert (again.counts.acknowledged, again.counts.broken) == (5, 1)
    with pytest.raises(ValueError, match="is of 'redis', not of 'nats': name another file"):
        Totals.load("nats", path)
    assert Totals.load("nats", None) == Totals("nats")


def test_totals_are_a_text_and_a_row() -> None:
    """Each number has its name."""
    told = totals(acknowledged=12_345, duplicated=1)
    assert "faults  2 (kill app 2)" in told.text()
    assert "acknowledged  12,345" in told.text()
    assert "longest silence  1.2 s" in told.text()
    head, line, row = table([told]).splitlines()
    assert head.count("|") == line.count("|") == row.count("|")
    assert row.startswith("| redis | 2 | 12,345 | 0 | 0 | 1 |")


@pytest.mark.parametrize("name", ["lost", "duplicated", "reordered", "altered", "causeless"])
def test_each_of_five_breaks_a_promise(name: str) -> None:
    """No other count does."""
    assert Counts(**{name: 1}).broken == 1
    assert Counts(acknowledged=1, delivered=1, gaps=1, announced=1).broken == 0


def test_the_command_line_makes_a_plan() -> None:
    """Without a seed it takes a new one."""
    options = parser().parse_args(["--engine", "sqlite", "--minutes", "0.5", "--faults", "9"])
    plan = plan_of(options)
    assert (plan.seconds, plan.faults, plan.messages, plan.lossy) == (30.0, 9, None, True)
    assert plan.seed != plan_of(options).seed


def test_what_cannot_be_run_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An absent engine and a foreign file are no broken promise: the exit code is 2."""
    path = tmp_path / "state.json"
    totals().save(path)
    assert main(["--engine", "nats", "--state", str(path)]) == 2
    monkeypatch.setenv("SSE_KIT_REDIS_BIN", "/nowhere/redis-server")
    assert main(["--engine", "redis7", "--seed", "s7"]) == 2
    told = capsys.readouterr().err
    assert "/nowhere/redis-server is absent" in told
    assert "seed s7" in told


@pytest.mark.parametrize("name", ["kafka", "nowhere_at_all:store", "sse_kit:store", ":store"])
def test_an_engine_that_nobody_knows_is_said(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With those that are known, and how to name another."""
    assert main(["--engine", name]) == 2
    assert f"no engine '{name}'" in (told := capsys.readouterr().err)
    assert "sqlite, or module:store" in told
