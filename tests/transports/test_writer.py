"""The writer: what fails in a batch, and what a batch holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from anyio import lowlevel

from sse_kit.errors import PublishFailed
from sse_kit.transports import writer
from sse_kit.transports.base import Position, Publication, Published
from tests.transports.engine import Engine, EngineTransport

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.anyio


def publication(number: int) -> Publication:
    return Publication(("t",), b"%d" % number)


@pytest.mark.parametrize("place", [0, 100, 255])
async def test_what_cannot_be_stored_keeps_nothing_else_from_it(place: int) -> None:
    """It fails alone, after no more attempts than the others have time for, with its own reason."""
    engine = Engine()
    engine.poison = b"%d" % place
    failures: list[PublishFailed] = []

    async def fail(transport: EngineTransport) -> None:
        with pytest.raises(PublishFailed) as caught:
            await transport.publish(publication(place))
        failures.append(caught.value)

    async with EngineTransport(engine, request_timeout=0.1, publish_timeout=1.0) as transport:
        async with anyio.create_task_group() as tasks:
            for number in range(256):
                if number == place:
                    tasks.start_soon(fail, transport)
                else:
                    tasks.start_soon(transport.publish, publication(number))
        page = await transport.read(0, limit=300)
    stored = sorted(int(record.payload) for record in page.records)
    assert stored == [number for number in range(256) if number != place]
    assert engine.refused.index(1) <= 2
    assert ["TimeoutError" in failure.reason for failure in failures] == [True]


async def test_a_batch_ends_before_what_is_too_large_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A large payload goes alone, and takes its own time."""
    monkeypatch.setattr(writer, "MAX_BATCH_BYTES", 100)
    batches: list[list[int]] = []

    async def append(publications: Sequence[Publication]) -> list[Published]:
        await lowlevel.checkpoint()
        batches.append([len(publication.payload) for publication in publications])
        return [Published(Position("e", 1)) for _ in publications]

    one = writer.Writer(append, timeout=5.0)
    async with anyio.create_task_group() as running:
        async with anyio.create_task_group() as tasks:
            for size in (5, 90, 20, 200, 5, 300, 100, 1):
                tasks.start_soon(one.publish, Publication(("t",), bytes(size)))
            running.start_soon(one.run)
        running.cancel_scope.cancel()
    assert sum(map(len, batches)) == 8
    assert len(batches) < 8
    assert all(len(batch) == 1 or sum(batch) <= 100 for batch in batches)
