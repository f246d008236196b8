"""A transport by its URL."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import pytest

from sse_kit import MemoryTransport, Retention, transport_from_url
from sse_kit.errors import InvalidSetting, MissingExtra
from sse_kit.transports import urls
from sse_kit.transports.nats import NatsTransport
from sse_kit.transports.postgres import PostgresTransport
from sse_kit.transports.redis import RedisTransport
from sse_kit.transports.sqlite import SqliteTransport

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_memory_is_the_embedded_default() -> None:
    """It takes the options of an engine, so that an app changes its URL and nothing else."""
    retention = Retention(max_records=7)
    transport = transport_from_url(
        "memory://", namespace="n", retention=retention, dedup_window=60.0, connect_timeout=None
    )
    assert isinstance(transport, MemoryTransport)
    assert transport.log.retention is retention
    assert transport.traits.dedup_window == 60


def test_an_option_that_no_engine_has_is_refused() -> None:
    """Of memory too."""
    with pytest.raises(InvalidSetting, match="namespce"):
        transport_from_url("memory://", namespce="n")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://host", RedisTransport),
        ("rediss://host", RedisTransport),
        ("valkey://host", RedisTransport),
        ("valkeys://host", RedisTransport),
        ("unix:///run/redis.sock", RedisTransport),
        ("nats://host", NatsTransport),
        ("tls://host", NatsTransport),
        ("postgresql://host", PostgresTransport),
        ("postgres://host", PostgresTransport),
        ("sqlite:///a.db", SqliteTransport),
    ],
)
def test_a_scheme_is_that_of_an_engine(url: str, kind: type) -> None:
    """Nothing is connected yet."""
    assert type(transport_from_url(url)) is kind


def test_a_scheme_is_told_in_any_case() -> None:
    """RFC 3986, 3.1: schemes are case-insensitive."""
    assert isinstance(transport_from_url("MEMORY://"), MemoryTransport)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("localhost:6379", "'localhost:6379' has no scheme: write it as memory://"),
        ("", "'' has no scheme"),
        ("kafka://user:secret@host", r"kafka://user:\*\*\*@host' has the unknown scheme 'kafka'"),
        ("memory://host", "'memory://host' names a place: memory has none"),
        ("sqlite://relative.db", "is no path: write sqlite:///relative/path"),
        ("sqlite:///", "is no path"),
        ("sqlite:///a.db?mode=ro", "is no path"),
        ("sqlite://[x", "is no path"),
        ("sqlite://user:secret@host/a.db", r"user:\*\*\*@host/a.db' is no path"),
        ("kafka://user:secret@[x/", "unknown scheme"),
        ("redis:secret@host", r"'redis:\*\*\*@host' has no scheme"),
    ],
)
def test_a_url_that_names_no_transport_is_refused(url: str, sentence: str) -> None:
    """The sentence names it, without its password, and what to write."""
    with pytest.raises(InvalidSetting, match=sentence):
        transport_from_url(url)


def test_an_unknown_scheme_lists_those_that_are_known() -> None:
    """And the group of entry points where others are added."""
    with pytest.raises(InvalidSetting, match=r"memory.*redis.*sqlite.*sse_kit\.transports"):
        transport_from_url("kafka://host")


def test_a_package_adds_a_scheme_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its factory gets the URL and the options."""
    calls: list[tuple[str, dict[str, Any]]] = []

    class Loaded(EntryPoint):
        def load(self) -> object:
            return factory

    def factory(url: str, **options: object) -> MemoryTransport:
        calls.append((url, options))
        return MemoryTransport()

    def found(*, group: str) -> Iterator[EntryPoint]:
        yield Loaded("kafka", "somewhere:KafkaTransport", group)

    monkeypatch.setattr(urls, "entry_points", found)
    assert isinstance(transport_from_url("kafka://host", namespace="n"), MemoryTransport)
    assert calls == [("kafka://host", {"namespace": "n"})]


@pytest.mark.parametrize(
    ("url", "client", "extra"),
    [
        ("redis://host", "coredis", "redis"),
        ("nats://host", "nats", "nats"),
        ("postgresql://host", "psycopg", "postgres"),
    ],
)
def test_a_missing_client_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, url: str, client: str, extra: str
) -> None:
    """Promise 6: a missing extra is an error that names the extra."""
    for name in [name for name in sys.modules if name.split(".")[0] == client]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith(f"sse_kit.transports.{extra}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, client, None)
    with pytest.raises(MissingExtra, match=rf"sse-kit\[{extra}\]"):
        transport_from_url(url)
