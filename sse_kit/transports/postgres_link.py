"""A connection to PostgreSQL: how it is opened, what it refuses, and that none is used in doubt.

A :class:`Link` opens its connection when it is asked something, and keeps it only while every
answer came: after an error, a deadline or a cancellation nobody knows what the server still does on
it, so it is closed, and the next question opens another.
"""

from __future__ import annotations

from asyncio import CancelledError
from contextlib import contextmanager, nullcontext
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar, cast

import anyio

from sse_kit.errors import (
    EngineRefused,
    InvalidInput,
    InvalidSetting,
    MissingExtra,
    TransportNotRunning,
)
from sse_kit.transports.contact import sentence
from sse_kit.transports.postgres_places import Places, address_of, is_torn
from sse_kit.transports.postgres_texts import (
    BY_PHRASE,
    BY_STATE,
    HELLO,
    ISOLATION,
    PREPARATION,
    PRIMARY,
    SESSION,
    SETUP,
    UPGRADE,
    in_schema,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence

    from psycopg.abc import PQGen

    from sse_kit.transports.postgres_places import Place

try:
    import psycopg
    from psycopg import AsyncConnection, AsyncCursor, IsolationLevel
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
    from psycopg.rows import tuple_row
    from psycopg.waiting import wait_async
except ImportError as error:
    package = "psycopg"
    raise MissingExtra(package, "postgres") from error

T = TypeVar("T")

Row: TypeAlias = tuple[Any, ...]
Connection: TypeAlias = "AsyncConnection[Row]"

STEPS = (files("sse_kit.transports").joinpath("postgres.sql").read_text("utf-8"),)
"""What makes the tables of each version from those of the one before."""

VERSION = len(STEPS)

OLDEST_SERVER = 15

PATIENCE = 0.8
"""Of the time of a request, after which the server itself gives up waiting for a lock."""

MAX_MILLISECONDS = 2**31 - 1


def conninfo_of(field: str, url: str, **parameters: str | None) -> str:
    """Return ``url`` as a connection string with further parameters.

    Raises:
        InvalidSetting: ``url`` is none; it is not shown, for where its password is nobody knows.

    """
    given = {name: value for name, value in parameters.items() if value is not None}
    try:
        conninfo = make_conninfo(
            url, fallback_application_name="sse_kit", client_encoding="utf8", **given
        )
    except psycopg.Error:
        conninfo = ""
    if not conninfo or is_torn(conninfo_to_dict(conninfo)):
        remedy = "write postgresql://user:password@host:5432/database, a password with %XX"
        raise InvalidSetting(field, "…", "is no connection string", remedy)
    return conninfo


def _defaults() -> dict[str, str]:
    """Return what libpq takes from the environment where a connection string says nothing."""
    options = psycopg.pq.Conninfo.get_defaults()
    return {option.keyword.decode(): option.val.decode() for option in options if option.val}


def _milliseconds(seconds: float) -> int:
    return min(max(1, round(1_000 * seconds)), MAX_MILLISECONDS)


def remedy_for(error: psycopg.Error) -> str | None:
    """Return what to do about ``error``; None: try again."""
    if error.sqlstate is not None:
        return BY_STATE.get(error.sqlstate)
    text = str(error)
    return next((BY_PHRASE[phrase] for phrase in BY_PHRASE if phrase in text), None)


class _Connection(AsyncConnection[Row]):
    """One that is cancelled at once.

    psycopg's own first asks the server to cancel, and waits up to ten seconds for that, of which a
    frozen server uses all. We close what was cancelled in any case.
    """

    async def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        try:
            return await wait_async(gen, self.pgconn.socket, *args, **kwargs)
        except CancelledError:
            self.pgconn.finish()
            raise


class Server:
    """How to connect: a connection string, which may hold a password, and the tables' schema.

    ``request_timeout``: seconds, after which the server gives up too. ``pooled``: through PgBouncer
    or the like, so nothing may be left on a connection: no prepared statement, no setting.
    """

    def __init__(
        self, conninfo: str, *, schema: str, request_timeout: float, pooled: bool = False
    ) -> None:
        known = conninfo_to_dict(conninfo)
        self.address = address_of(known)
        self._conninfo = conninfo
        self._places = Places({**_defaults(), **known})
        self.schema = schema
        self._request_timeout = request_timeout
        self.patience = _milliseconds(PATIENCE * request_timeout)
        self._pooled = pooled

    async def open(self) -> Connection:
        """Return a connection to a server and tables that are what we need.

        Raises:
            EngineRefused: trying again is of no use.
            psycopg.Error: it may be.

        """
        with self.refusing():
            return await self._reach(self._greeted)

    async def _reach(self, connect: Callable[[str], Awaitable[Connection]]) -> Connection:
        """Return a connection to the first address that lets us in.

        Of several none may use all the time of a request: the next one should have some.
        """
        places = await self._places.in_order()
        share = self._request_timeout / 2 if len(places) > 1 else None
        failures: dict[Place, psycopg.Error] = {}
        for place in places:
            where = {name: value for name, value in place._asdict().items() if value}
            try:
                with anyio.fail_after(share):
                    return await connect(make_conninfo(self._conninfo, **where))
            except TimeoutError:
                failures[place] = psycopg.OperationalError("no answer in its share of the time")
            except psycopg.Error as error:
                failures[place] = error
            self._places.failed(place)
        raise self._failure(failures)

    def _failure(self, failures: Mapping[Place, psycopg.Error]) -> psycopg.Error:
        """Return the one that no further attempt will mend, or all of them as one."""
        errors = list(failures.values())
        for error in errors:
            if len(errors) == 1 or self._remedy_for(error):
                return error
        told = "; ".join(f"{place}: {sentence(error)}" for place, error in failures.items())
        hint = f": {PRIMARY}" if PRIMARY in map(remedy_for, errors) else ""
        return psycopg.OperationalError(told + hint)

    def _remedy_for(self, error: psycopg.Error) -> str | None:
        remedy = remedy_for(error)
        # Of several hosts one may be promoted yet.
        return None if remedy == PRIMARY and self._places.have_a_spare else remedy

    async def _connected(self, conninfo: str) -> Connection:
        """Return a connection, each of whose statements is a transaction."""
        return await _Connection.connect(
            conninfo,
            autocommit=True,
            prepare_threshold=None if self._pooled else 0,
            row_factory=tuple_row,
        )

    async def _greeted(self, conninfo: str) -> Connection:
        connection = await self._connected(conninfo)
        try:
            await self._greet(connection)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def set_up(self) -> None:
        """Make the tables, or bring older ones up to date.

        Raises:
            EngineRefused: this role may not, or there are newer ones.

        """
        with self.refusing():
            connection = await self._reach(self._connected)
            try:
                # Else what another process made while this one waited for the lock is not seen.
                await connection.set_isolation_level(IsolationLevel.READ_COMMITTED)
                async with connection.transaction():
                    await self._set_up(connection)
            finally:
                await connection.close()

    async def _set_up(self, connection: Connection) -> None:
        await connection.execute(PREPARATION)
        asked = await connection.execute(
            "SELECT pg_catalog.to_regclass(%s)", (f'"{self.schema}".version',)
        )
        number = 0
        if await asked.fetchone() != (None,):
            asked = await connection.execute(
                in_schema("SELECT number FROM sse_kit.version", self.schema)
            )
            number = row[0] if (row := await asked.fetchone()) else 0
        if number > VERSION:
            self._refuse(f"its tables are of version {number}, not {VERSION}", UPGRADE)
        for step in STEPS[number:]:
            await connection.execute(in_schema(step, self.schema), prepare=False)

    def pid_of(self, connection: Connection) -> int | None:
        """Return what the server's notifications have; None: a pooler keeps it to itself."""
        return None if self._pooled else connection.info.backend_pid

    @contextmanager
    def refusing(self) -> Generator[None]:
        """Raise EngineRefused for an error that no further attempt will mend."""
        try:
            yield
        except psycopg.Error as error:
            if remedy := self._remedy_for(error):
                reason = str(error).strip().partition("\n")[0]
                raise EngineRefused(self.address, reason, remedy) from error
            raise

    async def _greet(self, connection: Connection) -> None:
        version = connection.info.server_version // 10_000
        if version < OLDEST_SERVER:
            self._refuse(f"it is PostgreSQL {version}", f"use {OLDEST_SERVER} or newer")
        limits = (str(self.patience), str(_milliseconds(self._request_timeout)))
        async with connection.transaction() if self._pooled else nullcontext():
            await connection.execute(SESSION, (self._pooled, *limits))
            asked = await connection.execute(in_schema(HELLO, self.schema))
            row = await asked.fetchone()
        number, read_only, standby, isolation, encoding = row or (0, "off", False, "", "")
        if number != VERSION:
            remedy = SETUP if number < VERSION else UPGRADE
            self._refuse(f"its tables are of version {number}, not {VERSION}", remedy)
        if standby or read_only == "on":
            reason = "it is a standby" if standby else "it is read-only"
            raise psycopg.errors.ReadOnlySqlTransaction(reason)
        if isolation != "read committed":
            self._refuse(f"its transactions are {isolation}", ISOLATION)
        if encoding != "UTF8":
            self._refuse(f"its encoding is {encoding}", "use a database of the encoding UTF8")

    def _refuse(self, reason: str, remedy: str) -> NoReturn:
        raise EngineRefused(self.address, reason, remedy)


class Link:
    """One connection, used by one question at a time."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._lock = anyio.Lock()
        self._connection: Connection | None = None
        self._closed = False
        self.pid: int | None = None
        """What notifications of its own have; None: not known."""

    async def ask(self, query: bytes, parameters: Sequence[object] = ()) -> list[Row]:
        """Return the rows of the answer.

        Raises:
            TransportNotRunning: it is closed.
            EngineRefused: trying again is of no use.
            psycopg.Error: it may be.

        """
        async with self._lock:
            if self._closed:
                raise TransportNotRunning
            connection = self._connection or await self._server.open()
            self._connection, self.pid = None, self._server.pid_of(connection)
            try:
                with self._server.refusing():
                    cursor = connection.cursor(binary=True)
                    await cursor.execute(query, parameters)
                    rows = await cursor.fetchall()
            except BaseException:
                await connection.close()
                raise
            await self._keep(connection)
            return rows

    async def _keep(self, connection: Connection) -> None:
        if self._closed:
            await connection.close()
        else:
            self._connection = connection

    async def close(self) -> None:
        """Let go of the connection: at once, or as soon as what is asked is answered."""
        self._closed = True
        if self._connection is not None:
            await self._connection.close()


async def run_on(connection: object, query: bytes, parameters: Sequence[object]) -> list[Row]:
    """Run a statement in the transaction of somebody else's connection, whatever its settings.

    Raises:
        InvalidInput: it is no connection that can be awaited.

    """
    if not isinstance(connection, AsyncConnection):
        problem = "is no psycopg.AsyncConnection"
        raise InvalidInput("connection", connection, problem, "open one with AsyncConnection")
    theirs: AsyncConnection[Any] = cast("Any", connection)
    cursor = AsyncCursor(theirs, row_factory=tuple_row)
    cursor.format = psycopg.pq.Format.BINARY
    await cursor.execute(query, parameters)
    return await cursor.fetchall()
