"""Who gets what of a batch, worked out once for each set of topics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from sse_kit import Position, SSEMessage
from sse_kit.audience import Audiences
from sse_kit.subscription import Audience, Entry, Subscription

if TYPE_CHECKING:
    from collections.abc import Iterable

TOPICS = "abcd"


def entry(offset: int, *topics: str) -> Entry:
    return Entry(Position("e", offset), topics, b"x", SSEMessage(""))


def join(audiences: Audiences, topics: Iterable[str], *, live: bool = True) -> Subscription:
    """Return a subscription that has joined, as the hub lets it."""
    start = Position("e", 0)
    joined = Subscription(topics, start, wake=lambda: None, max_items=9, max_bytes=99)
    joined.audience = audiences.join(joined.topics)
    if live:
        joined.go_live()
    return joined


def leave(audiences: Audiences, subscription: Subscription) -> None:
    """Leave as the hub lets it."""
    subscription.fall_back(Position("e", 0))
    audiences.leave(subscription.audience)


def offsets(entries: Iterable[Entry]) -> list[int]:
    return [each.position.offset for each in entries]


def shares(audiences: Audiences) -> dict[Subscription, list[int]]:
    """Return what each subscription gets; it is in one share at most."""
    found: dict[Subscription, list[int]] = {}
    for subscriptions, entries in audiences.share_out():
        for subscription in subscriptions:
            assert subscription not in found
            found[subscription] = offsets(entries)
    return found


# Joining and leaving -----------------------------------------------------------------------------


def test_those_of_the_same_topics_are_one_audience() -> None:
    """In whatever order they name them; other topics are another one."""
    audiences = Audiences()
    first, same, other = (join(audiences, topics) for topics in ("ab", "ba", "a"))
    assert first.audience is same.audience
    assert first.audience is not other.audience
    assert first.audience.size == 2


def test_topics_are_counted_while_somebody_follows_them() -> None:
    """The last one of an audience takes them along, unless another audience has them."""
    audiences = Audiences()
    assert len(audiences) == 0
    both, again, one = (join(audiences, topics) for topics in ("ab", "ab", "b"))
    assert len(audiences) == 2
    leave(audiences, both)
    assert len(audiences) == 2
    leave(audiences, again)
    assert len(audiences) == 1
    leave(audiences, one)
    assert len(audiences) == 0


def test_an_audience_that_all_have_left_is_made_anew() -> None:
    """With nothing of the old one's in it."""
    audiences = Audiences()
    old = join(audiences, "a")
    audiences.collect(entry(1, "a"))
    leave(audiences, old)
    new = join(audiences, "a")
    assert new.audience is not old.audience
    assert new.audience.entries == []
    assert new.accepted == 0


# Collecting --------------------------------------------------------------------------------------


def test_an_entry_is_for_whoever_follows_one_of_its_topics() -> None:
    """Nobody else is concerned."""
    audiences = Audiences()
    one, both, other = (join(audiences, topics) for topics in ("a", "ab", "c"))
    audiences.collect(entry(1, "a"))
    audiences.collect(entry(2, "b"))
    audiences.collect(entry(3, "d"))
    found = shares(audiences)
    assert found == {one: [1], both: [1, 2]}
    assert other not in found


def test_an_entry_of_several_topics_is_collected_once() -> None:
    """For one who follows them all."""
    audiences = Audiences()
    reader = join(audiences, "abc")
    audiences.collect(entry(1, "a", "b", "c"))
    audiences.collect(entry(2, "b", "a"))
    assert shares(audiences) == {reader: [1, 2]}


def test_those_who_catch_up_get_nothing() -> None:
    """And an audience in which nobody is LIVE is not concerned at all."""
    audiences = Audiences()
    join(audiences, "a", live=False)
    audiences.collect(entry(1, "a"))
    assert audiences.share_out() == []
    live = join(audiences, "a")
    audiences.collect(entry(2, "a"))
    assert shares(audiences) == {live: [2]}


def test_one_share_is_for_all_of_an_audience() -> None:
    """The same list, so that its frames are joined once."""
    audiences = Audiences()
    everyone = tuple(join(audiences, "a") for _ in range(3))
    audiences.collect(entry(1, "a"))
    [(subscriptions, entries)] = audiences.share_out()
    assert subscriptions == everyone
    assert offsets(entries) == [1]


# Sharing out -------------------------------------------------------------------------------------


def test_what_was_shared_out_is_not_shared_out_again() -> None:
    """And is not touched by what is collected afterwards."""
    audiences = Audiences()
    reader = join(audiences, "a")
    audiences.collect(entry(1, "a"))
    [(_, entries)] = audiences.share_out()
    assert audiences.share_out() == []
    audiences.collect(entry(2, "a"))
    assert offsets(entries) == [1]
    assert shares(audiences) == {reader: [2]}


def test_whoever_leaves_or_comes_while_the_shares_are_served_is_in_no_other_share() -> None:
    """The shares are as they were at the end of the batch."""
    audiences = Audiences()
    reader, other = join(audiences, "a"), join(audiences, "b")
    audiences.collect(entry(1, "a", "b"))
    found = audiences.share_out()
    leave(audiences, other)
    late = join(audiences, "b")
    assert [subscriptions for subscriptions, _ in found] == [(reader,), (other,)]
    assert late.accepted == 0


def test_what_is_shared_out_counts_as_accepted_by_those_who_are_live() -> None:
    """From when they go LIVE until they fall back; a count that was reached stays."""
    audiences = Audiences()
    early = join(audiences, "a")
    audiences.collect(entry(1, "a"))
    audiences.collect(entry(2, "a"))
    audiences.share_out()
    late = join(audiences, "a")
    audiences.collect(entry(3, "a"))
    audiences.share_out()
    assert (early.accepted, late.accepted) == (3, 1)
    leave(audiences, early)
    audiences.collect(entry(4, "a"))
    audiences.share_out()
    assert (early.accepted, late.accepted) == (3, 2)


def test_an_audience_was_touched_for_those_who_are_live_in_it() -> None:
    """One who catches up was not written to with the others."""
    audiences = Audiences()
    live, behind = join(audiences, "a"), join(audiences, "a", live=False)
    live.audience.touched = 7.0
    assert (live.touched, behind.touched) == (7.0, 0.0)


@given(
    readers=st.lists(st.tuples(st.sets(st.sampled_from(TOPICS), min_size=1), st.booleans())),
    batches=st.lists(st.lists(st.sets(st.sampled_from([*TOPICS, "unknown"]), min_size=1))),
)
def test_each_reader_gets_what_matches_its_topics_in_order(
    readers: list[tuple[set[str], bool]], batches: list[list[set[str]]]
) -> None:
    """As if each had looked at every entry by itself."""
    audiences = Audiences()
    everyone = [(join(audiences, topics, live=live), topics, live) for topics, live in readers]
    offset = 0
    for batch in batches:
        expected: dict[Subscription, list[int]] = {}
        for topics in batch:
            offset += 1
            audiences.collect(entry(offset, *topics))
            for reader, followed, live in everyone:
                if live and followed & topics:
                    expected.setdefault(reader, []).append(offset)
        assert shares(audiences) == expected
    for reader, _, _ in everyone:
        leave(audiences, reader)
    assert len(audiences) == 0


def test_an_audience_that_nobody_has_joined_has_nobody() -> None:
    """As a subscription has one before the hub has added it."""
    audience = Audience(frozenset("a"))
    assert (audience.size, list(audience.live), audience.accepted) == (0, [], 0)
