"""Through a real PgBouncer in transaction mode, which gives each statement any connection."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import psycopg
import pytest

from sse_kit.errors import EngineRefused, EngineUnavailable
from sse_kit.testing.engines.base import own
from sse_kit.testing.engines.nobody import identity_for
from sse_kit.testing.engines.processes import Family, wait_until
from sse_kit.testing.ports import HOST, free_port
from sse_kit.testing.suite import fresh_namespace
from sse_kit.transports.postgres import PostgresTransport
from tests.support import absent
from tests.transports.postgres.tools import (
    PATIENCE,
    publish_all,
    role_url,
    run_sql,
    tail_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sse_kit.transports.postgres_settings import PostgresOptions

pytestmark = pytest.mark.anyio

PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin"
ROLE = fresh_namespace()
CONFIG = """
[databases]
* = host={host} port={server}
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = users
pool_mode = transaction
default_pool_size = 2
"""


@pytest.fixture
def pooled(url: str) -> Iterator[str]:
    """Return the URL that leads through the pooler: two connections for everybody."""
    program = shutil.which("pgbouncer", path=PATH)
    if program is None:
        absent("pgbouncer", "apt-get install pgbouncer")
    folder = Path(tempfile.mkdtemp(prefix="sse-kit-pgbouncer-"))
    identity = identity_for(Path(program), folder)
    port, server = free_port(), urlsplit(url).port
    (folder / "users").write_text(f'"postgres" ""\n"{ROLE}" ""\n')
    (folder / "ini").write_text(CONFIG.format(host=HOST, server=server, port=port))
    own(folder, identity)
    process = Family(identity, [program, "ini"], folder / "log", folder)
    through = url.replace(f":{server}/", f":{port}/")
    try:
        assert wait_until(lambda: answers(through), PATIENCE), (folder / "log").read_text()
        yield through
    finally:
        process.kill()
        shutil.rmtree(folder)


def answers(url: str) -> bool:
    try:
        return run_sql(url, "SELECT 1") == [(1,)]
    except psycopg.OperationalError:
        return False


@pytest.mark.parametrize("direct", [True, False])
async def test_a_pooler_is_no_hindrance(
    pooled: str, url: str, namespace: str, *, direct: bool
) -> None:
    """With ``listen_dsn`` past it, or without NOTIFY: eight processes on two connections."""
    how: PostgresOptions = {"namespace": namespace, "pooled": True}
    if direct:
        how["listen_dsn"] = url
    else:
        how["notify"] = False
    async with (
        PostgresTransport(pooled, **how) as transport,
        tail_of(transport) as tail,
        anyio.create_task_group() as tasks,
    ):
        for _ in range(7):
            tasks.start_soon(work, pooled, how)
        await publish_all(transport, range(40))
        records = [await tail.record() for _ in range(40)]
    assert sorted(int(record.payload) for record in records) == list(range(40))
    assert [record.position.offset for record in records] == list(range(1, 41))


async def work(url: str, how: PostgresOptions) -> None:
    async with PostgresTransport(url, **how) as transport:
        await publish_all(transport, range(40))
        assert len((await transport.read(0, limit=10)).records) == 10


async def test_a_pooler_that_nobody_named_breaks_prepared_statements(
    pooled: str, url: str, namespace: str
) -> None:
    """The naive way: what one connection prepared, another one does not have, or has twice."""
    told: list[str] = []

    async def ask() -> None:
        how: PostgresOptions = {"namespace": namespace, "listen_dsn": url, "connect_timeout": 0.2}
        try:
            async with PostgresTransport(pooled, **how) as transport:
                told.extend([(await transport.health()).detail for _ in range(20)])
        except EngineUnavailable as error:
            told.append(str(error))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(ask)
    assert any("prepared statement" in each for each in told)


async def test_what_a_pooler_would_keep_is_not_set(pooled: str, url: str) -> None:
    """A setting would be left to others: so a role that needs one is refused, with the remedy."""
    own_url = role_url(url, ROLE).replace(str(urlsplit(url).port), str(urlsplit(pooled).port))
    run_sql(url, "ALTER ROLE {r} SET default_transaction_isolation = serializable", r=ROLE)
    transport = PostgresTransport(own_url, pooled=True, notify=False)
    with pytest.raises(EngineRefused, match=r"serializable.*'read committed'"):
        async with transport:
            pytest.fail("it should be refused")
