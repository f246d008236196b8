"""Every block of the page about Redis works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sse_kit.transports.redis import RedisSettings, RedisTransport
from sse_kit.transports.redis_connections import RIGHTS
from tests.transports.redis.tools import ASYNCIO
from tests.transports.tools import publish

if TYPE_CHECKING:
    from sse_kit.testing.engines import Reachable
    from sse_kit.testing.engines.plugin import OwnRedis

PAGE = Path(__file__).resolve().parents[3] / "docs" / "transports" / "redis.md"
TEXT = PAGE.read_text()
BLOCKS = {
    language: re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for language in ("python", "conf", "redis")
}


@pytest.mark.parametrize("block", BLOCKS["python"], ids=range(len(BLOCKS["python"])))
def test_a_python_block_runs(
    block: str, redis_engine: Reachable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each stands alone, beside a server."""
    monkeypatch.setenv("REDIS_URL", redis_engine.url)
    exec(compile(block, str(PAGE), "exec"), {"__name__": "page"})  # noqa: S102


@ASYNCIO
@pytest.mark.anyio
async def test_the_server_takes_what_is_to_be_set(own_redis: OwnRedis) -> None:
    """Its settings, and the user who needs no other command."""
    (settings,), (user,) = BLOCKS["conf"], BLOCKS["redis"]
    engine = own_redis(config=dict(line.split() for line in settings.splitlines()))
    engine.command(*user.split())
    async with RedisTransport(f"redis://app:secret@127.0.0.1:{engine.port}/0") as transport:
        await publish(transport, [1])
        await transport.beat("node", {}, lease=1.0)
        await transport.leave("node")


def test_a_refusal_names_what_the_page_gives_a_user() -> None:
    """Nobody who installs it has the page: the same keys, and the same commands."""
    (user,) = BLOCKS["redis"]
    assert user == f"ACL SETUSER app on >secret {RIGHTS}\n"


def test_every_setting_is_told() -> None:
    """And no other one."""
    table = TEXT.partition("## Settings")[2].partition("## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(
        RedisSettings.model_fields
    )
