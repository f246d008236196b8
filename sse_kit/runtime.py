"""What a registry has between entering and leaving: tasks, the tail, the hub, the hooks."""

from __future__ import annotations

import logging
import threading
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

import anyio
from anyio.lowlevel import current_token

from sse_kit import pump
from sse_kit.hub import Hub
from sse_kit.leases import TICK
from sse_kit.replay import Replayer
from sse_kit.subscription import Subscription
from sse_kit.transports.base import Position, SupportsReplay

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable

    from anyio.abc import TaskGroup

    from sse_kit.config import RegistrySettings
    from sse_kit.connection import SSEConnection
    from sse_kit.hooks import Hook
    from sse_kit.leases import Leases
    from sse_kit.transports.base import Transport

logger = logging.getLogger("sse_kit")

HOOK_PATIENCE = 2.0
"""Seconds that hooks under way get when the registry is left."""


class Runtime:
    """The running parts; made by :func:`running`."""

    def __init__(
        self, hub: Hub, replayer: Replayer | None, hooks: TaskGroup, settings: RegistrySettings
    ) -> None:
        self.hub = hub
        self.token = current_token()
        self.thread = threading.get_ident()
        self._replayer = replayer
        self._hooks = hooks
        self._settings = settings

    def follow(self, connection: SSEConnection) -> None:
        """Let a connection follow its topics, from its Last-Event-ID or from the head."""
        claimed = connection.last_event_id
        start = self.hub.position if claimed is None else Position.parse(claimed)
        subscription = Subscription(
            connection.topics,
            start or self.hub.position,
            wake=connection.notify,
            max_items=connection.queue_size,
            max_bytes=self._settings.queue_bytes,
        )
        connection.follow(self.hub, subscription, self._replayer)
        if start is None:
            self.hub.refuse(subscription)

    def tell(self, hook: Hook[Any] | None, event: object) -> None:
        """Call a hook; what it raises is logged, what it awaits is awaited elsewhere."""
        if hook is None:
            return
        try:
            done = hook(event)
        except Exception:
            logger.exception("hook failed")
            return
        if isawaitable(done):
            self._hooks.start_soon(_finish, done)


async def _finish(hook: Awaitable[object]) -> None:
    try:
        await hook
    except Exception:
        logger.exception("hook failed")


@asynccontextmanager
async def running(
    transport: Transport, settings: RegistrySettings, leases: Leases
) -> AsyncGenerator[Runtime, None]:
    """Enter ``transport``, follow its log, keep house; nothing published from now on is missed.

    Raises:
        TransportError: the engine cannot be used.

    """
    engine = transport if isinstance(transport, SupportsReplay) else None
    async with anyio.create_task_group() as hooks:
        async with transport, anyio.create_task_group() as tasks:
            hub = Hub(
                None if engine is None else (await engine.bounds()).end,
                replay=engine is not None,
                ring_size=settings.ring_size,
                ring_bytes=settings.ring_bytes,
            )
            await tasks.start(pump.run, hub, transport)
            tasks.start_soon(_keep_house, hub, leases, tasks)
            replayer = None if engine is None else Replayer(hub, engine, tasks)
            yield Runtime(hub, replayer, hooks, settings)
            tasks.cancel_scope.cancel()
        hooks.cancel_scope.deadline = anyio.current_time() + HOOK_PATIENCE


async def _keep_house(hub: Hub, leases: Leases, tasks: TaskGroup) -> None:
    while True:
        await anyio.sleep(TICK)
        hub.unpark()
        leases.look(tasks)
