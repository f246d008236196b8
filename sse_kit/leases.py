"""What may end a stream by itself: its lifetime, and an authoriser that says no."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from inspect import isawaitable
from typing import TYPE_CHECKING, TypeAlias

import anyio

from sse_kit.connection import SSEConnection
from sse_kit.states import CloseReason

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from sse_kit.session import ConnectionSession

logger = logging.getLogger(__name__)

Authorise: TypeAlias = Callable[[SSEConnection], Awaitable[bool] | bool]
"""Tells whether a connection may have its topics; asked before it starts and at every heartbeat."""

TICK = 0.5
"""Seconds between two looks at the leases."""

AUTHORISE_TIMEOUT = 0.5
"""Seconds an authoriser may take while the stream runs: no answer is a no."""

LIFETIME_SPREAD = 0.1
"""Share by which lifetimes differ, so that streams opened together don't end together."""


@dataclass(slots=True, eq=False)
class _Lease:
    session: ConnectionSession
    ends_at: float | None
    authorise: Authorise | None
    asked_at: float


class Leases:
    """The streams of a registry, and how long they may go on; times in seconds."""

    def __init__(self, *, recheck: float, max_lifetime: float | None) -> None:
        self._recheck = recheck
        self._max_lifetime = max_lifetime
        self._sessions: dict[SSEConnection, ConnectionSession] = {}
        # Of those that may end by themselves.
        self._leases: dict[SSEConnection, _Lease] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, session: ConnectionSession, authorise: Authorise | None) -> None:
        """Let a stream run."""
        self._sessions[session.connection] = session
        if self._max_lifetime is None and authorise is None:
            return
        now = time.monotonic()
        ends_at = None
        if self._max_lifetime is not None:
            ends_at = now + self._max_lifetime * (1 - random.random() * LIFETIME_SPREAD)  # noqa: S311
        # The first time comes early by chance: clients that came as one shall not be asked as one.
        asked_at = now - self._recheck * random.random()  # noqa: S311
        self._leases[session.connection] = _Lease(session, ends_at, authorise, asked_at)

    def discard(self, connection: SSEConnection) -> None:
        """Forget a stream."""
        self._sessions.pop(connection, None)
        self._leases.pop(connection, None)

    def end_all(self, reason: CloseReason, *, spread: int | None = None) -> None:
        """End every stream; ``spread``: milliseconds over which the clients come back."""
        for session in list(self._sessions.values()):
            session.end(reason, spread=spread)

    def look(self, tasks: TaskGroup) -> None:
        """End what is over, and ask the authorisers whose time has come."""
        now = time.monotonic()
        for lease in list(self._leases.values()):
            if lease.ends_at is not None and now >= lease.ends_at:
                lease.session.end(CloseReason.LIFETIME)
            elif lease.authorise is not None and now - lease.asked_at >= self._recheck:
                lease.asked_at = now
                tasks.start_soon(self._ask_again, lease, lease.authorise)

    async def _ask_again(self, lease: _Lease, authorise: Authorise) -> None:
        allowed = None
        # Cancelled may be a task of the authoriser's own: out of here it would end the registry.
        with suppress(anyio.get_cancelled_exc_class()):
            allowed = await ask(lease.session.connection, authorise, timeout=AUTHORISE_TIMEOUT)
        if not allowed:
            lease.session.end(CloseReason.REVOKED)


async def ask(
    connection: SSEConnection,
    authorise: Authorise,
    *,
    timeout: float,  # noqa: ASYNC109  no answer in time is an answer
) -> bool | None:
    """Ask an authoriser; None: it failed or did not answer in time, which is logged."""
    try:
        with anyio.fail_after(timeout):
            answer = authorise(connection)
            return bool(await answer) if isawaitable(answer) else bool(answer)
    except Exception:
        facts = {"connection_id": connection.connection_id}
        logger.exception("an authoriser failed", extra=facts)
        return None
