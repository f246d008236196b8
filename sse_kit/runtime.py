"""What a registry has between entering and leaving: the tasks, the tail, the hub, the hooks."""

from __future__ import annotations

import logging
import threading
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio import RunFinishedError, from_thread
from anyio.lowlevel import current_token

from sse_kit import pump
from sse_kit.dispatch import dispatching
from sse_kit.errors import EngineUnavailable, RegistryNotRunning, WrongThread
from sse_kit.hooks import HookRunner, Hooks
from sse_kit.hub import Hub
from sse_kit.leases import TICK
from sse_kit.overflow import LossySubscription
from sse_kit.presence import Presence
from sse_kit.replay import Replayer
from sse_kit.shutdown import call_soon
from sse_kit.subscription import Subscription
from sse_kit.transports.base import Position, SupportsReplay
from sse_kit.transports.presence import SupportsPresence
from sse_kit.transports.writer import delays

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping

    from anyio.abc import TaskGroup

    from sse_kit.config import RegistrySettings
    from sse_kit.connection import SSEConnection
    from sse_kit.dispatch import Dispatcher
    from sse_kit.leases import Leases
    from sse_kit.overflow import Policies
    from sse_kit.transports.base import Transport


logger = logging.getLogger(__name__)

T = TypeVar("T")


class Runtime:
    """The running parts; made by :func:`running`."""

    def __init__(  # noqa: PLR0913  each is a part of it
        self,
        hub: Hub,
        hooks: HookRunner,
        replayer: Replayer | None,
        settings: RegistrySettings,
        *,
        dispatcher: Dispatcher | None,
        presence: Presence | None,
    ) -> None:
        self.hub = hub
        self.hooks = hooks
        self.dispatcher = dispatcher
        self.presence = presence
        self._token = current_token()
        self._thread = threading.get_ident()
        self._replayer = replayer
        self._settings = settings

    def follow(self, connection: SSEConnection, policies: Policies | None = None) -> None:
        """Let a connection follow its topics, from its Last-Event-ID or from the head."""
        claimed = connection.last_event_id
        start = self.hub.position if claimed is None else Position.parse(claimed)
        make: Callable[..., Subscription] = Subscription
        if policies is not None:
            make = partial(LossySubscription, policies=policies, end=connection.end)
        subscription = make(
            connection.topics,
            start or self.hub.position,
            wake=connection.notify,
            max_items=connection.queue_size,
            max_bytes=self._settings.queue_bytes,
        )
        connection.follow(self.hub, subscription, self._replayer)
        if start is None:
            self.hub.refuse(subscription)

    def call_soon(self, callback: Callable[[], object]) -> None:
        """Call back in the event loop; from any thread or signal. Not at all, if that is over."""
        with suppress(RuntimeError):
            call_soon(self._token, callback)

    def run_from_thread(self, call: str, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run ``function`` in the event loop, on behalf of ``call`` in another thread; blocks.

        Raises:
            WrongThread: it is the event loop's own.
            RegistryNotRunning: the event loop is over.

        """
        if threading.get_ident() == self._thread:
            raise WrongThread(call, "await the method without '_from_thread'")
        try:
            return from_thread.run(function, token=self._token)
        except RunFinishedError as error:
            raise RegistryNotRunning(call) from error

    def stats(self) -> dict[str, Any]:
        """Tell what the hub counts."""
        stats = self.hub.statistics()
        return {**stats._asdict(), "position": str(stats.position)}


@asynccontextmanager
async def running(
    transport: Transport,
    settings: RegistrySettings,
    leases: Leases,
    *,
    hooks: Hooks | None = None,
    count: Callable[[], Mapping[str, int]] = dict,
) -> AsyncGenerator[Runtime, None]:
    """Enter ``transport``, follow its log, keep house; nothing published from now on is missed.

    Raises:
        TransportError: the engine cannot be used.

    """
    engine = transport if isinstance(transport, SupportsReplay) else None
    async with transport:
        hub = Hub(
            None if engine is None else await _end(engine),
            replay=engine is not None,
            ring_size=settings.ring_size,
            ring_bytes=settings.ring_bytes,
        )
        async with dispatching(settings) as dispatcher, _background_tasks() as tasks:
            if dispatcher is not None:
                hub.deliver = dispatcher.deliver
                tasks.start_soon(dispatcher.keep_beating)
            await tasks.start(pump.run, hub, transport)
            tasks.start_soon(_keep_house, hub, leases, tasks)
            replayer = None if engine is None else Replayer(hub, engine, tasks)
            runner = HookRunner(hooks or Hooks(), tasks)
            async with _present(transport, count, settings) as presence:
                yield Runtime(
                    hub, runner, replayer, settings, dispatcher=dispatcher, presence=presence
                )


async def _end(engine: SupportsReplay) -> Position:
    """Return the end of the log; an outage right after entering only delays the answer."""
    pauses = delays()
    while True:
        try:
            return (await engine.bounds()).end
        except EngineUnavailable as error:
            logger.info("transport could not tell the end of the log: %s", error)
        await anyio.sleep(next(pauses))


@asynccontextmanager
async def _present(
    transport: Transport,
    count: Callable[[], Mapping[str, int]],
    settings: RegistrySettings,
) -> AsyncGenerator[Presence | None]:
    """Be counted in the cluster, if the transport can do that."""
    if not isinstance(transport, SupportsPresence):
        yield None
        return
    presence = Presence(transport, count, lease=settings.presence_lease)
    try:
        # It ends before taking leave: a beat after that would count this process again.
        async with _background_tasks() as tasks:
            tasks.start_soon(presence.run)
            yield presence
    finally:
        await presence.leave()


@asynccontextmanager
async def _background_tasks() -> AsyncGenerator[TaskGroup, None]:
    """Run tasks that end with the body, whose error leaves as it is, in no group."""
    failure: Exception | None = None
    async with anyio.create_task_group() as tasks:
        try:
            yield tasks
        except Exception as error:  # noqa: BLE001  raised below
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _keep_house(hub: Hub, leases: Leases, tasks: TaskGroup) -> None:
    while True:
        await anyio.sleep(TICK)
        hub.unpark()
        leases.look(tasks)
