"""Where a connection string leads: addresses, and in which order they are tried.

psycopg tries one after the other from the first on, each for two seconds at least: behind a machine
that is silent no other one would ever be reached in the time of a request. Here those that failed
are tried last.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, NamedTuple

import anyio

if TYPE_CHECKING:
    from collections.abc import Mapping

PORT = "5432"


class Place(NamedTuple):
    """Parameters of libpq, any of which may be empty."""

    host: str
    hostaddr: str
    port: str

    def __str__(self) -> str:
        return f"{self.host or self.hostaddr}:{self.port or PORT}"


class Places:
    """The hosts of a connection string, given as libpq's parameters, and which of them failed."""

    def __init__(self, known: Mapping[str, object]) -> None:
        self._hosts = _hosts_of(known)
        self._failures: dict[Place, float] = {}

    @property
    def have_a_spare(self) -> bool:
        """Whether one that is down, or no primary, may have another one take its place."""
        return len(self._hosts) > 1

    async def in_order(self) -> list[Place]:
        """Return every address of every host: as they are given, but what failed last is last."""
        found = [place for host in self._hosts for place in await _addresses_of(host)]
        self._failures = {place: self._failures.get(place, 0.0) for place in found}
        return sorted(self._failures, key=self._failures.__getitem__)

    def failed(self, place: Place) -> None:
        """Let all others be tried before it."""
        self._failures[place] = time.monotonic()


def address_of(known: Mapping[str, object]) -> str:
    """Return what may be shown of a connection string: none of its parameters but these."""
    known = {"user": "", "host": "", "port": "", "dbname": ""} | dict(known)
    user = f"{known['user']}@" if known["user"] else ""
    port = f":{known['port']}" if known["port"] else ""
    return f"postgresql://{user}{known['host']}{port}/{known['dbname']}"


def is_torn(known: Mapping[str, object]) -> bool:
    """Tell whether a ``/`` in a password made libpq take it for a port and a database."""
    ports = f"{known.get('port', '')}".replace(",", "")
    return "@" in f"{known.get('dbname', '')}" or not (ports.isdecimal() or not ports)


def _hosts_of(known: Mapping[str, object]) -> list[Place]:
    texts = [str(known.get(name) or "") for name in Place._fields]
    columns = [text.split(",") for text in texts]
    count = max(len(columns[0]), len(columns[1]))
    columns = [column * count if len(column) == 1 else column for column in columns]
    if any(len(column) != count for column in columns):
        return [Place(*texts)]  # libpq says what does not fit
    return [Place(*parts) for parts in zip(*columns, strict=True)]


async def _addresses_of(host: Place) -> list[Place]:
    name = host.host
    if host.hostaddr or not name or name[0] in "/@" or name[1:2] == ":":  # or a socket's path
        return [host]
    try:
        found = await anyio.getaddrinfo(name, host.port or PORT, type=socket.SOCK_STREAM)
    except OSError:
        return [host]  # psycopg says why
    return [host._replace(hostaddr=str(address[0])) for *_, address in found]
