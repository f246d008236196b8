"""How nats-py is used: told to connect, and nothing more.

nats-py keeps what is published while it is disconnected and sends it later, and lets requests that
were under way run into their time-outs. So its own reconnecting is off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit

from sse_kit.errors import InvalidSetting, MissingExtra

try:
    from nats.aio.client import Client
except ImportError as error:
    raise MissingExtra("nats-py", "nats") from error

if TYPE_CHECKING:
    from asyncio import StreamWriter
    from collections.abc import Callable, Mapping, Sequence
    from ssl import SSLContext

    from nats.aio.msg import Msg

SCHEMES = ("nats", "tls")

RETRY = 0.02
"""Seconds between two servers of a list."""


class Answer(NamedTuple):
    """What came back."""

    headers: Mapping[str, str]
    data: bytes

    @property
    def status(self) -> str | None:
        """The server's own word, such as ``"404"``, where it is one."""
        return self.headers.get("Status")


class PlainConnection(ConnectionError):
    """The server would talk without TLS."""

    def __str__(self) -> str:
        return "it does not ask for TLS"


class NatsClient(Client):
    """nats-py's client; it says nothing to a server without TLS if there must be TLS.

    By itself it would: the server decides, and whoever is in between.
    """

    def __init__(self, *, needs_tls: bool) -> None:
        super().__init__()
        self._needs_tls = needs_tls

    async def follow(self, subject: str, callback: Callable[[str, Answer], None]) -> None:
        """Have ``callback`` called with the subject of each message on ``subject``, and with it."""

        async def take(message: Msg) -> None:
            callback(message.subject, Answer(message.headers or {}, message.data))

        untyped: Any = self  # a parameter of it is a Future of nobody knows what
        # Without a limit beyond which it would drop messages: no more comes than was asked for.
        await untyped.subscribe(subject, cb=take, pending_bytes_limit=0)

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002
        # It would try to send the rest to a server that is gone, fail, and tell nobody it closed;
        # or, if that is only silent, wait until TCP gives up.
        self._pending, self._pending_data_size = [], 0
        writer: StreamWriter | None = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()
        await super()._close(status, do_cbs)

    def _connect_command(self) -> bytes:
        if self._needs_tls and not self._server_info.get("tls_required"):
            raise PlainConnection
        return super()._connect_command()


def servers_of(url: str) -> list[str]:
    """Return the servers of a URL, each as a URL of its own, its scheme in lower case."""
    first, *others = url.split(",")
    if "@" not in first and any("@" in each for each in others):
        problem = "names a user with a later server, but none with the first"
        remedy = "write a comma in a password as %2C, and the user with every server"
        raise InvalidSetting("url", "…", problem, remedy)
    scheme = url.partition("://")[0]
    places = (each.rpartition("://") for each in (first, *others))
    servers = [f"{(own or scheme).lower()}://{place}" for own, _, place in places]
    if not all(map(_is_server, servers)):
        shown = ",".join(each.rpartition("@")[2] for each in servers)
        remedy = "write nats://host:4222 or tls://…, several separated by commas"
        raise InvalidSetting("url", shown, "is no address of NATS", remedy)
    return servers


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_place = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    rest = parts.path.strip("/") or parts.query or parts.fragment
    return parts.scheme in SCHEMES and has_place and not rest


def without_user(server: str) -> str:
    """Return the address of a server: what may be logged."""
    parts = urlsplit(server)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def client_options(
    servers: Sequence[str],
    *,
    timeout: float,
    tls: SSLContext | None,
    credentials: str | None,
) -> dict[str, Any]:
    """Return what nats-py is told; who we are is the same for all servers."""
    users = [urlsplit(server) for server in servers if "@" in server]
    user, password = (users[0].username, users[0].password) if users else (None, None)
    who = {"user": user, "password": password} if password is not None else {"token": user}
    return {
        "servers": [without_user(server) for server in servers],
        **{name: unquote(value) for name, value in who.items() if value is not None},
        "name": "sse_kit",
        "tls": tls,
        "user_credentials": credentials,
        "no_echo": True,
        "allow_reconnect": False,
        "pending_size": 0,
        "connect_timeout": timeout,
        # One try of each server is one of ours.
        "max_reconnect_attempts": 1,
        "reconnect_time_wait": RETRY,
        # A server that went silent is noticed after three times this.
        "ping_interval": timeout,
        "max_outstanding_pings": 2,
    }
