"""What was written, read from the log itself: it is the same in every process that shares one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import anyio
from pydantic import ValidationError

from sse_kit.codec import load_payload
from sse_kit.demo.models import MESSAGES, Message, Topic
from sse_kit.errors import MalformedPayload
from sse_kit.transports.base import Batch, Gap, Position
from sse_kit.wakeup import Wakeup

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

    from sse_kit.transports.base import Feed, Record, SupportsReplay, Transport


class Wall:
    """The last messages, as of ``position``: whoever goes on from there misses none."""

    def __init__(self) -> None:
        self.messages: deque[Message] = deque(maxlen=MESSAGES)
        self.position: Position | None = None
        self._moved = Wakeup()

    async def follow(
        self,
        transport: Transport,
        history: SupportsReplay,
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Read the log from its start, for ever; started once what was there is read."""
        bounds = await history.bounds()
        self.position = bounds.start
        waiting = True
        async with transport.tail(bounds.start) as feeds:
            while True:
                if waiting and self._has(bounds.end):
                    waiting = False
                    task_status.started()
                self._take(await feeds.receive())
                self._moved.wake()

    async def reached(self, position: Position) -> None:
        """Wait until the log was read up to ``position``."""
        while not self._has(position):
            await self._moved.wait()

    def _has(self, position: Position) -> bool:
        """Tell whether it is read; in another epoch it is as near as it will get."""
        here = self.position
        return here is None or here.epoch != position.epoch or here.offset >= position.offset

    def _take(self, feed: Feed) -> None:
        if isinstance(feed, Batch):
            for record in feed.records:
                self._note(record)
        elif isinstance(feed, Gap):
            self.position = feed.resume
        else:
            self.position = Position(feed.epoch, feed.upto)

    def _note(self, record: Record) -> None:
        self.position = record.position
        if Topic.MESSAGES not in record.topics:
            return
        try:
            self.messages.append(
                Message.model_validate_json(load_payload(record.payload).data or "")
            )
        except (MalformedPayload, ValidationError):
            return  # somebody else's: the demo shares its log with whoever uses the namespace
