"""The splice of replay and live, in random worlds: promise 1 of the design."""

from __future__ import annotations

import os

import pytest

from tests.two_hubs import run_world

pytestmark = pytest.mark.anyio

SEEDS = int(os.environ.get("SSE_KIT_SEEDS", "40"))


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_every_client_sees_the_log_exactly(seed: int) -> None:
    """Each client gets every record of its topics once, in order, or is told of a true gap."""
    assert await run_world(seed) > 0
