"""What a URL of Redis or Valkey says: where the server is, and as whom to talk to it."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from sse_kit.errors import InvalidSetting
from sse_kit.transports.settings import redacted

PLAIN = ("redis", "valkey")
SECURED = ("rediss", "valkeys")
UNIX = "unix"
PORT = 6379
URLS = "write redis://user:password@host:6379/0, rediss://… for TLS, or unix:///path?db=0"


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
