"""The states of a connection and its moves, compared with the table written a second time."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pydantic import TypeAdapter, ValidationError

from sse_kit.errors import IllegalMove
from sse_kit.states import (
    ACTIVE,
    MOVES,
    CloseReason,
    Connected,
    Connecting,
    ConnectionState,
    Disconnected,
    Errored,
    Reconnecting,
    Role,
    Status,
    check_move,
)

SPECIFIED = """
connecting → connected | reconnecting | error | disconnected
connected → reconnecting (clients) | error | disconnected
reconnecting → connected | error | disconnected
error → connecting (clients) | disconnected
disconnected → connecting (clients)
"""
"""The moves as the design words them."""

STATUSES: dict[str, Status] = {
    "connecting": Connecting(),
    "connected": Connected(),
    "disconnected": Disconnected(),
    "error": Errored(error="it broke"),
    "reconnecting": Reconnecting(),
}
STATUS: TypeAdapter[Status] = TypeAdapter(Status)


def specified(role: str, source: str, target: str) -> bool:
    """Read the move out of the words: nothing here knows the table of the code."""
    for line in SPECIFIED.strip().splitlines():
        start, _, ends = line.partition(" → ")
        if start == source:
            words = ends.split(" | ")
            return target in words or (role == "client" and f"{target} (clients)" in words)
    raise LookupError(source)


@pytest.mark.parametrize(("source", "target"), list(product(STATUSES, STATUSES)))
@pytest.mark.parametrize("role", Role)
def test_a_move_is_legal_where_the_design_says_so(role: Role, source: str, target: str) -> None:
    """Every pair of states, for servers and for clients; the refusal names all three."""
    if specified(role.value, source, target):
        check_move(role, ConnectionState(source), ConnectionState(target))
        return
    with pytest.raises(IllegalMove) as caught:
        check_move(role, ConnectionState(source), ConnectionState(target))
    error = caught.value
    assert (error.role, error.source, error.target) == (role.value, source, target)
    assert f"from {source!r} to {target!r}" in str(error)


class Connection(RuleBasedStateMachine):
    """A connection that is told to move anywhere, beside the words of the design."""

    role: Role

    def __init__(self) -> None:
        super().__init__()
        self.state = ConnectionState.CONNECTING
        self.modelled = "connecting"

    @rule(state=st.sampled_from(sorted(STATUSES)))
    def moves(self, state: str) -> None:
        try:
            check_move(self.role, self.state, ConnectionState(state))
        except IllegalMove:
            assert not specified(self.role.value, self.modelled, state)
        else:
            assert specified(self.role.value, self.modelled, state)
            self.modelled = state
            self.state = ConnectionState(state)

    @precondition(lambda self: self.modelled in {"error", "disconnected"})
    @rule()
    def is_followed_by_a_new_one(self) -> None:
        self.state = ConnectionState.CONNECTING
        self.modelled = "connecting"

    @invariant()
    def is_where_the_model_is(self) -> None:
        assert self.state == self.modelled

    @invariant()
    def is_active_until_it_ended(self) -> None:
        assert (self.state in ACTIVE) == (self.modelled not in {"error", "disconnected"})


class ServersConnection(Connection):
    role = Role.SERVER


class ClientsConnection(Connection):
    role = Role.CLIENT


@pytest.mark.parametrize("machine", [ServersConnection, ClientsConnection])
def test_a_connection_goes_only_where_the_design_says(machine: type[Connection]) -> None:
    """Whole lives of servers' and clients' connections; a refused move changes nothing."""
    run_state_machine_as_test(machine, settings=settings(stateful_step_count=20))


def test_a_server_s_connection_comes_back_from_no_end() -> None:
    """A client that returns is a new connection."""
    for ended in (ConnectionState.ERROR, ConnectionState.DISCONNECTED):
        onwards = {target for target, roles in MOVES[ended].items() if Role.SERVER in roles}
        assert onwards <= {ConnectionState.DISCONNECTED}


def test_every_state_has_its_row_in_the_table() -> None:
    """No status can be in a state that the table has not heard of."""
    assert set(MOVES) == set(ConnectionState)
    assert all(roles for targets in MOVES.values() for roles in targets.values())


def test_the_states_are_the_origin_s_five_in_its_order() -> None:
    """Code that lists or compares them goes on to work."""
    assert [str(state) for state in ConnectionState] == [
        *("connecting", "connected", "disconnected", "error", "reconnecting")
    ]


@pytest.mark.parametrize("status", STATUSES.values(), ids=STATUSES)
def test_a_status_survives_json_and_pickling(status: Status) -> None:
    """It comes back as the model of its state, with its facts."""
    again = STATUS.validate_json(STATUS.dump_json(status))
    assert type(again) is type(status)
    assert again == status == pickle.loads(pickle.dumps(status))  # noqa: S301


def test_a_status_keeps_the_facts_of_its_state() -> None:
    """Why it ended, what failed, what it goes on from."""
    assert Disconnected(reason=CloseReason.DRAINED).reason is CloseReason.DRAINED
    assert Errored(error="it broke", reason=CloseReason.SEND_TIMEOUT).error == "it broke"
    assert Reconnecting(resumes_from="e.1").resumes_from == "e.1"
    assert Connected(resumed_from="e.1").resumed_from == "e.1"


def test_a_status_knows_since_when() -> None:
    """Now, unless told; aware, in UTC."""
    before = datetime.now(UTC)
    since = Connecting().since
    assert before <= since <= datetime.now(UTC)
    assert since.tzinfo is UTC


def test_a_time_of_another_zone_is_taken() -> None:
    """It is the same moment."""
    noon = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert Connecting(since=noon).since == datetime(2026, 1, 1, 10, tzinfo=UTC)


REFUSED: tuple[dict[str, Any], ...] = (
    {"state": "connecting", "since": datetime(2026, 1, 1)},  # noqa: DTZ001
    {"state": "connecting", "reason": "closed"},
    {"state": "disconnected", "reason": "bored"},
    {"state": "error"},
    {"state": "lost"},
    {},
)


@pytest.mark.parametrize("facts", REFUSED, ids=ascii)
def test_a_status_without_the_facts_of_its_state_is_refused(facts: dict[str, Any]) -> None:
    """No naive time, no fact of another state, no unknown reason, no error without a sentence."""
    with pytest.raises(ValidationError):
        STATUS.validate_python(facts)


@pytest.mark.parametrize("status", STATUSES.values(), ids=STATUSES)
def test_a_status_cannot_be_changed(status: Status) -> None:
    """A new state is a new status."""
    with pytest.raises(ValidationError, match="frozen"):
        status.since = datetime.now(UTC)
