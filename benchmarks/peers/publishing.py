"""What every Python server does when it is asked to publish: the same calls in the same order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.publisher import payload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

TOPIC = "news"
"""What the subscribers follow."""


async def publish_all(
    asked: Mapping[str, str], publish: Callable[[str, str], Awaitable[object]]
) -> None:
    """Call ``publish(topic, data)`` for each event; after each ``group`` the loop turns once.

    With ``topics`` the events go round that many topics that nobody follows.
    """
    count, group, size, topics = (int(asked[name]) for name in ("count", "group", "size", "topics"))
    for number in range(count):
        if group and number and number % group == 0:
            await asyncio.sleep(0)
        topic = f"topic:{number % topics}" if topics else TOPIC
        await publish(topic, payload(size))
