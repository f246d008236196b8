"""sse_kit.demo.wall: the messages of the demo, read from the log."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest

from sse_kit import MemoryLog, MemoryTransport, SSEMessage, publication
from sse_kit.codec import dump_payload
from sse_kit.demo.board import Board
from sse_kit.demo.models import Message, Topic
from sse_kit.demo.wall import Wall
from sse_kit.errors import InvalidSetting
from sse_kit.transports.base import Publication, SupportsReplay

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def following(log: MemoryLog) -> AsyncGenerator[Wall]:
    wall = Wall()
    transport = MemoryTransport(log=log)
    async with transport, anyio.create_task_group() as tasks:
        with anyio.fail_after(5):
            await tasks.start(wall.follow, transport, transport)
            yield wall
        tasks.cancel_scope.cancel()


def write(log: MemoryLog, text: str) -> None:
    log.append(publication(Topic.MESSAGES, Message(text=text)))


def texts(wall: Wall) -> list[str]:
    return [message.text for message in wall.messages]


async def test_it_begins_with_what_was_there() -> None:
    """Once it is started it has read the whole log."""
    log = MemoryLog()
    write(log, "before")
    async with following(log) as wall:
        assert texts(wall) == ["before"]


async def test_it_goes_on_with_what_another_process_writes() -> None:
    """It has it when the log was read up to there."""
    log = MemoryLog()
    async with following(log) as wall:
        write(log, "after")
        await wall.reached(log.bounds().end)
        assert texts(wall) == ["after"]
        assert wall.position == log.bounds().end


async def test_what_is_no_message_is_passed_over() -> None:
    """A namespace may be shared with somebody else."""
    log = MemoryLog()
    log.append(Publication((Topic.MESSAGES,), b"\xff"))
    log.append(Publication((Topic.MESSAGES,), dump_payload(SSEMessage("{}"))))
    log.append(publication("other", "text"))
    write(log, "ours")
    async with following(log) as wall:
        assert texts(wall) == ["ours"]


@pytest.mark.parametrize("lose", [MemoryLog.clear, lambda log: log.rewind(1)])
async def test_it_goes_on_in_a_log_that_began_anew(lose: object) -> None:
    """Whatever the engine lost, what is written afterwards is there."""
    log = MemoryLog()
    write(log, "one")
    write(log, "two")
    async with following(log) as wall:
        assert callable(lose)
        lose(log)
        write(log, "three")
        while "three" not in texts(wall):
            await wall.reached(log.bounds().end)
            await anyio.lowlevel.checkpoint()


def test_a_transport_without_a_history_is_refused() -> None:
    """The page is rendered from the log: there has to be one."""

    class Mute:
        pass

    assert not isinstance(Mute(), SupportsReplay)
    with pytest.raises(InvalidSetting, match="keeps no history"):
        Board(Mute())  # type: ignore[arg-type]
