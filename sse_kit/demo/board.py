"""What the demo knows and tells: the state behind the page, and the tasks that publish it.

The figures, the job and the list of connections are this process's own, on topics of its own; the
messages are everybody's who shares the log. State changes before it is published, and messages are
read from the log up to the page's cursor: what a page was rendered with may come again on its
stream, but nothing is in neither.
"""

from __future__ import annotations

import secrets
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from sse_kit.demo.job import Job
from sse_kit.demo.metrics import Meter
from sse_kit.demo.models import (
    SAMPLES,
    Connection,
    JobStatus,
    Message,
    PageState,
    Roster,
    Sample,
    Topic,
)
from sse_kit.demo.wall import Wall
from sse_kit.errors import InvalidSetting
from sse_kit.hooks import Hooks
from sse_kit.registry import ConnectionRegistry
from sse_kit.transports.base import SupportsReplay
from sse_kit.transports.memory import MemoryTransport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.abc import TaskGroup

    from sse_kit.connection import SSEConnection
    from sse_kit.transports.base import Position, Transport

INTERVAL = 1.0
"""Seconds between two samples."""

ROWS = 50
"""Connections listed; the rest is only counted."""

RETRY = 1_000
"""Milliseconds before a browser reconnects, at least: somebody is looking at this one."""


class Board:
    """The demo's state and its registry; lives as long as the app, by :meth:`lifespan`.

    Raises:
        InvalidSetting: ``transport`` keeps no history.

    """

    def __init__(self, transport: Transport | None = None) -> None:
        transport = MemoryTransport() if transport is None else transport
        if not isinstance(transport, SupportsReplay):
            problem = "keeps no history"
            raise InvalidSetting("transport", type(transport), problem, "use one that does")
        hooks = Hooks(connected=self._note_change, disconnected=self._note_change)
        self.registry = ConnectionRegistry(transport, hooks=hooks, retry=RETRY)
        self._history = transport
        self._node = secrets.token_hex(4)
        self._wall = Wall()
        self.job = Job()
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)
        self._changed = anyio.Event()
        self._tasks: TaskGroup | None = None

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncGenerator[None, None]:  # noqa: ARG002
        """Run the registry and the tasks."""
        async with self.registry, anyio.create_task_group() as tasks:
            await tasks.start(self._wall.follow, self.registry.transport, self._history)
            self._tasks = tasks
            tasks.start_soon(self._sample)
            tasks.start_soon(self._list_connections)
            yield
            tasks.cancel_scope.cancel()

    def state(self, *, tab: str) -> PageState:
        """Return what a page's script starts from, as of now."""
        return PageState(
            cursor=str(self._wall.position or self.registry.position()),
            tab=tab,
            samples=tuple(self._samples),
            job=self.job.status,
            connections=self._roster(),
        )

    @property
    def messages(self) -> tuple[Message, ...]:
        """What was written, from the oldest that is kept."""
        return tuple(self._wall.messages)

    def topic(self, topic: Topic) -> str:
        """Return what a topic is called in the log: all but one are of this process alone."""
        return topic if topic is Topic.MESSAGES else f"{topic}.{self._node}"

    async def post(self, message: Message) -> None:
        """Tell everybody; a page that is opened afterwards has it."""
        await self._wall.reached(await self._publish(Topic.MESSAGES, message))

    def start_job(self) -> bool:
        """Start the job; False: it is running."""
        if self._tasks is None or not self.job.claim():
            return False
        self._tasks.start_soon(self.job.run, self._tell_progress)
        return True

    async def _publish(self, topic: Topic, value: object) -> Position:
        return await self.registry.publish(self.topic(topic), value, event=topic)

    async def _tell_progress(self, status: JobStatus) -> None:
        await self._publish(Topic.JOB, status)

    async def _sample(self) -> None:
        meter = Meter()
        while True:
            await anyio.sleep(INTERVAL)
            sample = meter.sample()
            self._samples.append(sample)
            await self._publish(Topic.METRICS, sample)
            self._note_change()

    def _note_change(self, event: object = None) -> None:  # noqa: ARG002  what hooks are given
        self._changed.set()

    async def _list_connections(self) -> None:
        """Publish the list when it changed; many changes at once are one."""
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            await self._publish(Topic.CONNECTIONS, self._roster())

    def _roster(self) -> Roster:
        connections = self.registry.get_active_connections()
        return Roster(total=len(connections), shown=tuple(map(_row, connections[:ROWS])))


def _row(connection: SSEConnection) -> Connection:
    return Connection(
        id=connection.connection_id,
        tab=connection.metadata["tab"],
        client=connection.metadata["client"],
        since=round(connection.created_at.timestamp() * 1000),
        events=connection.message_count,
    )
