"""Any batches, in any order, against a model of a few lines."""

from __future__ import annotations

import anyio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sse_kit import Retention
from sse_kit.testing.suite import fresh_namespace
from sse_kit.transports.base import Publication
from sse_kit.transports.postgres import PostgresTransport

KEYS = st.one_of(st.none(), st.sampled_from("abcdefgh"))
BATCHES = st.lists(st.lists(KEYS, min_size=1, max_size=12), max_size=8)


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batches=BATCHES, keep=st.integers(1, 20))
def test_any_batches_are_stored_as_the_model_says(
    url: str, batches: list[list[str | None]], keep: int
) -> None:
    """Keys seen before, also in the same batch, give the first offset; the others have no hole."""
    known: dict[str, int] = {}
    stored: list[bytes] = []

    def expected(key: str | None, payload: bytes) -> tuple[int, bool]:
        if key in known:
            return known[key], True
        stored.append(payload)
        if key is not None:
            known[key] = len(stored)
        return len(stored), False

    async def run() -> None:
        retention = Retention(max_records=keep)
        async with PostgresTransport(url, namespace=fresh_namespace(), retention=retention) as log:
            for number, batch in enumerate(batches):
                sent = [Publication(("t",), b"%d %d" % (number, n), k) for n, k in enumerate(batch)]
                answers = [(a.position.offset, a.duplicate) for a in await log.append(sent)]
                assert answers == [expected(each.key, each.payload) for each in sent]
            page = await log.page(0, 1_000)
        assert page.bounds.last == len(stored)
        assert [r.payload for r in page.records] == stored[page.bounds.first - 1 :]
        assert len(page.records) >= min(keep, len(stored))

    anyio.run(run)
