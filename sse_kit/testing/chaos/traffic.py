"""Publishers that try again until they are acknowledged, and clients that hop and resume."""

from __future__ import annotations

import hashlib
import json
import random
import time
from typing import TYPE_CHECKING, NamedTuple

import anyio

from sse_kit.codec import StreamDecoder
from sse_kit.frames import BYE_EVENT, GAP_EVENT
from sse_kit.testing.chaos import wire
from sse_kit.transports.base import Gap, GapReason, Position

if TYPE_CHECKING:
    from anyio.abc import SocketStream

    from sse_kit.messages import ReceivedMessage
    from sse_kit.testing.chaos.judge import Judge, Witness

TOPICS = tuple(f"topic {number}" for number in range(4))
BATCH = 100
PUBLISH_TIMEOUT = 2.5
"""Seconds after which a batch is posted again: the app may be trying still, with the same keys."""

BEHIND = 5.0
"""Seconds of messages that a publisher makes up for after an outage."""

IDLE_TIMEOUT = 3.0
"""Seconds without a byte, three heartbeats, after which a client leaves."""

STAY = (0.3, 4.0)
"""Seconds that a client stays with one app."""

RETRY = 0.05
"""Seconds before the next attempt: shorter than any that is polite, for there are more faults."""


class Message(NamedTuple):
    """What is published; all of it follows from the key, so that nothing else need be kept."""

    key: str
    topics: tuple[str, ...]
    data: str


def message_of(key: str) -> Message:
    """Return the message of a key: one topic or two, 0 to 400 characters, on several lines."""
    number = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest())
    first, second = number % len(TOPICS), number // 4 % len(TOPICS)
    topics = (TOPICS[first],) if number // 16 % 4 or first == second else _two(first, second)
    text = "é→\n"[number // 64 % 3] * (number // 256 % 134)
    return Message(key, topics, f"{key} {text}")


def _two(first: int, second: int) -> tuple[str, ...]:
    return TOPICS[first], TOPICS[second]


class Publisher:
    """Posts batches to either app, each until it is acknowledged."""

    def __init__(self, judge: Judge, ports: tuple[int, ...], name: str) -> None:
        self.resent = 0
        self._judge = judge
        self._ports = ports
        self._name = name
        self._number = 0
        self._chance = random.Random(name)  # noqa: S311  a seed makes a failure come again

    async def publish(self, rate: float, stop: anyio.Event) -> None:
        """Publish ``rate`` messages a second on average, until told to stop.

        The last batch is acknowledged too.
        """
        due = time.monotonic()
        while not stop.is_set():
            await self._post(self._batch())
            due = max(due, time.monotonic() - BEHIND) + BATCH / rate
            with anyio.move_on_after(due - time.monotonic()):
                await stop.wait()

    def _batch(self) -> list[Message]:
        first = self._number
        self._number += BATCH
        return [message_of(f"{self._name}-{number}") for number in range(first, self._number)]

    async def _post(self, batch: list[Message]) -> None:
        items = [message._asdict() for message in batch]
        request = wire.post("/publish", json.dumps(items).encode())
        while (positions := await self._attempt(request)) is None:
            self.resent += 1
            await anyio.sleep(RETRY)
        for message, position in zip(batch, positions, strict=True):
            self._judge.acknowledge(message.key, message.topics, position)

    async def _attempt(self, request: bytes) -> list[Position] | None:
        """Post once; None if it is in doubt."""
        with anyio.move_on_after(PUBLISH_TIMEOUT):
            try:
                answer = await wire.ask(self._chance.choice(self._ports), request)
            except wire.Broken:
                return None
            if answer.status == 200:  # noqa: PLR2004  OK
                return [position_of(text) for text in json.loads(answer.body)]
        return None


class Client:
    """Follows some topics; hops from app to app, and resumes by the last id."""

    def __init__(self, witness: Witness, ports: tuple[int, ...], name: str) -> None:
        self.ready = anyio.Event()
        self.silence = 0.0
        """The longest time without a message since ``listen()``, in seconds."""
        self.witness = witness
        self._ports = ports
        self._chance = random.Random(name)  # noqa: S311  a seed makes a failure come again
        self._last_id = ""
        self._heard: float | None = None
        query = "&".join(f"topic={topic}" for topic in sorted(witness.topics))
        self._path = f"/events?{query}".replace(" ", "+")

    async def follow(self) -> None:
        """Be a client until cancelled."""
        while True:
            try:
                with anyio.move_on_after(self._chance.uniform(*STAY)):
                    await self._stay(self._chance.choice(self._ports))
            except wire.Broken:
                await anyio.sleep(RETRY)

    def listen(self) -> None:
        """Measure from now on how long nothing is heard."""
        self._heard = time.monotonic()
        self.silence = 0.0

    def rest(self) -> None:
        """Measure no more: nothing is published."""
        self._hear()
        self._heard = None

    async def _stay(self, port: int) -> None:
        header = (f"Last-Event-ID: {self._last_id}",) if self._last_id else ()
        async with await wire.connect(port) as stream:
            await wire.send(stream, wire.get(self._path, *header))
            rest = await self._head(stream)
            decoder, body = StreamDecoder(last_event_id=self._last_id), wire.Dechunker()
            piece = rest or await _more(stream)
            while piece:
                for message in decoder.feed(body.feed(piece)):
                    self._take(message)
                piece = await _more(stream)
        raise wire.Broken

    async def _head(self, stream: SocketStream) -> bytes:
        """Read the head of the response; return what came of the body."""
        received = b""
        while b"\r\n\r\n" not in received:
            piece = await _more(stream)
            if not piece:
                raise wire.Broken
            received += piece
        head, _, rest = received.partition(b"\r\n\r\n")
        if wire.status_of(head) != 200:  # noqa: PLR2004  OK
            raise wire.Broken
        return rest

    def _take(self, message: ReceivedMessage) -> None:
        self._last_id = message.last_event_id
        if self._last_id:
            self.ready.set()
        if message.data is None or message.event == BYE_EVENT:
            return
        if message.event == GAP_EVENT:
            self.witness.gap(gap_of(message))
            return
        self._hear()
        key = message.data.partition(" ")[0]
        said = message_of(key)
        known = key if said.data == message.data else None
        self.witness.deliver(known, said.topics, position_of(message.id or ""))

    def _hear(self) -> None:
        if self._heard is not None:
            now = time.monotonic()
            self.silence = max(self.silence, now - self._heard)
            self._heard = now


async def _more(stream: SocketStream) -> bytes:
    with anyio.move_on_after(IDLE_TIMEOUT):
        return await wire.receive(stream)
    raise wire.Broken


def gap_of(message: ReceivedMessage) -> Gap:
    """Return what a gap event says."""
    told = json.loads(message.data or "")
    return Gap(GapReason(told["reason"]), position_of(message.last_event_id), told["missed"])


def position_of(text: str) -> Position:
    """Return a position; an id that is none breaks every promise, so it ends the run."""
    position = Position.parse(text)
    assert position is not None, f"{text!r} is no position"
    return position
