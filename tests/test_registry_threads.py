"""Publishing from threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import anyio
import pytest
import trio

from sse_kit import ConnectionRegistry, MemoryTransport, Position, SSEMessage
from sse_kit.errors import (
    InvalidTopic,
    NotPublishable,
    PublishFailed,
    RegistryNotRunning,
    WrongThread,
)
from tests.registry_tools import happens, received, texts

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_kit.transports.base import Publication, Published

T = TypeVar("T")


class HoldingTransport(MemoryTransport):
    """Takes a publication, but answers only when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = anyio.Event()

    async def publish(self, publication: Publication, /) -> Published:
        """Store it, and wait."""
        published = await super().publish(publication)
        await self.may_answer.wait()
        return published


def in_thread(call: Callable[[], T]) -> Future[T]:
    """Start a plain thread, one that anyio knows nothing of."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001  the test looks at it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


@pytest.mark.anyio
async def test_a_thread_gets_the_position_of_what_it_published() -> None:
    """A plain thread as well as a worker of the event loop's."""
    async with ConnectionRegistry() as registry:
        follower = await registry.add_connection(topics=["news"])
        publish = partial(registry.publish_from_thread, ("news", "x"), {"a": 1}, event="tick")
        plain = in_thread(publish)
        await happens(plain.done)
        position = plain.result()
        assert await received(follower, 1) == [
            SSEMessage('{"a":1}', event="tick", id=str(position))
        ]
        worker = await anyio.to_thread.run_sync(publish)
        assert worker == Position(position.epoch, position.offset + 1)


@pytest.mark.anyio
async def test_a_thread_waits_until_its_message_is_stored() -> None:
    """Not one turn longer, and the event loop does not wait with it."""
    transport = HoldingTransport()
    async with ConnectionRegistry(transport) as registry:
        waiting = in_thread(lambda: registry.publish_from_thread("news", "text"))
        await happens(lambda: transport.log.bounds().last == 1)
        assert not waiting.done()
        transport.may_answer.set()
        await happens(waiting.done)
        assert waiting.result().offset == 1


@pytest.mark.anyio
async def test_a_thread_is_told_what_was_wrong() -> None:
    """By the same errors that publish raises, with the thread's own call in the traceback."""
    async with ConnectionRegistry() as registry:
        with pytest.raises(InvalidTopic):
            await anyio.to_thread.run_sync(registry.publish_from_thread, "", "text")
        with pytest.raises(NotPublishable):
            await anyio.to_thread.run_sync(
                registry.publish_from_thread, "news", SSEMessage("text", id="7")
            )


@pytest.mark.anyio
async def test_a_key_of_a_threads_stores_its_message_once() -> None:
    """As with publish."""
    async with ConnectionRegistry() as registry:
        publish = partial(registry.publish_from_thread, "news", "text", key="k")
        first = await anyio.to_thread.run_sync(publish)
        assert await anyio.to_thread.run_sync(publish) == first


@pytest.mark.anyio
async def test_the_event_loops_thread_is_refused() -> None:
    """It would wait for itself."""
    async with ConnectionRegistry() as registry:
        with pytest.raises(WrongThread, match="publish_from_thread"):
            registry.publish_from_thread("news", "text")


def test_a_thread_needs_a_running_registry() -> None:
    """Before the run, and after it."""
    registry = ConnectionRegistry()

    async def run() -> None:
        async with registry:
            pass

    def refused() -> None:
        with pytest.raises(RegistryNotRunning, match="publish_from_thread"):
            registry.publish_from_thread("news", "text")

    refused()
    asyncio.run(run())
    refused()
    trio.run(run)
    refused()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_thread_is_freed_when_the_event_loop_ends(backend: str) -> None:
    """It is told that its message may be stored or not, with the key to try again with."""
    transport = HoldingTransport()
    registry = ConnectionRegistry(transport)

    async def run() -> Future[Position]:
        async with registry:
            waiting = in_thread(lambda: registry.publish_from_thread("news", "text", key="k"))
            await happens(lambda: transport.log.bounds().last == 1)
            return waiting

    waiting = anyio.run(run, backend=backend)
    with pytest.raises(PublishFailed) as caught:
        waiting.result(timeout=10)
    assert caught.value.key == "k"


@pytest.mark.anyio
async def test_many_threads_publish_at_once() -> None:
    """Without a hole, each in its own order, and nothing twice."""
    threads, each = 16, 40
    async with ConnectionRegistry() as registry:
        follower = await registry.add_connection(topics=["news"])

        def publish(thread: int) -> list[int]:
            texts = (f"{thread} {number}" for number in range(each))
            return [registry.publish_from_thread("news", text).offset for text in texts]

        with ThreadPoolExecutor(threads) as pool:
            futures = [pool.submit(publish, thread) for thread in range(threads)]
            got = await texts(follower, threads * each)
        offsets = [future.result() for future in futures]
    assert sorted(chain.from_iterable(offsets)) == list(range(1, threads * each + 1))
    assert all(mine == sorted(mine) for mine in offsets)
    by_thread = {
        f"{thread}": [text for text in got if text and text.split()[0] == f"{thread}"]
        for thread in range(threads)
    }
    assert all(
        mine == [f"{thread} {number}" for number in range(each)]
        for thread, mine in by_thread.items()
    )
