"""The origin's own assertions on connections and the registry, as far as they still bind.

Gone are the ``queue``, and the registry's ``lock``, ``connections`` and ``connections_by_type``;
the state is read, and changes by what happens. Nothing here runs the registry: the origin never
did.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sse_kit import ConnectionRegistry, ConnectionState, SSEConnection

pytestmark = pytest.mark.anyio


# ConnectionState ----------------------------------------------------------------------------------


def test_a_state_has_the_value_of_its_name() -> None:
    """What a page or a log gets to see."""
    assert ConnectionState.CONNECTING.value == "connecting"
    assert ConnectionState.CONNECTED.value == "connected"
    assert ConnectionState.DISCONNECTED.value == "disconnected"
    assert ConnectionState.ERROR.value == "error"
    assert ConnectionState.RECONNECTING.value == "reconnecting"


def test_there_are_the_five_states_in_their_order() -> None:
    """None was added, none is gone."""
    expected_states = ["CONNECTING", "CONNECTED", "DISCONNECTED", "ERROR", "RECONNECTING"]
    assert [state.name for state in ConnectionState] == expected_states


# SSEConnection ------------------------------------------------------------------------------------


def test_a_new_connection_is_what_it_was_made_of() -> None:
    """Connecting, with no message yet."""
    conn = SSEConnection(
        connection_id="test_conn",
        connection_type="custom",
        metadata={"user_id": "123", "role": "viewer"},
    )
    assert conn.connection_id == "test_conn"
    assert conn.connection_type == "custom"
    assert conn.state == ConnectionState.CONNECTING
    assert conn.metadata["user_id"] == "123"
    assert conn.metadata["role"] == "viewer"
    assert conn.message_count == 0
    assert isinstance(conn.created_at, datetime)
    assert isinstance(conn.last_activity, datetime)


async def test_what_is_sent_is_counted_and_queued() -> None:
    """The first comes out, three more go in."""
    conn = SSEConnection(connection_id="test_methods", queue_size=5)
    success = await conn.send("test message", timeout=1.0)
    assert success is True
    assert conn.message_count == 1

    msg = await anext(conn)
    assert msg.data == "test message"

    for i in range(3):
        success = await conn.send(f"message_{i}")
        assert success is True
    assert conn.message_count == 4


async def test_a_connection_is_active_until_it_is_closed_or_failed() -> None:
    """Connecting and connected are; disconnected and error are not."""
    registry = ConnectionRegistry()
    connecting = SSEConnection(connection_id="connecting")
    assert connecting.state == ConnectionState.CONNECTING
    assert connecting.is_active() is True

    connected = await registry.add_connection()
    assert (connected.state, connected.is_active()) == (ConnectionState.CONNECTED, True)
    connected.close()
    assert (connected.state, connected.is_active()) == (ConnectionState.DISCONNECTED, False)

    failed = await registry.add_connection(queue_size=1)
    assert await failed.send("fits") is True
    assert await failed.send("does not", timeout=0) is False
    assert failed.state == ConnectionState.ERROR
    assert failed.is_active() is False


async def test_a_heartbeat_is_a_comment_that_names_the_connection() -> None:
    """And it counts as activity."""
    conn = SSEConnection(connection_id="heartbeat_test")
    original_activity = conn.last_activity
    while datetime.now(UTC) == original_activity:
        pass

    heartbeat_msg = await conn.heartbeat()

    assert isinstance(heartbeat_msg, str)
    assert ": heartbeat" in heartbeat_msg
    assert "heartbeat_test" in heartbeat_msg
    assert heartbeat_msg.endswith("\n\n")
    assert conn.last_activity > original_activity


# ConnectionRegistry -------------------------------------------------------------------------------


def test_a_new_registry_is_empty() -> None:
    """And all that it counts is zero."""
    registry = ConnectionRegistry(debug=False)
    assert registry.debug is False
    assert registry.get_connections() == []

    stats = registry.get_stats()
    assert stats["total"] == 0
    assert stats["active"] == 0
    assert stats["by_type"] == {}
    assert stats["message_count"] == 0


async def test_connections_are_added_found_and_removed() -> None:
    """By id and by type; ids are made of the type and a number."""
    registry = ConnectionRegistry()

    conn1 = await registry.add_connection(conn_type="user", queue_size=50)
    assert conn1.connection_id == "user_1"
    assert conn1.connection_type == "user"
    assert conn1.state == ConnectionState.CONNECTED
    assert registry.get_stats()["total"] == 1
    assert registry.get_connections("user") == [conn1]

    conn2 = await registry.add_connection(
        conn_id="custom_conn",
        conn_type="admin",
        metadata={"permissions": ["read", "write"]},
    )
    assert conn2.connection_id == "custom_conn"
    assert conn2.connection_type == "admin"
    assert conn2.metadata["permissions"] == ["read", "write"]

    conn3 = await registry.add_connection(conn_type="user")
    assert conn3.connection_id == "user_2"

    retrieved = registry.get_connection("custom_conn")
    assert retrieved == conn2
    assert registry.get_connection("non_existent") is None

    user_conns = registry.get_connections("user")
    assert len(user_conns) == 2
    assert conn1 in user_conns
    assert conn3 in user_conns
    assert len(registry.get_connections()) == 3

    await registry.remove_connection("user_1")
    assert registry.get_connection("user_1") is None
    assert registry.get_stats()["by_type"] == {"user": 1, "admin": 1}

    await registry.remove_connection("user_2")
    assert "user" not in registry.get_stats()["by_type"]

    await registry.remove_connection("custom_conn")
    assert registry.get_connections() == []


async def test_active_connections_and_messages_are_counted() -> None:
    """A closed connection stays in the total until it is removed."""
    registry = ConnectionRegistry()
    conn1 = await registry.add_connection(conn_id="active1", conn_type="user")
    conn2 = await registry.add_connection(conn_id="active2", conn_type="user")
    conn3 = await registry.add_connection(conn_id="inactive", conn_type="admin")
    await conn1.send("msg1")
    await conn1.send("msg2")
    await conn2.send("msg3")
    conn3.close()

    active_all = registry.get_active_connections()
    assert len(active_all) == 2
    assert conn1 in active_all
    assert conn2 in active_all
    assert conn3 not in active_all
    assert len(registry.get_active_connections("user")) == 2
    assert len(registry.get_active_connections("admin")) == 0

    stats = registry.get_stats()
    assert stats["total"] == 3
    assert stats["active"] == 2
    assert stats["by_type"]["user"] == 2
    assert stats["by_type"]["admin"] == 1
    assert stats["message_count"] == 3

    for conn_id in ("active1", "active2", "inactive"):
        await registry.remove_connection(conn_id)
    assert registry.get_stats()["total"] == 0
