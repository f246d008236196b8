"""Context variables that a ``send`` sets or reads: each client has its own, as in a task."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.writing import (
    LOOPS,
    Behaviour,
    Client,
    bare,
    has,
    is_asyncio,
    opened,
    publish,
    serving,
    settle,
    suspends,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from sse_kit.testing.call import Message

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", LOOPS.values(), ids=LOOPS),
]

mark: ContextVar[str] = ContextVar("mark", default="none")


@asynccontextmanager
async def without_variables(*clients: Client) -> AsyncGenerator[None, None]:
    """Run clients in contexts with nothing in them, as servers do; anyio's own tasks have some."""
    if not is_asyncio():
        async with serving(*clients):
            yield
        return
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(client.run(), context=Context()) for client in clients]
    await settle()
    yield
    for client in clients:
        client.leave()
    await asyncio.wait_for(asyncio.gather(*tasks), 10)


SERVED = pytest.mark.parametrize("served", [serving, without_variables])
Served: TypeAlias = "Callable[..., AbstractAsyncContextManager[None]]"


def noting(into: list[str], behaviour: Behaviour) -> Behaviour:
    """Note what the variable is, before and after."""

    async def behave(client: Client, message: Message) -> None:
        into.append(mark.get())
        await behaviour(client, message)
        into.append(mark.get())

    return behave


def leaving(value: str) -> Behaviour:
    """Set the variable, and leave it set."""

    async def behave(client: Client, message: Message) -> None:
        mark.set(value)
        client.take(message)

    return behave


def lending(value: str, behaviour: Behaviour) -> Behaviour:
    """Set the variable meanwhile, and put it back by its token."""

    async def behave(client: Client, message: Message) -> None:
        token = mark.set(value)
        await behaviour(client, message)
        mark.reset(token)

    return behave


async def take(client: Client, message: Message) -> None:
    client.take(message)


@SERVED
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_what_a_send_leaves_in_its_context_is_its_own(place: int, served: Served) -> None:
    """It finds it again at the next event; those before it and after it never see it."""
    async with opened() as (registry, _):
        notes: list[list[str]] = [[], [], []]
        scripts = [[take, take, *[noting(each, take)] * 3] for each in notes]
        scripts[place][2] = noting(notes[place], leaving("mine"))
        clients = [Client(bare(registry), *script) for script in scripts]
        async with served(*clients):
            for number in range(3):
                await publish(registry, str(number))
                for client in clients:
                    await has(client, *map(str, range(number + 1)))
        mine = notes.pop(place)
        assert mine == ["none", *["mine"] * 5]
        assert notes == [["none"] * 6] * 2


@SERVED
async def test_what_a_send_leaves_before_it_raises_is_nobody_elses(served: Served) -> None:
    """Those after it have a context without it."""
    async with opened() as (registry, _):
        notes: list[str] = []

        async def break_off(_client: Client, _message: Message) -> None:
            mark.set("left")
            raise BrokenPipeError

        clients = [
            Client(bare(registry), take, take, break_off),
            Client(bare(registry), take, take, noting(notes, take)),
        ]
        async with served(*clients):
            await publish(registry, "0")
            await has(clients[1], "0")
        assert notes == ["none", "none"]


@SERVED
@pytest.mark.parametrize("times", [0, 1, 2])
async def test_a_token_is_valid_to_the_end_of_its_send(times: int, served: Served) -> None:
    """A send that suspends goes on in the context in which it began."""
    async with opened() as (registry, _):
        notes: list[str] = []
        script = [take, take, lending("lent", suspends(times)), noting(notes, take)]
        clients = [Client(bare(registry), *script), Client(bare(registry))]
        async with served(*clients):
            await publish(registry, "0")
            for client in clients:
                await has(client, "0")
            await publish(registry, "1")
            for client in clients:
                await has(client, "0", "1")
        assert [client.failure for client in clients] == [None, None]
        assert notes == ["none", "none"]


@SERVED
async def test_a_variable_of_the_request_is_there_for_every_send(served: Served) -> None:
    """What a middleware has set before the stream began."""
    async with opened() as (registry, _):
        notes: list[str] = []
        inner = bare(registry)

        async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
            mark.set("the request's")
            await inner(scope, receive, send)

        script = [take, take, noting(notes, take), noting(notes, suspends(2))]
        clients = [Client(app, *script), Client(inner)]
        async with served(*clients):
            for number in range(2):
                await publish(registry, str(number))
                for client in clients:
                    await has(client, *map(str, range(number + 1)))
        assert notes == ["the request's"] * 4


async def test_no_send_sees_the_variables_of_whoever_published() -> None:
    """What a route has set before it publishes is its own."""
    async with opened() as (registry, _):
        notes: list[str] = []
        client = Client(bare(registry), take, take, *[noting(notes, take)] * 2)
        async with without_variables(client):
            mark.set("the publisher's")
            await publish(registry, "0", "1")
            await has(client, "0", "1")
        assert set(notes) == {"none"}
