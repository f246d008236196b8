"""An app's lifetime in the form each framework wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType


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
