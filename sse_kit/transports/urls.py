"""A transport by its URL, so that one line of configuration says where the messages go."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

from sse_kit.errors import InvalidSetting
from sse_kit.transports.memory import MemoryTransport
from sse_kit.transports.memory_log import MemoryLog
from sse_kit.transports.settings import LogSettings, redacted

if TYPE_CHECKING:
    from sse_kit.transports.base import Transport

GROUP = "sse_kit.transports"
"""The group of entry points: the name is the scheme, the object a :data:`Factory`."""

Factory: TypeAlias = Callable[..., "Transport"]
"""Takes the URL and the options as keyword arguments, and returns a transport, not entered."""

_OURS = {
    "sqlite": "sse_kit.transports.sqlite:SqliteTransport",
    "redis": "sse_kit.transports.redis:RedisTransport",
    "rediss": "sse_kit.transports.redis:RedisTransport",
    "valkey": "sse_kit.transports.redis:RedisTransport",
    "valkeys": "sse_kit.transports.redis:RedisTransport",
    "unix": "sse_kit.transports.redis:RedisTransport",
    "nats": "sse_kit.transports.nats:NatsTransport",
    "tls": "sse_kit.transports.nats:NatsTransport",
    "postgresql": "sse_kit.transports.postgres:PostgresTransport",
    "postgres": "sse_kit.transports.postgres:PostgresTransport",
}


def transport_from_url(url: str, **options: Any) -> Transport:
    """Return the transport for ``url``, not entered; ``options`` are those of its class.

    ``memory://``, ``sqlite:///relative/path``, ``sqlite:////absolute/path``, ``redis://``,
    ``rediss://``, ``valkey://``, ``valkeys://``, ``unix://`` (Redis at a socket), ``nats://``,
    ``tls://`` (NATS), ``postgresql://``, ``postgres://``, and what installed packages add by entry
    points of the group :data:`GROUP`. ``memory://`` takes what all engines take, so that a URL
    alone can change; of that it has a use for ``retention`` and ``dedup_window``.

    Raises:
        InvalidSetting: an unknown scheme, or a URL or an option that its transport refuses.
        MissingExtra: the engine's client is not installed.

    """
    scheme = _scheme_of(url)
    factory = _factory(scheme, url)
    return factory(_path_of(url) if scheme == "sqlite" else url, **options)


def _scheme_of(url: str) -> str:
    scheme, separator, _ = url.partition("://")
    if not separator:
        remedy = "write it as memory://, sqlite:///path, redis://host, nats://host, postgresql://"
        raise InvalidSetting("url", redacted(url), "has no scheme", remedy)
    return scheme.lower()


def _factory(scheme: str, url: str) -> Factory:
    if scheme == "memory":
        return _memory
    if scheme in _OURS:
        module, _, name = _OURS[scheme].partition(":")
        ours: Factory = getattr(import_module(module), name)
        return ours
    added = {entry.name: entry for entry in entry_points(group=GROUP)}
    if scheme in added:
        theirs: Factory = added[scheme].load()
        return theirs
    problem = f"has the unknown scheme {scheme!r}"
    known = ", ".join(sorted({"memory", *_OURS, *added}))
    remedy = f"use one of {known}, or install a package with an entry point {scheme} in {GROUP}"
    raise InvalidSetting("url", redacted(url), problem, remedy)


def _memory(url: str, **options: Any) -> MemoryTransport:
    if url.partition("://")[2].strip("/"):
        remedy = "memory has none: write memory://"
        raise InvalidSetting("url", redacted(url), "names a place", remedy)
    settings = LogSettings(**options)
    log = MemoryLog(settings.retention, dedup_window=settings.dedup_window)
    return MemoryTransport(log=log)


def _path_of(url: str) -> str:
    """Return the path as SQLAlchemy has it: after three slashes, of which an absolute has four."""
    place = url.partition("://")[2]
    path = unquote(place.removeprefix("/"))
    if not place.startswith("/") or not path or "?" in place or "#" in place:
        remedy = "write sqlite:///relative/path or sqlite:////absolute/path"
        raise InvalidSetting("url", redacted(url), "is no path", remedy)
    return path
