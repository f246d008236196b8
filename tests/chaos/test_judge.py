"""The judge: what is right is not blamed, and each way to break a promise is noticed."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_kit.testing.chaos.judge import Counts, Judge, Witness
from sse_kit.transports.base import Gap, GapReason, Position

TOPICS = ("a", "b", "c")


class Published(NamedTuple):
    key: str
    topics: tuple[str, ...]
    position: Position


class Case(NamedTuple):
    """A log, who follows what, and in which order acknowledgements and deliveries came."""

    log: list[Published]
    followed: list[frozenset[str]]
    order: list[int]
    """-1: the next acknowledgement; else the next delivery to that witness."""

    def stream(self, witness: int) -> list[Published]:
        return [each for each in self.log if self.followed[witness].intersection(each.topics)]


def topics() -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(TOPICS), min_size=1)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw a case in which every promise is kept, with something to deliver to witness 0."""
    several = draw(st.lists(topics(), min_size=2, max_size=12))
    log = [
        Published(f"k{offset}", tuple(sorted(each)), Position("e", offset))
        for offset, each in enumerate(several, 1)
    ]
    followed = [frozenset(TOPICS), *draw(st.lists(topics(), max_size=2))]
    case = Case(log, followed, [])
    steps = [-1] * len(log)
    for witness in range(len(followed)):
        steps += [witness] * len(case.stream(witness))
    return case._replace(order=draw(st.permutations(steps)))


def play(case: Case, streams: list[list[Published]], judge: Judge | None = None) -> list[Witness]:
    """Acknowledge the log and deliver the streams in the order of the case, then the rest."""
    judge = judge or Judge()
    witnesses = [judge.witness(each) for each in case.followed]
    left = [list(stream) for stream in streams]
    answers = list(case.log)
    for step in [*case.order, *range(len(streams)), *range(len(streams))]:
        if step == -1:
            judge.acknowledge(*answers.pop(0))
        elif left[step]:
            witnesses[step].deliver(*left[step].pop(0))
    return witnesses


def judged(case: Case, first: list[Published]) -> Counts:
    """Return the verdict if witness 0 was given ``first``, and the others what they are owed."""
    judge = Judge()
    others = [case.stream(witness) for witness in range(1, len(case.followed))]
    play(case, [first, *others], judge)
    return judge.settle()


@given(cases())
def test_what_is_right_is_not_blamed(case: Case) -> None:
    """Acknowledgements may come before or after deliveries, witnesses at their own pace."""
    judge = Judge()
    streams = [case.stream(witness) for witness in range(len(case.followed))]
    play(case, streams, judge)
    assert judge.owed() == 0
    expected = Counts(acknowledged=len(case.log), delivered=sum(map(len, streams)))
    assert judge.settle() == expected


@given(cases(), st.data())
def test_what_does_not_come_is_lost(case: Case, data: st.DataObject) -> None:
    """A silent gap of any length is counted by its length."""
    stream = case.stream(0)
    start = data.draw(st.integers(0, len(stream) - 1))
    end = data.draw(st.integers(start + 1, len(stream)))
    counts = judged(case, stream[:start] + stream[end:])
    assert (counts.lost, counts.broken) == (end - start, end - start)


@given(cases(), st.data())
def test_what_comes_again_is_a_duplicate(case: Case, data: st.DataObject) -> None:
    """At once or later."""
    stream = case.stream(0)
    index = data.draw(st.integers(0, len(stream) - 1))
    again = data.draw(st.integers(index + 1, len(stream)))
    counts = judged(case, [*stream[:again], stream[index], *stream[again:]])
    assert (counts.duplicated, counts.broken) == (1, 1)


@given(cases(), st.data())
def test_what_comes_too_late_is_reordered(case: Case, data: st.DataObject) -> None:
    """One that was overtaken by others is one that is out of order."""
    stream = case.stream(0)
    index = data.draw(st.integers(0, len(stream) - 2))
    late = data.draw(st.integers(index + 1, len(stream) - 1))
    moved = [*stream[:index], *stream[index + 1 : late + 1], stream[index], *stream[late + 1 :]]
    counts = judged(case, moved)
    assert (counts.reordered, counts.broken) == (1, 1)


@given(cases(), st.data())
def test_a_gap_without_a_cause_is_a_broken_promise_and_excuses_nothing(
    case: Case, data: st.DataObject
) -> None:
    """What it skips is lost all the same."""
    stream = case.stream(0)
    start = data.draw(st.integers(0, len(stream) - 1))
    judge = Judge()
    only = case._replace(followed=case.followed[:1], order=[-1] * len(case.log) + [0] * start)
    witness = play(only, [stream[:start]], judge)[0]
    witness.gap(Gap(data.draw(st.sampled_from(GapReason)), stream[-1].position))
    counts = judge.settle()
    assert (counts.causeless, counts.lost, counts.gaps) == (1, len(stream) - start, 0)


@given(cases(), st.booleans())
def test_what_nobody_published_is_altered(case: Case, foreign: bool) -> None:  # noqa: FBT001
    """So is what is for another topic than the client's."""
    stream = case.stream(0)
    key, told = ("k", ("d",)) if foreign else (None, TOPICS)
    judge = Judge()
    witness = play(case, [stream, *([] for _ in case.followed[1:])], judge)[0]
    witness.deliver(key, told, Position("e", 99))
    assert judge.settle().altered == 1


def test_two_at_one_place_are_noticed() -> None:
    """Two processes that disagree on the log are caught, whoever is right."""
    judge = Judge()
    first, second = judge.witness("a"), judge.witness("b")
    first.deliver("k1", ("a",), Position("e", 1))
    second.deliver("k2", ("b",), Position("e", 1))
    assert judge.settle().reordered == 1


def test_an_answer_with_another_place_is_noticed() -> None:
    """The position that a publisher was told is where the clients find it."""
    judge = Judge()
    judge.acknowledge("k1", ("a",), Position("e", 2))
    judge.witness("a").deliver("k2", ("a",), Position("e", 2))
    assert judge.settle().reordered == 1


def settled(judge: Judge, last: int, topics: str = "a") -> Witness:
    """Return a witness that has been given all of a first round, ``k1`` to ``k<last>``."""
    witness = judge.witness(topics)
    for offset in range(1, last + 1):
        judge.acknowledge(f"k{offset}", ("a",), Position("e", offset))
        witness.deliver(f"k{offset}", ("a",), Position("e", offset))
    assert judge.settle().broken == 0
    return witness


def test_what_was_settled_may_not_come_again() -> None:
    """A round is over, its publications are not forgotten."""
    judge = Judge()
    settled(judge, 3).deliver("k2", ("a",), Position("e", 2))
    assert judge.settle().duplicated == 1


def test_after_a_lossy_restart_the_fork_is_told_and_the_new_history_is_owed() -> None:
    """Offsets after the fork come again, with other publications."""
    judge = Judge()
    witness = settled(judge, 5)
    judge.lossy_restart()
    judge.acknowledge("new", ("a",), Position("e2", 4))
    assert judge.owed() == 1
    witness.gap(Gap(GapReason.AHEAD, Position("e2", 3)))
    witness.deliver("new", ("a",), Position("e2", 4))
    assert judge.settle() == Counts(acknowledged=1, delivered=1, gaps=1)


def test_a_fork_that_nobody_tells_is_noticed() -> None:
    """The new history looks as if it went backwards, or is skipped."""
    judge = Judge()
    witness = settled(judge, 5)
    judge.lossy_restart()
    for offset in (4, 5, 6):
        judge.acknowledge(f"new{offset}", ("a",), Position("e2", offset))
    witness.deliver("new4", ("a",), Position("e2", 4))
    witness.deliver("new6", ("a",), Position("e2", 6))
    counts = judge.settle()
    assert (counts.reordered, counts.lost) == (1, 1)


def test_a_lossy_restart_is_told_once() -> None:
    """A second gap has no cause; nor has one that comes a round later."""
    judge = Judge()
    witness = settled(judge, 5)
    judge.lossy_restart()
    witness.gap(Gap(GapReason.AHEAD, Position("e2", 3)))
    witness.gap(Gap(GapReason.AHEAD, Position("e2", 3)))
    assert judge.settle().causeless == 1
    other = judge.witness("a")
    other.gap(Gap(GapReason.AHEAD, Position("e2", 3)))
    assert judge.settle().causeless == 1


def test_a_log_that_starts_over_repeats_what_was_settled() -> None:
    """After the gap of another epoch all comes again, once and in order."""
    judge = Judge()
    witness = settled(judge, 2)
    judge.lossy_restart()
    witness.gap(Gap(GapReason.EPOCH, Position("new", 0)))
    for offset in (1, 2):
        witness.deliver(f"k{offset}", ("a",), Position("new", offset))
    judge.acknowledge("new", ("a",), Position("new", 3))
    witness.deliver("new", ("a",), Position("new", 3))
    assert judge.settle() == Counts(acknowledged=1, delivered=1, gaps=1)
    witness.deliver("k1", ("a",), Position("new", 4))
    assert judge.settle().duplicated == 1


def test_the_oldest_of_what_is_repeated_may_be_trimmed_and_nothing_else() -> None:
    """Whoever begins at the first record that is kept is overtaken by retention, and told."""
    judge = Judge()
    witness = settled(judge, 4)
    judge.lossy_restart()
    witness.gap(Gap(GapReason.EPOCH, Position("new", 0)))
    witness.gap(Gap(GapReason.TRIMMED, Position("new", 2), 2))
    witness.deliver("k3", ("a",), Position("new", 3))
    judge.acknowledge("new", ("a",), Position("new", 5))
    witness.gap(Gap(GapReason.TRIMMED, Position("new", 5), 2))
    assert judge.settle() == Counts(acknowledged=1, gaps=1, lost=1)
    witness.deliver("newer", ("a",), Position("new", 6))
    witness.gap(Gap(GapReason.TRIMMED, Position("new", 7), 1))
    assert judge.settle().causeless == 1


def test_what_a_gap_skips_is_announced_whenever_its_answer_comes() -> None:
    """An engine that does not know the fork resumes behind what was published since."""
    judge = Judge()
    witness = settled(judge, 5)
    judge.lossy_restart()
    judge.acknowledge("early", ("a",), Position("e2", 3))
    witness.gap(Gap(GapReason.AHEAD, Position("e2", 4)))
    judge.acknowledge("late", ("a",), Position("e2", 4))
    judge.acknowledge("after", ("a",), Position("e2", 5))
    counts = judge.settle()
    assert (counts.announced, counts.lost) == (2, 1)


@pytest.mark.parametrize(
    ("gap", "announced", "lost"),
    [
        (Gap(GapReason.AHEAD, Position("e2", 1)), 1, 2),
        (Gap(GapReason.AHEAD, Position("e2", 0)), 2, 1),
        (Gap(GapReason.AHEAD, Position("e2", 2)), 0, 3),
        (Gap(GapReason.EPOCH, Position("new", 0)), 2, 1),
        (Gap(GapReason.TRIMMED, Position("e2", 2), 2), 0, 3),
    ],
)
def test_a_gap_excuses_what_it_covers(gap: Gap, announced: int, lost: int) -> None:
    """Acknowledged before the restart and beyond the fork; not what is still to come."""
    judge = Judge()
    witness = judge.witness("a")
    for offset in (1, 2):
        judge.acknowledge(f"k{offset}", ("a",), Position("e", offset))
    judge.lossy_restart()
    judge.acknowledge("new", ("a",), Position("e2", 3))
    witness.gap(gap)
    counts = judge.settle()
    assert (counts.announced, counts.lost) == (announced, lost)
