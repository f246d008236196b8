"""One object that is what each framework wants of a lifespan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fasthtml.common import FastHTML
from starlette.applications import Starlette

from sse_kit import ConnectionRegistry, MemoryTransport
from sse_kit.errors import RegistryNotRunning, RegistryRunning, TransportError
from sse_kit.testing.asgi import ASGIProbe

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from starlette.types import ASGIApp

pytestmark = pytest.mark.anyio


class FailingTransport(MemoryTransport):
    """Cannot be entered."""

    async def __aenter__(self) -> Self:
        """Fail."""
        reason = "no engine"
        raise TransportError(reason)


ANY_KEY = "of the tests"

APPS: dict[str, Callable[[ConnectionRegistry], ASGIApp]] = {
    "Starlette": lambda registry: Starlette(lifespan=registry.lifespan),
    # Without a key it would write one to a file.
    "FastHTML": lambda registry: FastHTML(lifespan=registry.lifespan, secret_key=ANY_KEY),
}


def is_running(registry: ConnectionRegistry) -> bool:
    return registry.get_stats()["hub"] is not None


@pytest.mark.parametrize("name", APPS)
async def test_a_registry_runs_as_long_as_its_app(name: str) -> None:
    """Given to the app as it is."""
    registry = ConnectionRegistry()
    app = APPS[name](registry)
    for _ in range(2):
        async with ASGIProbe(app):
            assert is_running(registry)
        assert not is_running(registry)


@pytest.mark.parametrize("name", APPS)
async def test_an_engine_that_fails_fails_the_start_of_the_app(name: str) -> None:
    """By its own error, in no group."""
    registry = ConnectionRegistry(FailingTransport())
    with pytest.raises(TransportError, match="no engine"):
        async with ASGIProbe(APPS[name](registry)):
            pass
    assert not is_running(registry)


async def test_a_lifespan_is_a_context_that_gives_nothing() -> None:
    """Starlette would take what it gives for the app's state."""
    registry = ConnectionRegistry()
    async with registry.lifespan(None) as given:
        assert given is None
        assert is_running(registry)
    assert not is_running(registry)


async def test_a_lifespan_is_an_iterator_of_one_nothing() -> None:
    """Up to it is the start, the rest is the end; after that it is over for good."""
    registry = ConnectionRegistry()
    lifespan = registry.lifespan()
    steps = [(step, is_running(registry)) async for step in lifespan]
    assert steps == [(None, True)]
    assert not is_running(registry)
    assert [step async for step in lifespan] == []


async def test_the_error_of_an_app_goes_through_a_lifespan() -> None:
    """As it is; the registry is left."""
    registry = ConnectionRegistry()
    error = ValueError()
    with pytest.raises(ValueError) as caught:  # noqa: PT011  it is compared
        async with registry.lifespan():
            raise error
    assert caught.value is error
    assert not is_running(registry)


async def test_an_iterated_lifespan_that_fails_at_its_start_has_nothing_to_end() -> None:
    """A framework may step on all the same."""
    lifespan = ConnectionRegistry(FailingTransport()).lifespan()
    with pytest.raises(TransportError):
        await anext(lifespan)
    with pytest.raises(StopAsyncIteration):
        await anext(lifespan)


async def test_one_registry_cannot_be_the_lifespan_of_two_apps_at_once() -> None:
    """The second is told, the first runs on."""
    registry = ConnectionRegistry()
    async with ASGIProbe(Starlette(lifespan=registry.lifespan)):
        with pytest.raises(RegistryRunning):
            async with ASGIProbe(Starlette(lifespan=registry.lifespan)):
                pass
        await registry.publish("news", "text")
    with pytest.raises(RegistryNotRunning):
        await registry.publish("news", "text")
