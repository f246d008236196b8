"""What the tests of Redis share: publishing, reading, waiting for what the server tells."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit.testing.engines import RedisEngine
from sse_kit.testing.suite import END, TailReader
from sse_kit.transports.base import Gap, Rebase
from sse_kit.transports.redis import PUBLISH
from sse_kit.transports.redis_connections import Script
from tests.transports.tools import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from sse_kit.testing.engines import Reachable
    from sse_kit.transports.base import Record

ASYNCIO = pytest.mark.parametrize("anyio_backend", ["asyncio"])
"""For tests of what does not depend on the event loop."""

WRITTEN = {"appendfsync": "always"}
"""For a server that is killed and must have lost nothing: it has written before it answers.

With ``everysec`` it answers first while an fsync takes long.
"""


def key(namespace: str, name: str) -> str:
    return f"{{ssekit:{namespace}}}:{name}"


def mutant(*changes: tuple[str, str]) -> Script:
    """Return the script that publishes, with a planted mistake."""
    text = PUBLISH.text
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return Script(text)


def command(engine: Reachable, *words: str) -> str:
    """Run a command on a server that tests share."""
    if not isinstance(engine, RedisEngine):
        pytest.skip(f"{engine.url} is somebody else's: unset SSE_KIT_REDIS_URL")
    return engine.command(*words)


async def rest(reader: TailReader) -> list[Record]:
    """Read up to the record that ends a test; the log may go on in new epochs, without a gap."""
    records: list[Record] = []
    while True:
        item = await reader.next()
        assert not isinstance(item, Gap)
        if isinstance(item, Rebase):
            continue
        if item.payload == END:
            return records
        records.append(item)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something outside is so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not become so"
        await anyio.sleep(0.01)


def blocked(engine: RedisEngine, clients: int = 1) -> Callable[[], bool]:
    """Tell whether so many clients wait in the server."""
    return lambda: f"blocked_clients:{clients}" in engine.command("INFO", "clients")
