"""One publish to several clients: whatever the ``send`` of one does, the others are untouched."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_kit import CloseReason, ConnectionRegistry, Hooks, Position, SSEMessage
from sse_kit.dispatch import parts
from sse_kit.subscription import Entry
from tests.registry_tools import happens, received, texts
from tests.writing import (
    APPS,
    BEHAVIOURS,
    LONG,
    LOOPS,
    Behaviour,
    Client,
    at_once,
    bare,
    doing,
    has,
    held,
    opened,
    publish,
    raises,
    raises_later,
    routed,
    serving,
    settle,
    suspends,
    watching,
    wrapped_by,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_kit import MessagePublished, Opened
    from sse_kit.testing.call import ASGIApp

LOOP = pytest.mark.parametrize("anyio_backend", LOOPS.values(), ids=LOOPS)
APP = pytest.mark.parametrize("make", APPS.values(), ids=APPS)

HARM: dict[str, Behaviour] = {
    **BEHAVIOURS,
    "waits": held,
    "OSError": raises(BrokenPipeError()),
    "OSError later": raises_later(BrokenPipeError()),
    "RuntimeError": raises(RuntimeError()),
    "RuntimeError later": raises_later(RuntimeError()),
    "a timeout": wrapped_by(lambda: anyio.fail_after(0), held),
}


def script(behaviour: Behaviour) -> tuple[Behaviour, ...]:
    """Behave so at the first two events."""
    return (at_once, at_once, behaviour, behaviour)


# Side by side ------------------------------------------------------------------------------------


@pytest.mark.anyio
@LOOP
@APP
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("behaviour", HARM.values(), ids=HARM)
async def test_what_one_send_does_is_nothing_to_the_others(
    behaviour: Behaviour, place: int, make: Callable[..., ASGIApp]
) -> None:
    """Promise 3; before it in the same turn or after it, they end at once, suspend, or wait."""
    async with opened() as (registry, _):
        others = [Client(make(registry)), Client(make(registry), *script(suspends(1)))]
        clients: list[Client] = list(others)
        clients.insert(place, Client(make(registry), *script(behaviour)))
        async with serving(*clients):
            await publish(registry, "0")
            for client in others:
                await has(client, "0")
            await publish(registry, "1", "2")
            await settle()
            await publish(registry, "3")
            for client in others:
                await has(client, "0", "1", "2", "3")
                assert client.failure is None
                assert not client.returned


@pytest.mark.anyio
@LOOP
@pytest.mark.parametrize("behaviour", HARM.values(), ids=HARM)
async def test_what_all_sends_do_at_once_is_nothing_to_the_next_clients(
    behaviour: Behaviour,
) -> None:
    """Also if each of them is in need of a task of its own."""
    async with opened() as (registry, _):
        clients = [Client(bare(registry), *script(behaviour)) for _ in range(10)]
        late = Client(bare(registry))
        async with serving(*clients):
            await publish(registry, "0", "1", "2")
            await settle()
            async with serving(late):
                await publish(registry, "3")
                await has(late, "3")
                assert not any(client.overlapped for client in clients)


@pytest.mark.anyio
@LOOP
async def test_those_who_suspend_at_once_have_a_task_each() -> None:
    """A timeout in one of them would else end another."""
    seen: list[tuple[int, int]] = []
    async with opened() as (registry, _):
        watched = watching(suspends(2), seen)
        clients = [Client(bare(registry), at_once, at_once, watched) for _ in range(5)]
        async with serving(*clients):
            await publish(registry, "0")
            await happens(lambda: len(seen) == 5)
    assert all(before == after for before, after in seen)
    assert len(set(seen)) == 5


@pytest.mark.anyio
@LOOP
async def test_each_client_gets_its_own_topics_in_order() -> None:
    """And those who follow the same ones the same bytes."""
    async with opened() as (registry, _):
        app = routed(registry)
        a, b = (Client(app, *script(suspends(1)), topic="a") for _ in range(2))
        c = Client(app, topic="c")
        async with serving(a, b, c):
            for number in range(6):
                await publish(registry, f"{number}", topic="ac"[number % 2])
                await settle(number)
            await has(a, "0", "2", "4")
            await has(b, "0", "2", "4")
            await has(c, "1", "3", "5")


# Who leaves and comes meanwhile ------------------------------------------------------------------


@pytest.mark.anyio
@LOOP
@APP
@pytest.mark.parametrize("behaviour", [at_once, suspends(1), held])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("target", [0, 1, 2])
async def test_a_send_may_end_any_stream_while_the_dispatcher_iterates(
    target: int, place: int, behaviour: Behaviour, make: Callable[..., ASGIApp]
) -> None:
    """One that was written to already, one that was not yet, its own: what is begun is finished."""
    async with opened() as (registry, ends):

        async def end() -> None:
            connections = registry.get_connections()
            if len(connections) == 3:
                connections[target].close()

        clients = [Client(make(registry)) for _ in range(3)]
        async with serving(*clients):
            clients[place].script.append(doing(end, behaviour))
            await publish(registry, "0")
            await settle()
            clients[place].release()
            await happens(lambda: clients[target].returned)
            await publish(registry, "1")
            for number, client in enumerate(clients):
                if number != target:
                    await has(client, "0", "1")
            assert clients[target].complete
            assert clients[target].events in ([], ["0"])
            assert ends.reasons == [CloseReason.CLOSED]


@pytest.mark.anyio
@LOOP
async def test_a_send_may_remove_everyone_while_the_dispatcher_iterates() -> None:
    """Then the batch is over, and the registry goes on."""
    async with opened() as (registry, _):

        async def clear() -> None:
            for connection in registry.get_connections():
                await registry.remove_connection(connection.connection_id)

        script = (at_once, at_once, doing(clear))
        clients = [Client(bare(registry), *script) for _ in range(5)]
        late = Client(bare(registry))
        async with serving(*clients):
            await publish(registry, "0")
            await happens(lambda: all(client.returned for client in clients))
            assert all(client.complete for client in clients)
            async with serving(late):
                await publish(registry, "1")
                await has(late, "1")


@pytest.mark.anyio
@LOOP
async def test_a_send_may_add_a_connection_while_the_dispatcher_iterates() -> None:
    """It begins after the batch: what others are being sent now, it is not sent."""
    async with opened() as (registry, _):

        async def add() -> None:
            await registry.add_connection("added", topics=["news"])

        clients = [Client(bare(registry), at_once, at_once, doing(add)), Client(bare(registry))]
        async with serving(*clients):
            await publish(registry, "0", "1")
            await has(clients[1], "0", "1")
            await publish(registry, "2")
            await has(clients[0], "0", "1", "2")
            added = registry.get_connection("added")
            assert added is not None
            assert await texts(added, 1) == ["2"]
            await registry.remove_connection("added")


@pytest.mark.anyio
@LOOP
@pytest.mark.parametrize("behaviour", [at_once, suspends(1)])
async def test_a_send_may_publish_to_the_others(behaviour: Behaviour) -> None:
    """All of them get it after what they are getting now."""
    async with opened() as (registry, _):

        async def more() -> None:
            await publish(registry, "from inside")

        for place in range(3):
            clients = [Client(bare(registry)) for _ in range(3)]
            async with serving(*clients):
                clients[place].script.append(doing(more, behaviour))
                await publish(registry, "0")
                for client in clients:
                    await has(client, "0", "from inside")


@pytest.mark.anyio
@LOOP
@pytest.mark.parametrize("waits", [0, 1, 2])
async def test_a_hook_may_publish(waits: int) -> None:
    """Of what it was told: a hook that echoes each message once, and one that greets."""

    async def echo(event: MessagePublished) -> None:
        if event.event is None:
            await settle(waits)
            await registry.publish("news", "echo", event="echo")

    async def greet(event: Opened) -> None:
        await settle(waits)
        await registry.publish("news", event.connection_id, event="greeting")

    registry = ConnectionRegistry(hooks=Hooks(published=echo, connected=greet))
    async with registry:
        client = Client(bare(registry, connection_id="me"), *[suspends(1)] * 3)
        async with serving(client):
            await has(client, "me")
            await publish(registry, "0")
            await has(client, "me", "0", "echo")
            await publish(registry, "1")
            await has(client, "me", "0", "echo", "1", "echo")


# Batches -----------------------------------------------------------------------------------------


@pytest.mark.anyio
@LOOP
@pytest.mark.parametrize("behaviour", BEHAVIOURS.values(), ids=BEHAVIOURS)
@pytest.mark.parametrize(("queue_size", "queue_bytes"), [(3, 1_000_000), (100, 60), (1, 1)])
async def test_a_batch_that_is_larger_than_a_queue_reaches_everyone(
    behaviour: Behaviour, queue_size: int, queue_bytes: int
) -> None:
    """In order, at its own speed, with nothing lost or told as a gap."""
    numbers = [f"{number}" for number in range(50)]
    async with opened(queue_size=queue_size, queue_bytes=queue_bytes) as (registry, _):
        quick, slow = Client(bare(registry)), Client(bare(registry), *[behaviour] * 20)
        stuck = Client(bare(registry), at_once, at_once, held)
        async with serving(quick, slow, stuck):
            await publish(registry, *numbers)
            await has(quick, *numbers)
            await has(slow, *numbers)
            await settle()
            assert len(stuck.events) < 50
            stuck.release()
            await has(stuck, *numbers)


@pytest.mark.anyio
@LOOP
async def test_a_client_that_waits_costs_bounded_memory() -> None:
    """Promise 3, in items and in bytes."""
    async with opened(queue_size=5, queue_bytes=200) as (registry, _):
        client = Client(bare(registry), at_once, at_once, held)
        async with serving(client):
            await publish(registry, "0")
            await settle()
            [connection] = registry.get_connections()
            for number in range(1, 100):
                await publish(registry, f"{number}")
                await settle(3)
                assert connection.info().queued <= 5
            await settle()
            client.release()
            await has(client, *(f"{number}" for number in range(100)))


@pytest.mark.anyio
@LOOP
async def test_a_client_that_iterates_gets_what_the_others_get() -> None:
    """Without HTTP, and so past the dispatcher."""
    async with opened() as (registry, _):
        iterates = await registry.add_connection(topics=["news"])
        client = Client(bare(registry), *script(suspends(1)))
        async with serving(client):
            await publish(registry, "0", "1")
            await has(client, "0", "1")
            got = await received(iterates, 2)
            assert [message.data for message in got] == ["0", "1"]
            assert [block.id for block in client.blocks if block.data is not None] == [
                message.id for message in got
            ]
        await registry.remove_connection(iterates.connection_id)


@pytest.mark.anyio
@LOOP
async def test_all_are_written_to_before_any_of_them_is_heard_of_again() -> None:
    """Where nobody suspends, a publish has reached everyone when the next one is taken."""
    async with opened(heartbeat=LONG) as (registry, _):
        clients = [Client(bare(registry)) for _ in range(5)]
        async with serving(*clients):
            for number in range(5):
                await publish(registry, f"{number}")
                await happens(lambda: clients[-1].sends == 3 + number)  # noqa: B023  now
                await has(clients[-1], *map(str, range(number + 1)))
                for client in clients:
                    await has(client, *map(str, range(number + 1)))


# Parts -------------------------------------------------------------------------------------------


def entries(sizes: list[int]) -> list[Entry]:
    return [
        Entry(Position("e", offset), ("news",), b"x" * size, SSEMessage(""))
        for offset, size in enumerate(sizes, start=1)
    ]


@given(sizes=st.lists(st.integers(0, 30), min_size=1), limit=st.integers(1, 60))
def test_a_batch_is_cut_into_as_few_parts_as_may_be(sizes: list[int], limit: int) -> None:
    """Each at most as large as the limit, or one entry; in order, none left out."""
    batch = entries(sizes)
    cut = list(parts(batch, limit))
    assert [entry for part in cut for entry in part] == batch
    lengths = [[len(entry.frame) for entry in part] for part in cut]
    assert all(part for part in cut)
    assert all(sum(part) <= limit or len(part) == 1 for part in lengths)
    for part, following in pairwise(lengths):
        assert sum(part) + following[0] > limit


def test_a_batch_that_fits_is_one_part_as_it_is() -> None:
    """Nothing is copied for it."""
    batch = entries([1, 2, 3])
    [part] = parts(batch, 6)
    assert part is batch
