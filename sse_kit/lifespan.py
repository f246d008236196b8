"""Lifetimes: of what may be entered again, and of an app in the form each framework wants."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

from sse_kit.errors import RegistryRunning

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType


class Reenterable:
    """Base of what may be entered again after it was left: each time :meth:`_live` begins anew."""

    def __init__(self) -> None:
        self._lifetime: AbstractAsyncContextManager[None] | None = None

    @abstractmethod
    def _live(self) -> AbstractAsyncContextManager[None]:
        """Return one lifetime."""

    async def __aenter__(self) -> Self:
        """Begin.

        Raises:
            RegistryRunning: it was entered already.
            TransportError: the engine cannot be used.

        """
        if self._lifetime is not None:
            raise RegistryRunning
        self._lifetime = self._live()
        try:
            await self._lifetime.__aenter__()
        except BaseException:
            self._lifetime = None
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End every stream and let go of everything; it may be entered again."""
        if self._lifetime is None:
            return
        try:
            # Told of no error, so that the body's own leaves as it is, in no group.
            await self._lifetime.__aexit__(None, None, None)
        finally:
            self._lifetime = None


class Lifespan:
    """A context as an async context manager and as an async iterator; both give None.

    Starlette and FastAPI want the first, FastHTML iterates: up to the one value is the start, the
    rest is the end.
    """

    def __init__(self, context: AbstractAsyncContextManager[Any]) -> None:
        self._context = context
        self._entered = False

    async def __aenter__(self) -> None:
        """Enter the context."""
        await self._context.__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the context."""
        await self._context.__aexit__(exc_type, exc, traceback)

    def __aiter__(self) -> Self:
        """Iterate: once, from the app's start to its end."""
        return self

    async def __anext__(self) -> None:
        """Enter at the first step, leave at the second."""
        if self._entered:
            await self._context.__aexit__(None, None, None)
            raise StopAsyncIteration
        self._entered = True
        await self._context.__aenter__()
