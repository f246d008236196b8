"""Waking those who wait, again and again."""

from __future__ import annotations

import anyio


class Wakeup:
    """Wakes all who wait at that moment; whoever comes later waits for the next time.

    Nobody's wake-up is lost to another who waits, or to one who was cancelled while waiting. While
    nobody waits it belongs to no event loop.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[anyio.Event] = []

    async def wait(self) -> None:
        """Wait for the next :meth:`wake`."""
        event = anyio.Event()
        self._waiting.append(event)
        try:
            await event.wait()
        finally:
            self._waiting.remove(event)

    def wake(self) -> None:
        """Wake all who wait."""
        for event in self._waiting:
            event.set()
