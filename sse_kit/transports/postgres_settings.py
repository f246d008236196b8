"""The settings of the transport over PostgreSQL, and the servers that they name."""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Literal

from pydantic import Field

from sse_kit.config import Seconds  # noqa: TC001  pydantic reads it
from sse_kit.errors import InvalidSetting
from sse_kit.transports.postgres_link import Server, conninfo_of
from sse_kit.transports.settings import LogOptions, LogSettings

SSLMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

ENGINE_LIMIT = 1_000_000_000
"""Bytes of payload; PostgreSQL has 2**30 - 1 for a value, and as many for a message.

So many were stored once and read back, in two minutes.
"""


class PostgresSettings(LogSettings):
    """The settings of :class:`PostgresTransport`.

    ``schema`` is where the tables are. ``notify``: wake other processes, and be woken, by NOTIFY;
    else each looks every ``poll`` seconds (None: 1 with NOTIFY, which it repairs, else 0.1).
    ``pooled``: the URL leads through PgBouncer, or the like, in transaction mode; then LISTEN needs
    a ``listen_dsn`` that does not. ``max_payload`` in bytes: the engine's own limit is 10**9, but a
    payload needs to be sent in ``request_timeout``. The other ones are those of libpq.
    """

    url: Annotated[str, Field(repr=False)]
    listen_dsn: Annotated[str | None, Field(repr=False)] = None
    password: Annotated[str | None, Field(repr=False)] = None
    sslmode: SSLMode | None = None
    sslrootcert: str | None = None
    sslcert: str | None = None
    sslkey: str | None = None
    schema_name: str = Field(
        default="sse_kit", alias="schema", pattern=r"^[A-Za-z_][0-9A-Za-z_]{0,62}$"
    )
    notify: bool = True
    pooled: bool = False
    poll: Seconds | None = None
    max_payload: Annotated[int, Field(ge=1, le=ENGINE_LIMIT)] = 16 * 1024 * 1024


class PostgresOptions(LogOptions, total=False):
    """The settings of :class:`PostgresSettings`, as keyword arguments."""

    listen_dsn: str | None
    password: str | None
    sslmode: SSLMode | None
    sslrootcert: str | None
    sslcert: str | None
    sslkey: str | None
    schema: str
    notify: bool
    pooled: bool
    poll: float | None
    max_payload: int


def servers(settings: PostgresSettings) -> tuple[Server, Server]:
    """Return what is asked, and what is listened to."""
    more = {
        name: getattr(settings, name)
        for name in ("password", "sslmode", "sslrootcert", "sslcert", "sslkey")
    }
    direct = settings.listen_dsn
    if settings.pooled and settings.notify and direct is None:
        remedy = "give one that leads past the pooler, or notify=False"
        raise InvalidSetting("listen_dsn", None, "is needed beside pooled=True", remedy)
    conninfo = conninfo_of("url", settings.url, **more)
    schema, timeout = settings.schema_name, settings.request_timeout
    server = Server(conninfo, schema=schema, request_timeout=timeout, pooled=settings.pooled)
    if direct is None:
        return server, server
    conninfo = conninfo_of("listen_dsn", direct, **more)
    return server, Server(conninfo, schema=schema, request_timeout=timeout)


def channel_of(settings: PostgresSettings) -> str:
    """Return a name of at most 63 bytes, which the channel of no other log has."""
    name = f"{settings.schema_name}.{settings.namespace}".encode()
    return f"sse_kit_{blake2b(name, digest_size=16).hexdigest()}"
