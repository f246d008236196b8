"""Follows a log, and tells how old each record was: ``python -m … PATH``.

A payload is the moment at which it was published; an empty one is the last.
"""

from __future__ import annotations

import json
import sys
import time

import anyio

from sse_kit.transports.base import Batch
from sse_kit.transports.sqlite import SqliteTransport


async def receive(path: str) -> list[float]:
    """Return the age of each record, in seconds."""
    ages: list[float] = []
    async with SqliteTransport(path) as transport, transport.tail() as feeds:
        print("ready", flush=True)  # noqa: T201  the other process waits for it
        async for feed in feeds:
            now = time.monotonic()
            assert isinstance(feed, Batch)
            ages += [now - float(record.payload) for record in feed.records if record.payload]
            if not feed.records[-1].payload:
                break
    return ages


if __name__ == "__main__":
    print(json.dumps(anyio.run(receive, sys.argv[1])))  # noqa: T201  its answer
