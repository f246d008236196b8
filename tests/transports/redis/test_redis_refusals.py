"""What cannot work says so at once, names the value and the remedy, and shows no password."""

from __future__ import annotations

import importlib
import re
import ssl
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from sse_kit.errors import (
    EngineRefused,
    EngineUnavailable,
    InvalidSetting,
    MissingExtra,
    PublishFailed,
)
from sse_kit.testing.ports import free_port
from sse_kit.testing.suite import numbered
from sse_kit.transports.redis import RedisTransport
from sse_kit.transports.redis_place import Place
from sse_kit.transports.redis_server import Server
from tests.transports.redis.tools import ASYNCIO, command, key, until
from tests.transports.tools import publish

if TYPE_CHECKING:
    from pathlib import Path

    from sse_kit.testing.engines import Reachable, RedisEngine
    from sse_kit.testing.engines.plugin import OwnRedis

pytestmark = pytest.mark.anyio

SECRET = "p@ss/w:rd %"  # noqa: S105  the test's own


async def enter(url: str, **options: Any) -> None:
    """Enter and leave; what is refused is not tried for long."""
    with anyio.fail_after(5):
        async with RedisTransport(url, connect_timeout=60.0, **options) as transport:
            await publish(transport, [1])


async def test_a_password_opens_the_server(own_redis: OwnRedis) -> None:
    """Any characters, as they are written in a URL."""
    await enter(own_redis(password=SECRET).url)


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("", "HELLO must be called|Authentication required|NOAUTH"),
        (":wr0ng@", "WRONGPASS|invalid username-password"),
    ],
)
async def test_a_wrong_password_is_refused(
    own_redis: OwnRedis, user: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The error names the remedy; neither it nor the log has the password."""
    engine = own_redis(password=SECRET)
    with pytest.raises(
        EngineRefused, match=f"({reason}).*give the right user and password"
    ) as caught:
        await enter(f"redis://{user}127.0.0.1:{engine.port}/0")
    assert "wr0ng" not in f"{caught.value}{caplog.text}"


async def test_tls_trusts_whom_it_is_told_to(own_redis: OwnRedis) -> None:
    """Its authority, and no other; and it is TLS on both sides or none."""
    engine = own_redis("redis", tls=True)
    assert engine.certificates is not None
    await enter(engine.url, ssl=engine.certificates.client())
    with pytest.raises(EngineRefused, match=r"certificate verify failed.*ssl="):
        await enter(engine.url)
    with pytest.raises(EngineUnavailable):
        await without_waiting(engine.url.replace("rediss://", "redis://"))


@ASYNCIO
async def test_a_name_that_the_certificate_has_not_is_refused(own_redis: OwnRedis) -> None:
    """The name in the URL is looked for in the certificate."""
    engine = own_redis("redis", tls=True, config={"bind": "127.0.0.1 127.0.0.2"})
    assert engine.certificates is not None
    with pytest.raises(EngineRefused, match="certificate verify failed"):
        await enter(f"rediss://127.0.0.2:{engine.port}/0", ssl=engine.certificates.client())


async def without_waiting(url: str) -> None:
    async with RedisTransport(url, connect_timeout=0, request_timeout=0.5):
        pytest.fail("it should not work")


@ASYNCIO
async def test_a_replica_is_refused(own_redis: OwnRedis) -> None:
    """It takes no messages, and may be behind."""
    replica = own_redis(replica_of=own_redis())
    with pytest.raises(EngineRefused, match=r"replica.*connect to its primary"):
        await enter(replica.url)


@ASYNCIO
async def test_a_primary_that_becomes_a_replica_fails_to_publish(
    own_redis: OwnRedis, namespace: str
) -> None:
    """Until it is a primary again; health tells."""
    engine, primary = own_redis(), own_redis()
    async with RedisTransport(engine.url, namespace=namespace, publish_timeout=1.5) as transport:
        await publish(transport, [1])
        engine.command("REPLICAOF", "127.0.0.1", str(primary.port))
        with pytest.raises(PublishFailed, match="replica"):
            await publish(transport, [2])
        await until(lambda: "master_link_status:up" in engine.command("INFO", "replication"))
        health = await transport.health()
        engine.command("REPLICAOF", "NO", "ONE")
        await publish(transport, [3])
    assert "connect to its primary" in health.detail


@ASYNCIO
@pytest.mark.parametrize(
    "rights",
    [
        ("~{ssekit:*", "+@all", "-evalsha"),
        ("~{ssekit:*", "+@all", "-xread"),
        ("~{ssekit:*", "+@all", "-info"),
        ("~other:*", "+@all"),
    ],
)
async def test_a_user_without_rights_is_refused(
    own_redis: OwnRedis, rights: tuple[str, ...]
) -> None:
    """When it enters, with what the server says."""
    engine = own_redis()
    engine.command("ACL", "SETUSER", "app", "on", ">pw", *rights)
    with pytest.raises(EngineRefused, match=r"permission.*~{ssekit:\* .*\+evalsha"):
        await enter(f"redis://app:pw@127.0.0.1:{engine.port}/0")


@ASYNCIO
async def test_a_user_who_may_not_append_fails_to_publish(own_redis: OwnRedis) -> None:
    """What only a publication needs shows then, by name."""
    engine = own_redis()
    engine.command("ACL", "SETUSER", "app", "on", ">pw", "~{ssekit:*", "+@all", "-xadd")
    with pytest.raises(PublishFailed, match="xadd"):
        await enter(f"redis://app:pw@127.0.0.1:{engine.port}/0", publish_timeout=1.5)


@ASYNCIO
async def test_without_its_key_nothing_is_stored(own_redis: OwnRedis) -> None:
    """Else each time that it is tried again would append it again."""
    engine = own_redis()
    engine.command("ACL", "SETUSER", "app", "on", ">pw", "~{ssekit:*", "+@all", "-set")
    url = f"redis://app:pw@127.0.0.1:{engine.port}/0"
    with pytest.raises(PublishFailed, match="'set'"):
        await enter(url, namespace="here", publish_timeout=1.0)
    assert engine.command("XLEN", key("here", "log")) == "0"


@ASYNCIO
async def test_a_key_without_a_place_is_unknown(redis_engine: Reachable, namespace: str) -> None:
    """As the script leaves it if it fails between the two, or others write it."""
    async with RedisTransport(redis_engine.url, namespace=namespace) as transport:
        for number, text in enumerate(("", "nonsense"), 1):
            command(redis_engine, "SET", key(namespace, f"k:{number}"), text)
            published = await transport.publish(numbered(number, key=f"{number}"))
            assert (published.position.offset, published.duplicate) == (number, False)


@ASYNCIO
async def test_the_number_of_a_database_separates(own_redis: OwnRedis, namespace: str) -> None:
    """Two databases of one server have two logs; one that is not there is refused."""
    engine = own_redis()
    for number in ("0", "3"):
        async with RedisTransport(f"{engine.url[:-1]}{number}", namespace=namespace) as transport:
            assert (await publish(transport, [1]))[0].offset == 1
    with pytest.raises(EngineRefused, match=r"DB index.*choose a database"):
        await enter(f"{engine.url[:-1]}99")


async def test_a_unix_socket_is_as_good(own_redis: OwnRedis, tmp_path: Path) -> None:
    """With its path in the URL, and the database as ``?db=``."""
    path = tmp_path / "a socket"
    engine = own_redis(config={"unixsocket": str(path)})
    await enter(f"unix://{str(path).replace(' ', '%20')}?db=2", namespace="here")
    engine.command("SWAPDB", "0", "2")
    assert engine.command("EXISTS", key("here", "log")) == "1"


def in_a_cluster() -> list[dict[str, str]]:
    return [{"cluster-enabled": "yes", "cluster-port": str(free_port())} for _ in range(2)]


def is_up(node: RedisEngine) -> bool:
    return "cluster_state:ok" in node.command("CLUSTER", "INFO")


@ASYNCIO
async def test_a_node_of_a_cluster_serves_its_slots(own_redis: OwnRedis, namespace: str) -> None:
    """All keys of a namespace are in one slot; another node is named by the refusal."""
    one, two = (own_redis(config=config) for config in in_a_cluster())
    slot = int(one.command("CLUSTER", "KEYSLOT", key(namespace, "log")))
    here, there = (one, two) if slot < 8192 else (two, one)
    one.command("CLUSTER", "ADDSLOTSRANGE", "0", "8191")
    two.command("CLUSTER", "ADDSLOTSRANGE", "8192", "16383")
    one.command("CLUSTER", "MEET", "127.0.0.1", str(two.port), two.config["cluster-port"])
    for node in (one, two):
        await until(partial(is_up, node))
    await enter(here.url, namespace=namespace)
    with pytest.raises(EngineRefused, match=f"{here.port}.*connect to the node"):
        await enter(there.url, namespace=namespace)


@ASYNCIO
async def test_a_server_that_takes_less_is_refused(own_redis: OwnRedis) -> None:
    """The largest payload is one that the server takes, or entering says what to set."""
    engine = own_redis(config={"proto-max-bulk-len": "1mb"})
    with pytest.raises(EngineRefused, match=r"proto-max-bulk-len.*max_payload=1048576"):
        await enter(engine.url)
    await enter(engine.url, max_payload=1_048_576)


@ASYNCIO
async def test_a_server_without_hello_is_refused(own_redis: OwnRedis) -> None:
    """The client speaks RESP3 alone."""
    engine = own_redis(config={"rename-command HELLO": "GONE"})
    with pytest.raises(EngineRefused, match=r"unknown command.*Redis from 7.0"):
        await enter(engine.url)


INFO = b"# Server\r\nredis_version:%s\r\nrun_id:%s\r\nrole:master\r\nmaster_replid:5e\r\n"


@pytest.mark.parametrize(
    ("version", "run_id", "message"),
    [
        (b"6.2.14", b"1f", r"Redis 6\.2\.14.*use Redis 7\.0 or newer, or Valkey 7\.2"),
        (b"", b"1f", r"use Redis 7\.0 or newer"),
        (b"7.0.0", b"", "hides run_id"),
    ],
)
def test_a_server_that_tells_too_little_is_refused(
    version: bytes, run_id: bytes, message: str
) -> None:
    """Too old, or without what a lost tail is seen by."""
    with pytest.raises(EngineRefused, match=message):
        Server.parse(INFO % (version, run_id)).check("here")


@pytest.mark.parametrize("version", [b"7.0.0", b"7.2.4", b"10.0.1", b"8.0"])
def test_a_new_server_is_taken(version: bytes) -> None:
    """Versions compare by number."""
    Server.parse(INFO % (version, b"1f")).check("here")


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "redis://host:port",
        "redis://host:99999",
        "redis://[::1",
        "redis://:s3cret@host/zero",
        "redis://:s3cret@host/0/1",
        "redis://:s3cret@host/0?db=1",
        "redis://:s3cret@host/0?timeout=1",
        "redis://:s3cret@host/0?password=s3cret",
        "redis://:s3cret@host/0#s3cret",
        "redis://:s3cret@host/-1",
        "unix://host/path",
        "unix://",
    ],
)
def test_a_url_that_is_not_understood_is_refused(url: str) -> None:
    """Nothing in it is passed over, and its secrets are not shown."""
    with pytest.raises(InvalidSetting, match="write redis://") as caught:
        RedisTransport(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", ("localhost", 6379, None, 0, None, None)),
        ("valkey://host:1/5", ("host", 1, None, 5, None, None)),
        ("redis://u%40:p%25@[::1]:7/", ("::1", 7, None, 0, "u@", "p%")),
        ("REDIS://:p@Host?db=3", ("host", 6379, None, 3, None, "p")),
        ("unix:///run/a%20b?db=1", ("localhost", 6379, "/run/a b", 1, None, None)),
    ],
)
def test_a_url_says_where(url: str, expected: tuple[object, ...]) -> None:
    """What it leaves out is as usual."""
    place = Place.parse(url)
    found = (place.host, place.port, place.path, place.database, place.username, place.password)
    assert found == expected
    assert place.tls is None


def test_tls_is_as_strict_as_the_system() -> None:
    """Names are checked, and certificates must be there."""
    place = Place.parse("rediss://host")
    assert place.tls is not None
    assert place.tls.check_hostname
    assert place.tls.verify_mode is ssl.CERT_REQUIRED
    with pytest.raises(InvalidSetting, match="is without TLS: write rediss://"):
        RedisTransport("redis://host", ssl=ssl.create_default_context())


def test_without_its_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the module is imported."""
    monkeypatch.setitem(sys.modules, "coredis.connection", None)
    monkeypatch.delitem(sys.modules, "sse_kit.transports.redis_connections")
    with pytest.raises(MissingExtra, match=re.escape("pip install 'sse-kit[redis]'")):
        importlib.import_module("sse_kit.transports.redis_connections")


@pytest.mark.parametrize("seconds", [1e-6, 1e10, 1e300])
def test_a_window_that_no_server_takes_is_no_setting(seconds: float) -> None:
    """A key expires after whole milliseconds, and not beyond the end of its calendar."""
    with pytest.raises(InvalidSetting, match="dedup_window"):
        RedisTransport("redis://host", dedup_window=seconds, publish_timeout=1e-7)


@pytest.mark.parametrize("size", [0, -1, 512 * 1024 * 1024 + 1])
def test_a_payload_that_no_server_takes_is_no_setting(size: int) -> None:
    """From one byte to 512 MiB."""
    with pytest.raises(InvalidSetting, match="max_payload"):
        RedisTransport("redis://host", max_payload=size)
