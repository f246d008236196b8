"""Connections to Redis and Valkey: how the server is asked.

The pool and the client of coredis are not used. Its pool (6.9) loses a place for each connection
that breaks while it waits in XREAD, and for each handshake that is given up: after 64 of them, a
few minutes with a frozen server, it makes no further connection. Its client sends commands again by
itself, which for a command without a key of ours would be a second record.
"""

from __future__ import annotations

import ssl
from contextlib import suppress
from hashlib import sha1
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from sse_kit.errors import EngineRefused, MissingExtra
from sse_kit.transports.redis_server import Server

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
    from collections.abc import Sequence

    from anyio.abc import TaskGroup, TaskStatus

    from sse_kit.transports.redis_place import Place

Word: TypeAlias = str | bytes | int
Command: TypeAlias = tuple[Word, ...]
"""The name of a command, and its arguments."""

COMMANDS = (
    *("hello", "ping", "info", "eval", "evalsha", "multi", "exec"),
    *("hget", "hmget", "hset", "hgetall", "hdel", "hlen"),
    *("xadd", "xlen", "xrange", "xread", "xtrim"),
    *("exists", "rename", "del", "get", "set", "time", "pexpire", "persist"),
)
"""All that a user needs who uses database 0; what the scripts call counts too."""

RIGHTS = " ".join(("~{ssekit:*", *(f"+{command}" for command in COMMANDS)))
GIVE_RIGHTS = f"give this user the keys and the commands that it needs: {RIGHTS}"
KINDS: dict[type[Exception], str] = {
    AuthenticationError: "give the right user and password in the URL",
    AuthorizationError: GIVE_RIGHTS,
    MovedError: "this is a node of a cluster: connect to the node that it names",
    ReadOnlyError: "connect to its primary",
    WrongTypeError: "another program has such a key: choose another namespace",
    ssl.SSLCertVerificationError: "give ssl=… a context that trusts the server's authority",
}
TEXTS = {
    "OOM ": "raise maxmemory, or keep less (retention)",
    "ACL failure in script": GIVE_RIGHTS,
    "MASTERDOWN": "connect to its primary",
    "DENIED": "it is in protected mode: give it a password",
    "DB index": "choose a database that the server has",
    "unknown command": "use a Redis from 7.0, or a Valkey from 7.2, with all its commands",
}
"""What to do about an error of a kind, or with a text."""

IDENTITY = ("INFO", "server", "replication")
REPLICA = "it is a replica"


class Line:
    """One connection, kept in ``tasks``: made when it is needed, and again if it broke.

    Requests go over it one behind the other. One without an answer in ``timeout`` seconds ends it,
    with all that wait behind; one that is cancelled is only not waited for. To be made takes as
    long at most. ``address`` is for people.

    It leads to a primary, and the lines ``beside`` it to the same one, or they are dropped: the
    server before may live, as a replica that is behind, and no connection to it would break.
    """

    def __init__(
        self,
        tasks: TaskGroup,
        place: Place,
        *,
        address: str,
        timeout: float,
        beside: list[Line],
    ) -> None:
        self._tasks = tasks
        self._place = place
        self._address = address
        self._timeout = timeout
        self._making = anyio.Lock()
        self._connection: BaseConnection | None = None
        self._server = ""
        self._beside = beside
        beside.append(self)

    async def ask(self, *commands: Command) -> list[Any]:
        """Send commands at once, and return their answers, in RESP3's types.

        Raises:
            EngineRefused: an answer is an error that we know a remedy for.
            RedisError: an answer is another error, or the connection broke.
            TimeoutError: no answer.
            OSError: no connection.

        """
        _, answers = await self._exchange(commands)
        return self._checked(answers)

    async def view(self, *commands: Command) -> list[Any]:
        """Send commands whose answers are of one moment of a primary; raises as :meth:`ask` does.

        A server that becomes a replica closes no connection that is quiet.
        """
        connection, answers = await self._exchange((("MULTI",), IDENTITY, *commands, ("EXEC",)))
        info, *found = self._checked(self._checked(answers)[-1])
        if not Server.parse(info).is_primary:
            self._drop(connection)
            self._checked([ReadOnlyError(REPLICA)])
        return found

    def leave(self, server: str) -> None:
        """Drop a connection that leads to any other server than this one."""
        if self._connection is not None and self._server not in ("", server):
            self._drop(self._connection)

    async def _exchange(self, commands: Sequence[Command]) -> tuple[BaseConnection, list[Any]]:
        connection: BaseConnection | None = None
        with anyio.move_on_after(self._timeout) as scope:
            try:
                connection = await self._connected()
                # A handshake takes none of the answer's time.
                scope.deadline = anyio.current_time() + self._timeout
                answers = await _send(connection, commands)
            except Exception:
                # coredis makes an error of its own of a handshake that is cut short.
                if not scope.cancel_called:
                    raise
            else:
                if any(map(_of_replica, answers)):
                    self._drop(connection)  # a primary no more: the address may lead elsewhere now
                return connection, answers
        if connection is not None:
            self._drop(connection)
        message = f"no answer in {self._timeout:g} s"
        raise TimeoutError(message)

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
        connection, self._server = _connection_to(self._place), ""
        self._connection = connection
        connection.register_connect_callback(self._meet)
        try:
            await connection.run(task_status=task_status)
        except RedisError as error:
            with suppress(RuntimeError):  # it had been made
                task_status.started(error)
        finally:
            _close_streams(connection)

    async def _meet(self, connection: BaseConnection) -> None:
        """See whom a new connection leads to."""
        name, *sections = IDENTITY
        info: Any = await connection.create_request(name.encode(), *sections)
        server = Server.parse(info)
        if not server.is_primary:
            raise ReadOnlyError(REPLICA)
        self._server = server.run_id
        for line in self._beside:
            line.leave(self._server)

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


def _connection_to(place: Place) -> BaseConnection:
    """Return a connection that is not yet run."""
    if place.path is not None:
        return UnixDomainSocketConnection(
            UnixDomainSocketLocation(place.path),
            username=place.username,
            password=place.password,
            db=place.database,
        )
    return TCPConnection(
        TCPLocation(place.host, place.port),
        username=place.username,
        password=place.password,
        db=place.database,
        ssl_context=place.tls,
        socket_keepalive=True,
    )


def _of_replica(answer: object) -> bool:
    """Tell whether an answer is an error that only a replica makes."""
    return isinstance(answer, ReadOnlyError) or (
        isinstance(answer, Exception) and str(answer).startswith("MASTERDOWN")
    )


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
