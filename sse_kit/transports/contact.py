"""Contact with an engine: one deadline, one kind of error, one line in the log for each outage."""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import anyio
from anyio.lowlevel import current_token

from sse_kit.errors import EngineUnavailable, TransportError, WrongEventLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Contact:
    """Asks an engine, which has ``timeout`` seconds to answer; ``address`` is for people."""

    def __init__(self, address: str, *, timeout: float) -> None:
        self.address = address
        self._timeout = timeout
        self._lost = False

    async def ask(
        self, question: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Ask, and return the answer.

        Raises:
            TransportError: as it was raised, or because of whatever else went wrong.

        """
        try:
            with anyio.fail_after(self._timeout):
                answer = await question(*args, **kwargs)
        except Exception as error:
            self.failed(error)
            if isinstance(error, TransportError):
                raise
            raise EngineUnavailable(self.address, sentence(error)) from error
        self.succeeded()
        return answer

    def failed(self, error: Exception) -> None:
        """Log it, if it is the first failure of an outage."""
        if not self._lost:
            logger.warning("%s fails (%s), trying again", self.address, sentence(error))
        self._lost = True

    def succeeded(self) -> None:
        """Log the end of an outage."""
        if self._lost:
            logger.info("%s answers again", self.address)
        self._lost = False


def needs_asyncio(transport: object, client: str) -> None:
    """Refuse an event loop on which ``client``, the engine's, does not run.

    Raises:
        WrongEventLoop: it is not asyncio's.

    """
    if not isinstance(current_token().native_token, AbstractEventLoop):
        raise WrongEventLoop(type(transport).__name__, client)


def sentence(error: Exception) -> str:
    """Return what ``error`` says, as one line, or at least its kind."""
    return " ".join(str(error).split()) or type(error).__name__
