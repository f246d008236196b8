"""What every Python server does when it is asked to publish: the same calls in the same order."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from benchmarks.publisher import payload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

TOPIC = "news"
"""What the subscribers follow."""


async def publish_all(
    asked: Mapping[str, str], publish: Callable[[str, str], Awaitable[object]]
) -> None:
    """Call ``publish(topic, data)`` for each event; ``asked`` has the fields of ``Events``."""
    count, size, group, topics, times = (
        int(asked[name]) for name in ("count", "size", "group", "topics", "times")
    )
    start, interval = time.monotonic(), float(asked["interval"])
    for turn in range(times):
        if turn:
            await asyncio.sleep(start + turn * interval - time.monotonic())
        for number in range(count):
            if group and number and number % group == 0:
                await asyncio.sleep(0)
            topic = f"topic:{number % topics}" if topics else TOPIC
            await publish(topic, payload(size))
