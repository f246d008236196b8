"""Setup: what has to be made on the engine once, before a transport can be entered."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, runtime_checkable


@runtime_checkable
class SupportsSetup(Protocol):
    """The capability of a transport whose engine wants tables, or the like, made explicitly."""

    @abstractmethod
    async def setup(self) -> None:
        """Make them, or bring older ones up to date; what is right already is left alone.

        Raises:
            EngineUnavailable: the engine does not answer.
            EngineRefused: it says no, or what is there is newer than this.

        """
