"""Passwords, TLS, and as whom PostgreSQL is run."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from sse_kit.testing.engines import (
    Certificates,
    Engine,
    EngineAbsent,
    PostgresEngine,
    RedisEngine,
    RedisRefused,
)
from sse_kit.testing.engines.nobody import INSIDE
from sse_kit.testing.engines.processes import MYSELF

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sse_kit.testing.engines.plugin import OwnNats, OwnPostgres, OwnRedis

SECRET = "p@ss: w/ord"  # noqa: S105  it means something in a URL
ROOT = pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 1)() != 0, reason="only root cannot run PostgreSQL"
)


def test_without_its_password_an_engine_refuses(own_redis: OwnRedis) -> None:
    """Who has it is let in; the URL has it in its escaped form."""
    engine = own_redis(password=SECRET)
    assert engine.command("PING") == "PONG"
    assert ":p%40ss%3A%20w%2Ford@" in engine.url
    engine.password = None
    with pytest.raises(RedisRefused, match="'PING' was refused: NOAUTH"):
        engine.command("PING")


def test_tls_is_proved_by_the_engine_s_own_authority(own_redis: OwnRedis, tmp_path: Path) -> None:
    """A client that trusts another one is not fooled, one without TLS gets nothing."""
    engine = own_redis("redis", tls=True)
    assert engine.certificates
    assert engine.url.startswith("rediss://")
    assert engine.command("PING") == "PONG"
    other = Certificates.make(tmp_path).client()
    with (
        socket.create_connection(("127.0.0.1", engine.port)) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        other.wrap_socket(plain, server_hostname="127.0.0.1")


def test_nats_and_postgres_have_tls_too(own_nats: OwnNats, own_postgres: OwnPostgres) -> None:
    """NATS says so in its first line; libpq verifies the server in full, and has the password."""
    nats = own_nats(tls=True, password=SECRET)
    assert nats.url.startswith("tls://")
    with socket.create_connection(("127.0.0.1", nats.port)) as plain:
        assert b'"tls_required":true' in plain.recv(4096)
    postgres = own_postgres("system", tls=True, password=SECRET)
    assert postgres.sql("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == "t"


@pytest.mark.parametrize("make", [RedisEngine, PostgresEngine])
def test_a_program_without_tls_says_what_to_use(make: Callable[..., Engine]) -> None:
    """Those of the wheels were built without."""
    engine = make(tls=True)
    with pytest.raises(EngineAbsent, match=r"TLS in .* is absent: use \w+Engine\("):
        engine.start()
    engine.close()


@ROOT
def test_root_runs_postgres_in_a_namespace_where_nobody_cannot_go(
    own_postgres: OwnPostgres, tmp_path: Path
) -> None:
    """There it is nobody inside and root outside, so that it reaches what root reaches."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    engine = own_postgres("16", folder=private / "engine")
    engine.sql("CREATE TABLE numbers ()")
    assert engine.data.stat().st_uid == 0
    engine.kill()
    engine.start()
    assert engine.sql("SELECT count(*) FROM numbers") == "0"


def test_who_is_not_root_runs_postgres_as_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is before the command, nobody is asked for."""
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    engine = PostgresEngine(folder=tmp_path)
    assert engine._identity == MYSELF  # noqa: SLF001
    assert INSIDE.prefix[0] == "unshare"
