"""Several addresses: one that is silent, or no primary, keeps nobody from the next one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import pytest

from sse_kit.errors import EngineUnavailable
from sse_kit.testing import FaultProxy
from sse_kit.transports.postgres import PostgresTransport
from sse_kit.transports.postgres_places import Place, Places
from tests.transports.postgres.tools import PATIENCE, entered, numbered, publish_all, tail_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sse_kit.testing.engines import PostgresEngine
    from sse_kit.testing.engines.plugin import OwnPostgres

pytestmark = pytest.mark.anyio


def both(*urls: str) -> str:
    """Return one URL with the hosts of all."""
    hosts = ",".join(urlsplit(url).netloc.rpartition("@")[2] for url in urls)
    return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"


@contextmanager
def silent(url: str) -> Iterator[FaultProxy]:
    """Return an address that takes connections, and never answers on them."""
    with FaultProxy(url) as proxy:
        proxy.swallow()
        yield proxy


@pytest.mark.parametrize("connect_timeout", [0.0, 5.0])
async def test_behind_a_silent_host_the_next_one_is_reached(
    url: str, namespace: str, connect_timeout: float
) -> None:
    """At the first attempt: by setting up, and by entering, which is over in its time."""
    with silent(url) as hole, anyio.fail_after(PATIENCE):
        transport = PostgresTransport(
            both(hole.url, url), namespace=namespace, connect_timeout=connect_timeout
        )
        await transport.setup()
        async with transport:
            assert (await transport.publish(numbered(1))).position.offset == 1


async def test_a_primary_that_falls_silent_is_left_for_the_next_one(
    url: str, namespace: str
) -> None:
    """Publishes and a tail go on there, within the time of a publish."""
    with FaultProxy(url) as first:
        several = both(first.url, url)
        async with (
            entered(several, namespace=namespace, request_timeout=1.0) as transport,
            tail_of(transport) as tail,
        ):
            await publish_all(transport, [1])
            first.swallow()
            await publish_all(transport, [2, 3])
            assert [int((await tail.record()).payload) for _ in range(3)] == [1, 2, 3]
            assert (await transport.health()).status == "ok"


async def test_behind_several_silent_hosts_each_attempt_comes_further(
    url: str, namespace: str
) -> None:
    """What failed is tried last, so the fourth host is reached too."""
    with silent(url) as one, silent(url) as two, silent(url) as three:
        several = both(one.url, two.url, three.url, url)
        transport = PostgresTransport(
            several, namespace=namespace, request_timeout=0.6, connect_timeout=PATIENCE
        )
        with anyio.fail_after(PATIENCE):
            async with transport:
                assert (await transport.publish(numbered(1))).position.offset == 1


async def test_a_name_of_several_addresses_is_each_of_them() -> None:
    """One that failed is tried last; a name that is not known is left to libpq to complain of."""
    places = Places({"host": "127.0.0.1,localhost", "port": "1"})
    first, *rest = await places.in_order()
    assert first == Place("127.0.0.1", "127.0.0.1", "1")
    assert "127.0.0.1" in {place.hostaddr for place in rest}
    places.failed(first)
    assert await places.in_order() == [*rest, first]
    unknown = Place("name.invalid", "", "")
    assert await Places({"host": "name.invalid"}).in_order() == [unknown]


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({}, [":5432"]),
        ({"host": "/run/a,@b", "port": "1"}, ["/run/a:1", "@b:1"]),
        ({"hostaddr": "::1,127.0.0.1", "port": "1,2"}, ["::1:1", "127.0.0.1:2"]),
        ({"host": "a,b", "hostaddr": "::1,::2"}, ["a:5432", "b:5432"]),
        ({"host": "/a,/b", "port": "1,2,3"}, ["/a,/b:1,2,3"]),
    ],
    ids=str,
)
async def test_hosts_and_ports_are_paired_as_libpq_does(
    known: dict[str, str], expected: list[str]
) -> None:
    """What does not fit is left as it is: libpq says what is wrong with it."""
    assert [str(place) for place in await Places(known).in_order()] == expected


async def test_hosts_may_come_from_the_environment(
    url: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libpq's own variables name several hosts too."""
    with silent(url) as hole:
        monkeypatch.setenv("PGHOST", "127.0.0.1,127.0.0.1")
        monkeypatch.setenv("PGPORT", f"{hole.port},{urlsplit(url).port}")
        async with entered("user=postgres dbname=postgres", namespace=namespace) as transport:
            assert (await transport.publish(numbered(1))).position.offset == 1


@pytest.mark.parametrize("attributes", ["", "?target_session_attrs=read-write"])
async def test_a_standby_that_may_be_promoted_is_waited_for(
    mortal: PostgresEngine, own_postgres: OwnPostgres, namespace: str, attributes: str
) -> None:
    """Where several hosts are named; if none is, in the end, the error has the remedy."""
    standby = own_postgres(standby_of=mortal)
    several = both(mortal.url, standby.url).partition("?")[0] + attributes
    mortal.kill()
    impatient = PostgresTransport(several, namespace=namespace, connect_timeout=0)
    patient = PostgresTransport(several, namespace=namespace, connect_timeout=None)
    with anyio.fail_after(PATIENCE):
        with pytest.raises(EngineUnavailable, match="address of the primary"):
            async with impatient:
                pytest.fail("there is no primary")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, standby.promote)
            async with patient:
                assert (await patient.publish(numbered(1))).position.offset == 1


async def test_a_standby_that_is_named_first_is_passed_over(
    mortal: PostgresEngine, own_postgres: OwnPostgres, namespace: str
) -> None:
    """Also when the URL does not ask for a primary."""
    standby = own_postgres(standby_of=mortal)
    several = both(standby.url, mortal.url).partition("?")[0]
    async with entered(several, namespace=namespace, schema="sse_kit") as transport:
        assert (await transport.publish(numbered(1))).position.offset == 1
