"""The connection to NATS: questions and their answers, over a client that comes and goes.

A client that lost its server is thrown away, with all that it held: whoever waits for an answer is
told at once, and may ask again; :meth:`Link.run` makes the next client.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio

from sse_kit.errors import EngineRefused
from sse_kit.transports.contact import sentence
from sse_kit.transports.nats_client import NatsClient, PlainConnection, client_options
from sse_kit.transports.writer import delays

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sse_kit.transports.contact import Contact
    from sse_kit.transports.nats_client import Answer

LET_GO = 0.1
"""Seconds for closing what could not be opened."""

API = "$JS.API."
NOT_LET_IN = re.compile(r"(authorization|authentication)(?! timeout)", re.IGNORECASE)
"""What a server says who does not know us; who was too slow may try again."""

SEQUENCE = "Nats-Sequence"
END_OF_BATCH, NOT_FOUND, NO_RESPONDERS = "204", "404", "503"


class Request(NamedTuple):
    """What is asked; ``headers`` may be None."""

    subject: str
    payload: bytes
    headers: dict[str, str] | None = None


class ApiError(Exception):
    """JetStream said no; ``status`` is as HTTP's, ``code`` its own."""

    def __init__(self, status: int, code: int, description: str) -> None:
        super().__init__(status, code, description)
        self.status = status
        self.code = code
        self.description = description

    @classmethod
    def of(cls, error: Mapping[str, Any]) -> ApiError:
        """Return the error that an answer holds."""
        code = error.get("err_code", 0)
        return cls(error.get("code", 0), code, error.get("description", "no reason given"))

    def __str__(self) -> str:
        return f"{self.description} [{self.code}]"


class NoStream(ConnectionError):
    """Nobody listens there: the stream is gone, or JetStream is not up yet."""

    def __str__(self) -> str:
        return "no stream listens"


class _Answers:
    """What comes over ``client``: the answer to each of ``count`` requests; None: a read's."""

    def __init__(self, client: NatsClient, count: int | None) -> None:
        self.client = client
        self._count = count
        self.answers: dict[int, Answer] = {}
        self.error: Exception | None = None
        self.complete = asyncio.Event()

    def take(self, number: int, answer: Answer) -> None:
        """Take an answer to request ``number``."""
        if self._count is None:
            self.answers[len(self.answers)] = answer
            # Not by its status: a message that is stored may have one of its own.
            is_last = SEQUENCE not in answer.headers
        else:
            self.answers[number] = answer
            is_last = len(self.answers) == self._count
        if is_last:
            self.complete.set()

    def fail(self, error: Exception) -> None:
        """There will be no more."""
        self.error = self.error or error
        self.complete.set()


class Link:
    """A connection to one of ``servers``; ``wake`` is called for each message on ``subject``."""

    def __init__(  # noqa: PLR0913  all but two by keyword
        self,
        servers: Sequence[str],
        contact: Contact,
        *,
        timeout: float,
        tls: ssl.SSLContext | None,
        credentials: str | None,
        subject: str,
        wake: Callable[[], None],
    ) -> None:
        self._contact = contact
        self._subject = subject
        self._wake = wake
        self._options = client_options(servers, timeout=timeout, tls=tls, credentials=credentials)
        self._needs_tls = tls is not None or any(each.startswith("tls:") for each in servers)
        self._client: NatsClient | None = None
        self._lost = asyncio.Event()
        self._waiting: dict[int, _Answers] = {}
        self._number = 0
        self._inbox = ""

    # Lifetime -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect again whenever the connection is lost, for ever."""
        while True:
            await self._lost.wait()
            self._client = None
            await self._connect_again()
            self._wake()

    async def _connect_again(self) -> None:
        for pause in delays():
            try:
                await self.connect()
            except Exception as error:  # noqa: BLE001  an outage
                self._contact.failed(error)
                await anyio.sleep(pause)
            else:
                return

    async def connect(self) -> None:
        """Connect to one of the servers.

        Raises:
            EngineRefused: none of them will ever take us.
            Exception: whatever the last one of them answered, or that it did not.

        """
        client, lost = NatsClient(needs_tls=self._needs_tls), asyncio.Event()
        errors: list[Exception] = []

        async def note(error: Exception) -> None:
            errors.append(error)
            if "permissions violation" in str(error).lower():
                # Told by the server, but not as an answer: nobody knows to which request.
                self._fail(client, error)

        async def closed() -> None:
            lost.set()
            last = errors[-1] if errors else ConnectionError("the connection was closed")
            self._fail(client, last)

        try:
            await client.connect(error_cb=note, closed_cb=closed, **self._options)
            self._inbox = client.new_inbox()
            await client.follow(f"{self._inbox}.*.*", self._take)
            await client.follow(self._subject, self._take_wake)
        except BaseException as error:
            with anyio.move_on_after(LET_GO, shield=True), suppress(Exception):
                await client.close()  # after a failed handshake it would wait for ever
            if not isinstance(error, Exception):
                raise
            raise self._explained(errors[-1] if errors else error) from error
        self._client, self._lost = client, lost

    async def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def max_payload(self) -> int:
        """The largest message that the server takes, in bytes, with its header."""
        return self._connected().max_payload

    @property
    def version(self) -> tuple[int, int]:
        """The server's."""
        version = self._connected().connected_server_version
        return version.major, version.minor

    def _connected(self) -> NatsClient:
        if self._client is None or self._client.is_closed:
            self._lost.set()
            message = "not connected"
            raise ConnectionError(message)
        return self._client

    def _fail(self, client: NatsClient, error: Exception) -> None:
        for answers in self._waiting.values():
            if answers.client is client:  # which may be one before the present
                answers.fail(error)

    def _explained(self, error: Exception) -> Exception:
        """Return the error to raise: some will be the same however often it is tried."""
        reason = sentence(error)
        if isinstance(error, ssl.SSLError):
            remedy = (
                "pass ssl=ssl.create_default_context(cafile=…) with what signed its certificate"
            )
        elif isinstance(error, PlainConnection):
            remedy = "give the server a tls block without allow_non_tls, or write nats://"
        elif NOT_LET_IN.search(reason):
            remedy = "give user:password@ or token@ in the URL, or credentials=…, as it knows them"
        else:
            return error
        return EngineRefused(self._contact.address, reason, remedy)

    # Questions ----------------------------------------------------------------------------------

    async def ask(self, requests: Sequence[Request]) -> list[Answer]:
        """Send requests, none of which waits for another, and return the answer of each.

        Raises:
            NoStream: nobody listens to one of them.
            Exception: the connection was lost, or something is not permitted.

        """
        answers = await self._exchange(requests, len(requests))
        if any(answer.status == NO_RESPONDERS for answer in answers.values()):
            raise NoStream
        return [answers[number] for number in range(len(requests))]

    async def api(self, subject: str, **query: object) -> dict[str, Any]:
        """Ask JetStream's API.

        Raises:
            ApiError: it said no.
            NoStream: there is no JetStream.

        """
        (answer,) = await self.ask([Request(API + subject, json.dumps(query).encode())])
        return answer_of(answer)

    async def get(self, stream: str, **query: object) -> list[Answer]:
        """Read messages of a stream; none, if it has none of them.

        Raises:
            NoStream: there is no such stream, for now.
            ApiError: the server did not understand.

        """
        request = Request(f"{API}DIRECT.GET.{stream}", json.dumps(query).encode())
        *answers, last = (await self._exchange([request], None)).values()
        if last.status == NO_RESPONDERS:
            raise NoStream
        if last.status not in {END_OF_BATCH, NOT_FOUND}:
            raise ApiError(int(last.status or 0), 0, last.headers.get("Description", ""))
        return answers

    async def tell(self) -> None:
        """Wake the others who follow the subject."""
        await self._connected().publish(self._subject)

    async def _exchange(self, requests: Sequence[Request], count: int | None) -> dict[int, Answer]:
        client = self._connected()
        self._number += 1
        question = self._number
        answers = self._waiting[question] = _Answers(client, count)
        try:
            for number, (subject, payload, headers) in enumerate(requests):
                reply = f"{self._inbox}.{question}.{number}"
                await client.publish(subject, payload, reply, headers)
            await answers.complete.wait()
        finally:
            del self._waiting[question]
        if answers.error is not None:
            raise answers.error
        return answers.answers

    def _take(self, subject: str, answer: Answer) -> None:
        _, question, number = subject.rsplit(".", 2)
        answers = self._waiting.get(int(question))
        if answers is not None:
            answers.take(int(number), answer)

    def _take_wake(self, _subject: str, _answer: Answer) -> None:
        self._wake()


def answer_of(answer: Answer) -> dict[str, Any]:
    """Return what JetStream said.

    Raises:
        ApiError: it said no.

    """
    said: dict[str, Any] = json.loads(answer.data)
    if error := said.get("error"):
        raise ApiError.of(error)
    return said
