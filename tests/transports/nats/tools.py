"""What the tests of NATS share: publishing, reading, a client of no kit's."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import nats

from sse_kit.transports.nats_stream import Names
from tests.transports.tools import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from nats.aio.client import Client


async def until(condition: Callable[[], Awaitable[bool]], *, patience: float = PATIENCE) -> None:
    """Wait until something outside is so."""
    with anyio.fail_after(patience):
        while not await condition():  # noqa: ASYNC110  no event tells
            await anyio.sleep(0.01)


@asynccontextmanager
async def plain_client(url: str, **options: Any) -> AsyncGenerator[Client]:
    """Connect without the kit."""
    client = await nats.connect(url, **options)
    try:
        yield client
    finally:
        await client.close()


async def api(client: Client, subject: str, **query: object) -> dict[str, Any]:
    """Ask JetStream."""
    answer = await client.request(f"$JS.API.{subject}", json.dumps(query).encode(), timeout=2)
    said: dict[str, Any] = json.loads(answer.data)
    assert "error" not in said, said
    return said


async def info_of(client: Client, namespace: str) -> dict[str, Any]:
    """Return what the server tells of the stream of a namespace."""
    return await api(client, f"STREAM.INFO.{Names(namespace).log}")
