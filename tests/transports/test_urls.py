"""A transport by its URL."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import pytest

from sse_kit import MemoryTransport, Retention, transport_from_url
from sse_kit.errors import InvalidSetting, MissingExtra
from sse_kit.transports import urls

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_memory_is_the_embedded_default() -> None:
    """Options are those of the class."""
    retention = Retention(max_records=7)
    transport = transport_from_url("memory://", retention=retention)
    assert isinstance(transport, MemoryTransport)
    assert transport.log.retention is retention


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
