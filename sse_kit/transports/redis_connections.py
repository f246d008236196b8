"""Connections to Redis and Valkey: where the server is, and how it is asked.

The pool and the client of coredis are not used. Its pool (6.9) loses a place for each connection
that breaks while it waits in XREAD, and for each handshake that is given up: after 64 of them, a
few minutes with a frozen server, it makes no further connection. Its client sends commands again by
itself, which for a command without a key of ours would be a second record.
"""

from __future__ import annotations

import re
import ssl
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from sse_kit.errors import EngineRefused, InvalidSetting, MissingExtra
from sse_kit.transports.settings import redacted

try:
    from coredis.connection import (
        BaseConnection,
        TCPConnection,
        TCPLocation,
        UnixDomainSocketConnection,
        UnixDomainSocketLocation,
    )
    from coredis.exceptions import (
        AuthenticationError,
        AuthorizationError,
        MovedError,
        NoScriptError,
        ReadOnlyError,
        RedisError,
        WrongTypeError,
    )
except ImportError as error:  # pragma: no cover - the tests have it
    raise MissingExtra("coredis", "redis") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anyio.abc import TaskGroup, TaskStatus

Word: TypeAlias = str | bytes | int
Command: TypeAlias = tuple[Word, ...]
"""The name of a command, and its arguments."""

PLAIN = ("redis", "valkey")
SECURED = ("rediss", "valkeys")
UNIX = "unix"
PORT = 6379
URLS = "write redis://user:password@host:6379/0, rediss://… for TLS, or unix:///path?db=0"

RIGHTS = "let this user run the commands that docs/transports/redis.md lists"
KINDS: dict[type[Exception], str] = {
    AuthenticationError: "give the right user and password in the URL",
    AuthorizationError: RIGHTS,
    MovedError: "this is a node of a cluster: connect to the node that it names",
    ReadOnlyError: "this is a replica: connect to its primary",
    WrongTypeError: "another program has such a key: choose another namespace",
    ssl.SSLCertVerificationError: "give ssl=… a context that trusts the server's authority",
}
TEXTS = {
    "OOM ": "raise maxmemory, or keep less (retention)",
    "ACL failure in script": RIGHTS,
    "DENIED": "it is in protected mode: give it a password",
    "DB index": "choose a database that the server has",
    "unknown command": "use a Redis from 7.0, or a Valkey from 7.2, with all its commands",
}
"""What to do about an error of a kind, or with a text."""


@dataclass(frozen=True)
class Place:
    """Where a server is, and as whom to talk to it; ``path`` is that of a unix socket."""

    host: str
    port: int
    path: str | None
    database: int
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None

    @classmethod
    def parse(cls, url: str, tls: ssl.SSLContext | None = None) -> Place:
        """Return the place that ``url`` names; ``tls``: how to trust the server.

        Raises:
            InvalidSetting: a URL of another kind, or TLS for one without.

        """
        try:
            parts = urlsplit(url)
            port = parts.port or PORT
        except ValueError as error:
            # Not the URL: what cannot be parsed cannot be redacted.
            raise InvalidSetting("url", "…", f"is not a URL ({error})", URLS) from error
        scheme = parts.scheme.lower()
        if scheme not in (*PLAIN, *SECURED, UNIX) or parts.fragment:
            raise InvalidSetting("url", _shown(url), "is no URL of Redis", URLS)
        if tls is not None and scheme not in SECURED:
            raise InvalidSetting("url", _shown(url), "is without TLS", "write rediss://…")
        on_disk = scheme == UNIX
        return cls(
            host=parts.hostname or "localhost",
            port=port,
            path=_path(url) if on_disk else None,
            database=_database(url, "" if on_disk else parts.path.strip("/"), parts.query),
            username=_decoded(parts.username),
            password=_decoded(parts.password),
            tls=(tls or ssl.create_default_context()) if scheme in SECURED else None,
        )

    def connection(self) -> BaseConnection:
        """Return a connection that is not yet run."""
        if self.path is not None:
            return UnixDomainSocketConnection(
                UnixDomainSocketLocation(self.path),
                username=self.username,
                password=self.password,
                db=self.database,
            )
        return TCPConnection(
            TCPLocation(self.host, self.port),
            username=self.username,
            password=self.password,
            db=self.database,
            ssl_context=self.tls,
            socket_keepalive=True,
        )


def _shown(url: str) -> str:
    """Return ``url`` without its password, and without what may be one."""
    return re.split("[?#]", redacted(url))[0]


def _decoded(part: str | None) -> str | None:
    return unquote(part) if part else None


def _path(url: str) -> str:
    parts = urlsplit(url)
    if parts.hostname or not parts.path.startswith("/"):
        raise InvalidSetting("url", _shown(url), "has no absolute path", URLS)
    return unquote(parts.path)


def _database(url: str, path: str, query: str) -> int:
    """Return the number of the database, from the path or from ``?db=``, but not from both."""
    options = parse_qsl(query, keep_blank_values=True)
    numbers = [value for _, value in options] + ([path] if path else [])
    known = all(name == "db" for name, _ in options)
    if not known or len(numbers) > 1 or not all(number.isdecimal() for number in numbers):
        problem = "has more than a number of a database after the host"
        raise InvalidSetting("url", _shown(url), problem, f"{URLS}; the rest are arguments")
    return int(numbers[0]) if numbers else 0


class Line:
    """One connection to a server, kept in ``tasks``: made when it is needed, and again if it broke.

    Requests go over it one behind the other. One without an answer in ``timeout`` seconds ends it,
    with all that wait behind; one that is cancelled is only not waited for. ``address`` is for
    people.
    """

    def __init__(
        self,
        tasks: TaskGroup,
        connection: Callable[[], BaseConnection],
        *,
        address: str,
        timeout: float,
    ) -> None:
        self._tasks = tasks
        self._make = connection
        self._address = address
        self._timeout = timeout
        self._making = anyio.Lock()
        self._connection: BaseConnection | None = None

    async def ask(self, *commands: Command) -> list[Any]:
        """Send commands at once, and return their answers, in RESP3's types.

        Raises:
            EngineRefused: an answer is an error that we know a remedy for.
            RedisError: an answer is another error, or the connection broke.
            TimeoutError: no answer.
            OSError: no connection.

        """
        connection: BaseConnection | None = None
        with anyio.move_on_after(self._timeout) as scope:
            try:
                connection = await self._connected()
                answers = await _send(connection, commands)
            except Exception:
                # coredis makes an error of its own of a handshake that is cut short.
                if not scope.cancel_called:
                    raise
            else:
                if any(isinstance(answer, ReadOnlyError) for answer in answers):
                    self._drop(connection)  # a primary no more: the address may lead elsewhere now
                return self._checked(answers)
        if connection is not None:
            self._drop(connection)
        message = f"no answer in {self._timeout:g} s"
        raise TimeoutError(message)

    async def view(self, *commands: Command) -> list[Any]:
        """Send commands whose answers are of one moment; raises as :meth:`ask` does."""
        *_, answers = await self.ask(("MULTI",), *commands, ("EXEC",))
        return self._checked(answers)

    async def _connected(self) -> BaseConnection:
        async with self._making:
            if self._connection is None or not self._connection.usable:
                error = await self._tasks.start(self._run)
                if error is not None:
                    self._checked([error.__cause__ or error])
            if self._connection is None:  # dropped at the same moment
                raise ConnectionResetError
            return self._connection

    async def _run(self, *, task_status: TaskStatus[RedisError | None]) -> None:
        """Keep a connection until it ends; one that was never made is told to whoever waits."""
        connection = self._connection = self._make()
        try:
            await connection.run(task_status=task_status)
        except RedisError as error:
            with suppress(RuntimeError):  # it had been made
                task_status.started(error)
        finally:
            _close_streams(connection)

    def _drop(self, connection: BaseConnection) -> None:
        """Use ``connection`` no more; another request may have a new one by now."""
        if self._connection is connection:
            self._connection = None
        connection.invalidate()

    def _checked(self, answers: list[Any]) -> list[Any]:
        """Return the answers, unless one is an error."""
        for answer in answers:
            if not isinstance(answer, Exception):
                continue
            remedy = remedy_for(answer)
            if remedy is None:
                raise answer
            raise EngineRefused(self._address, str(answer), remedy) from answer
        return answers


def _close_streams(connection: BaseConnection) -> None:
    """Close what coredis leaves open in a connection that was never made."""
    for stream in vars(connection).values():
        if isinstance(stream, MemoryObjectSendStream | MemoryObjectReceiveStream):
            stream.close()


async def _send(connection: BaseConnection, commands: Sequence[Command]) -> list[Any]:
    requests = [
        connection.create_request(str(name).encode(), *words, raise_exceptions=False)
        for name, *words in commands
    ]
    return [await request for request in requests]


def remedy_for(error: Exception) -> str | None:
    """Return what to do about an error that trying again does not cure."""
    for kind, remedy in KINDS.items():
        if isinstance(error, kind):
            return remedy
    return next((remedy for text, remedy in TEXTS.items() if text in str(error)), None)


class Script:
    """A script of ours, known to the server by its SHA-1 once it has run."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._sha = sha1(text.encode(), usedforsecurity=False).hexdigest()

    @classmethod
    def named(cls, name: str) -> Script:
        """Return the one in the file of that name, beside this module."""
        return cls(resources.files("sse_kit.transports").joinpath(name).read_text("utf-8"))

    async def run(self, line: Line, keys: Sequence[Word], arguments: Sequence[Word]) -> list[Any]:
        """Run it, in one round trip if the server knows it; raises as :meth:`Line.ask` does."""
        words = (len(keys), *keys, *arguments)
        try:
            (answer,) = await line.ask(("EVALSHA", self._sha, *words))
        except NoScriptError:
            (answer,) = await line.ask(("EVAL", self.text, *words))
        return list(answer)
