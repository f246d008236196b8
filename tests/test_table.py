"""The table of connections: what is told of each, once."""

from __future__ import annotations

import logging

import pytest

from sse_kit import Closed, CloseReason, Opened, SSEConnection
from sse_kit.errors import UnknownConnection
from sse_kit.table import ConnectionTable
from tests.registry_tools import Recorder


@pytest.fixture
def told() -> Recorder:
    """Return what the table tells."""
    return Recorder()


@pytest.fixture
def table(told: Recorder) -> ConnectionTable:
    """Return a table."""
    return ConnectionTable(level=logging.DEBUG, tell=told)


def test_a_connection_is_found_by_its_id(table: ConnectionTable) -> None:
    """None, or an error, where there is none."""
    connection = SSEConnection("mine")
    table.add(connection)
    assert table.find("mine") is table.get("mine") is connection
    assert table.find("other") is None
    with pytest.raises(UnknownConnection):
        table.get("other")


def test_both_ends_of_a_connection_are_told_once(table: ConnectionTable, told: Recorder) -> None:
    """However often it is dropped; the reason is that of its end."""
    connection = SSEConnection("mine", connection_type="user", topics=["a"], metadata={"b": 1})
    table.add(connection)
    connection.end(CloseReason.CLIENT_LEFT)
    table.drop(connection, CloseReason.SERVER_STOP)
    table.drop(connection, CloseReason.SERVER_STOP)
    opened, closed = told.events
    facts = ("mine", "user", frozenset("a"), {"b": 1})
    assert opened == Opened(*facts)
    assert closed == Closed(*facts, CloseReason.CLIENT_LEFT, closed.duration, 0)


def test_dropping_ends_a_connection_for_the_reason_given(
    table: ConnectionTable, told: Recorder
) -> None:
    """If it had not ended by itself."""
    connection = SSEConnection("mine")
    table.add(connection)
    table.drop(connection, CloseReason.REPLACED)
    assert not connection.is_active()
    assert told.events[-1].reason is CloseReason.REPLACED


def test_what_has_ended_is_counted_by_its_reason(table: ConnectionTable) -> None:
    """Each once; the counts only grow."""
    for reason in (CloseReason.KICKED, CloseReason.KICKED, CloseReason.REPLACED):
        connection = SSEConnection("mine")
        table.add(connection)
        table.drop(connection, reason)
        table.drop(connection, CloseReason.CLIENT_LEFT)
    assert table.stats()["total"] == 0
    assert table.stats()["ended"] == {
        "total": 3,
        "by_reason": {"kicked": 2, "replaced": 1},
        "message_count": 0,
        "dropped": 0,
    }


def test_dropping_an_old_connection_leaves_the_new_one_with_its_id(
    table: ConnectionTable, told: Recorder
) -> None:
    """It is not the id that is dropped."""
    old, new = SSEConnection("mine"), SSEConnection("mine")
    table.add(old)
    table.drop(old, CloseReason.REPLACED)
    table.add(new)
    table.drop(old, CloseReason.CLIENT_LEFT)
    assert table.get("mine") is new
    assert new.is_active()
    assert [type(event) for event in told.events] == [Opened, Closed, Opened]


def test_a_connection_that_never_was_in_the_table_is_only_ended(
    table: ConnectionTable, told: Recorder
) -> None:
    """Nobody was told of its beginning."""
    stranger = SSEConnection("mine")
    table.drop(stranger, CloseReason.CLOSED)
    assert not stranger.is_active()
    assert told.events == []


def test_free_ids_are_made_in_order(table: ConnectionTable) -> None:
    """Those in use are left out; none comes twice, also if it is free again."""
    table.add(SSEConnection("user_2"))
    assert [table.next_id("user") for _ in range(3)] == ["user_1", "user_3", "user_4"]
