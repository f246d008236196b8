"""What NATS, or the transport, says no to: at once, naming the reason and the remedy."""

from __future__ import annotations

import importlib
import json
import socket
import ssl
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sse_kit.config import Retention
from sse_kit.errors import (
    EngineRefused,
    InvalidSetting,
    MissingExtra,
    PublishFailed,
    WrongEventLoop,
)
from sse_kit.transports.base import HealthStatus
from sse_kit.transports.nats import NatsTransport
from sse_kit.transports.nats_stream import Names
from tests.transports.nats.tools import api, info_of, plain_client
from tests.transports.nats.trust import Trust
from tests.transports.tools import publish

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sse_kit.testing.engines import Reachable
    from sse_kit.testing.engines.plugin import OwnNats

pytestmark = pytest.mark.anyio

WORD = "p@ss:w/rd,%"


async def check_refused(transport: NatsTransport, reason: str, remedy: str) -> None:
    """Assert that entering fails at once: trying again is of no use."""
    with anyio.fail_after(4), pytest.raises(EngineRefused) as caught:
        async with transport:
            pytest.fail("it was let in")
    assert reason in caught.value.reason
    assert remedy in caught.value.remedy


async def check_works(transport: NatsTransport) -> None:
    async with transport:
        await publish(transport, [1])
        assert (await transport.health()).status is HealthStatus.OK


# Who we are ------------------------------------------------------------------------------------


async def test_a_password_is_needed_and_never_shown(
    own_nats: OwnNats, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Right, with characters that a URL escapes, it works; wrong or missing it is refused."""
    engine = own_nats(password=WORD)
    await check_works(NatsTransport(engine.url, namespace=namespace))
    bare = f"127.0.0.1:{engine.port}"
    for url in (f"nats://{bare}", f"nats://sse_kit:wrong@{bare}", f"nats://wrong@{bare}"):
        transport = NatsTransport(url, namespace=namespace)
        await check_refused(transport, "Authorization Violation", "user:password@")
        assert transport.contact.address == f"nats://{bare}"
    assert "wrong" not in caplog.text


async def test_a_token_is_taken_from_the_url(own_nats: OwnNats, namespace: str) -> None:
    """A user without a password is one; it is a secret too."""
    engine = own_nats(config={"authorization": json.dumps({"token": "s3cr:t"})})
    place = f"127.0.0.1:{engine.port}"
    transport = NatsTransport(f"nats://s3cr%3At@{place}", namespace=namespace)
    assert transport.contact.address == f"nats://{place}"
    await check_works(transport)


async def test_credentials_are_a_file(own_nats: OwnNats, namespace: str, tmp_path: Path) -> None:
    """A JWT and the seed that proves it: the server knows the operator alone."""
    trust = Trust.make(tmp_path)
    engine = own_nats(config=trust.config)
    await check_refused(NatsTransport(engine.url, namespace=namespace), "uthoriz", "credentials=")
    await check_works(NatsTransport(engine.url, namespace=namespace, credentials=trust.file))


def test_credentials_that_are_no_file_are_refused(tmp_path: Path) -> None:
    """At construction: nats-py would find out when a server asks for them."""
    with pytest.raises(InvalidSetting, match=r"credentials.*none"):
        NatsTransport("nats://host", credentials=tmp_path / "none")


async def test_what_a_user_may_not_publish_is_told(own_nats: OwnNats, namespace: str) -> None:
    """NATS tells it beside the answers, of which there is none: no time-out is waited for."""
    permissions = {"publish": {"deny": f"ssekit.{namespace}.>"}}
    users = [
        {"user": "all", "password": "p"},
        {"user": "reads", "password": "p", "permissions": permissions},
    ]
    engine = own_nats(config={"authorization": json.dumps({"users": users})})
    place = f"127.0.0.1:{engine.port}"
    await check_works(NatsTransport(f"nats://all:p@{place}", namespace=namespace))
    reader = NatsTransport(f"nats://reads:p@{place}", namespace=namespace, publish_timeout=0.3)
    async with reader:
        assert [record.payload for record in (await reader.read(0, limit=9)).records] == [b"1"]
        with pytest.raises(PublishFailed, match=r"(?i)permissions violation"):
            await publish(reader, [2])


# TLS -------------------------------------------------------------------------------------------


async def test_tls_needs_the_right_authority(own_nats: OwnNats, namespace: str) -> None:
    """With it, it works, by either scheme; without it the certificate is refused."""
    engine = own_nats(tls=True, password=WORD)
    assert engine.certificates is not None
    trust = ssl.create_default_context(cafile=engine.certificates.authority)
    for url in (engine.url, engine.url.replace("tls://", "nats://")):
        await check_works(NatsTransport(url, namespace=namespace, ssl=trust))
        await check_refused(NatsTransport(url, namespace=namespace), "certificate", "cafile")


@pytest.mark.parametrize("way", ["tls://", "TLS://", "context"])
async def test_without_tls_no_password_is_sent(own_nats: OwnNats, namespace: str, way: str) -> None:
    """A server that does not ask for TLS, or whoever is in between, is told nothing."""
    engine = own_nats(password=WORD)
    if way == "context":
        context = ssl.create_default_context()
        transport = NatsTransport(engine.url, namespace=namespace, ssl=context)
    else:
        transport = NatsTransport(engine.url.replace("nats://", way), namespace=namespace)
    await check_refused(transport, "does not ask for TLS", "tls block")


# The server and its streams --------------------------------------------------------------------


async def test_a_server_without_jetstream_is_refused(own_nats: OwnNats, namespace: str) -> None:
    """There is no log in it."""
    transport = NatsTransport(own_nats(jetstream=False).url, namespace=namespace)
    await check_refused(transport, "JetStream does not answer", "-js")


@contextmanager
def pretender(**info: object) -> Iterator[str]:
    """Run what says it is a server, and answers nothing but the first ping."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rwb") as lines:
                lines.write(b"INFO " + json.dumps({"port": port, **info}).encode() + b"\r\n")
                lines.flush()
                for line in lines:
                    if line.startswith(b"PING"):
                        lines.write(b"PONG\r\n")
                        lines.flush()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"nats://127.0.0.1:{port}"
        thread.join()


async def test_an_old_server_is_refused(namespace: str) -> None:
    """Before 2.11 no batch could be read without a consumer."""
    with pretender(version="2.10.29", headers=True, max_payload=2**20) as url:
        await check_refused(NatsTransport(url, namespace=namespace), "2.10", "2.11")


async def test_a_server_that_takes_less_is_refused(own_nats: OwnNats, namespace: str) -> None:
    """Unless we say that this is all we want."""
    engine = own_nats(config={"max_payload": "65536"})
    await check_refused(
        NatsTransport(engine.url, namespace=namespace), "max_payload is 65536", "max_message=65536"
    )
    await check_works(NatsTransport(engine.url, namespace=namespace, max_message=65536))


@pytest.mark.parametrize(
    "settings",
    [
        {"retention": "interest"},
        {"retention": "workqueue"},
        {"discard": "new"},
        {"storage": "memory"},
        {"max_msgs_per_subject": 1},
        {"max_msg_size": 100},
        {"subjects": ["foreign"]},
        {"subjects": ["{ours}", "foreign"]},
    ],
    ids=lambda settings: next(iter(settings)),
)
async def test_a_stream_that_is_not_ours_is_refused(
    nats_engine: Reachable, namespace: str, settings: dict[str, Any]
) -> None:
    """What would lose records, or are others', is not changed by itself."""
    names = Names(namespace)
    config = {"name": names.log, "subjects": [names.records("epoch")], **settings}
    config["subjects"] = [
        names.records("epoch") if each == "{ours}" else each for each in config["subjects"]
    ]
    async with plain_client(nats_engine.url) as client:
        await api(client, f"STREAM.CREATE.{names.log}", **config)
        await check_refused(
            NatsTransport(nats_engine.url, namespace=namespace), names.log, "another namespace"
        )
        await api(client, f"STREAM.DELETE.{names.log}")


async def test_a_stream_elsewhere_with_our_subjects_is_refused(
    nats_engine: Reachable, namespace: str
) -> None:
    """Two streams cannot have the same ones: NATS says so."""
    async with plain_client(nats_engine.url) as client:
        await api(client, "STREAM.CREATE.wide", name="wide", subjects=[f"ssekit.{namespace}.>"])
        await check_refused(
            NatsTransport(nats_engine.url, namespace=namespace), "subjects overlap", "stream"
        )
        await api(client, "STREAM.DELETE.wide")


async def test_what_is_safe_is_set_anew(nats_engine: Reachable, namespace: str) -> None:
    """A stream gets the retention and the window of whoever came last; its records stay."""
    async with NatsTransport(nats_engine.url, namespace=namespace) as transport:
        await publish(transport, [1])
    small = NatsTransport(
        nats_engine.url, namespace=namespace, retention=Retention(max_records=5), dedup_window=60.0
    )
    async with small, plain_client(nats_engine.url) as client:
        config = (await info_of(client, namespace))["config"]
        assert (config["max_msgs"], config["duplicate_window"]) == (5, 60 * 10**9)
        assert [record.payload for record in (await small.read(0, limit=9)).records] == [b"1"]


async def test_a_stream_that_was_changed_since_is_told(
    nats_engine: Reachable, namespace: str
) -> None:
    """Health names the setting."""
    async with (
        NatsTransport(nats_engine.url, namespace=namespace) as transport,
        plain_client(nats_engine.url) as client,
    ):
        config = (await info_of(client, namespace))["config"]
        await api(client, f"STREAM.UPDATE.{config['name']}", **{**config, "max_msgs": 7})
        health = await transport.health()
    assert health.status is HealthStatus.DEGRADED
    assert "max_msgs=7" in health.detail


async def test_replicas_without_a_cluster_are_refused(
    nats_engine: Reachable, namespace: str
) -> None:
    """One server has no others to keep copies."""
    transport = NatsTransport(nats_engine.url, namespace=namespace, replicas=3)
    await check_refused(transport, "replicas > 1", "change the settings here")


# What is refused before anything is sent -------------------------------------------------------


def test_a_missing_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the module is imported: there is nothing to try first."""
    monkeypatch.setitem(sys.modules, "nats.aio.client", None)
    monkeypatch.delitem(sys.modules, "sse_kit.transports.nats_client")
    with pytest.raises(MissingExtra, match=r"nats-py.*sse-kit\[nats\]"):
        importlib.import_module("sse_kit.transports.nats_client")


def test_trio_is_refused(nats_engine: Reachable) -> None:
    """nats-py runs on asyncio only: that is said, not left to an error of its inside."""

    async def enter() -> None:
        async with NatsTransport(nats_engine.url):
            pytest.fail("it was let in")

    with pytest.raises(WrongEventLoop, match="nats-py"):
        anyio.run(enter, backend="trio")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nats://",
        "http://host",
        "nats://user:secret@host:port",
        "nats://user:secret@host/path",
        "nats://host:70000",
        "nats://host?x=1",
        "nats://host,",
        "nats://user:secret@host,redis://user:secret@other",
        "nats://[::1",
    ],
)
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    """At construction, without showing its password."""
    with pytest.raises(InvalidSetting, match="no address of NATS") as caught:
        NatsTransport(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["nats://user:sec,ret@host", "nats://sec,ret@host", "tls://one,tls://sec:ret@two"]
)
def test_a_comma_in_a_password_is_refused(url: str) -> None:
    """It would be dialled as a host, and logged."""
    with pytest.raises(InvalidSetting, match="%2C") as caught:
        NatsTransport(url)
    assert "sec" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"storage": "tape"},
        {"replicas": 0},
        {"max_message": 1000},
        {"ssl": True},
        {"unknown": 1},
        {"retention": Retention(max_bytes=1000)},
        {"retention": Retention(max_age=5.0)},
    ],
    ids=lambda options: next(iter(options)),
)
def test_a_setting_outside_its_range_is_refused(options: dict[str, Any]) -> None:
    """At construction, by name."""
    with pytest.raises(InvalidSetting, match=next(iter(options))):
        NatsTransport("nats://host", **options)
