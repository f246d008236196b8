"""What all tests share: the event loops, and how much Hypothesis tries.

``SSE_KIT_HYPOTHESIS_PROFILE`` names the profile: ``dev``, ``ci`` (what CI takes by itself) or
``nightly``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["sse_kit.testing.engines.plugin"]

IN_CI = bool(os.environ.get("CI"))

settings.register_profile("dev", deadline=None)
settings.register_profile(
    "ci",
    deadline=None,
    print_blob=True,
    database=None,
    # Machines of CI share their cores.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("nightly", settings.get_profile("ci"), max_examples=10_000)
settings.load_profile(os.environ.get("SSE_KIT_HYPOTHESIS_PROFILE", "ci" if IN_CI else "dev"))


# Of the module, not of the function: Hypothesis runs many examples in one call of a test.
@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on both event loops."""
    name: str = request.param
    return name


ENGINES = ("redis", "nats", "postgres", "sqlite")
REAL = (
    *("browser", "servers", "demo", "monitor", "page", "chaos", "engines"),
    *(f"transports/{engine}" for engine in ENGINES),
)
"""Folders whose tests run real browsers, servers, engines and Node beside each other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a test of those a second time in CI, and say so: one stall of a shared core is no fault.

    Nothing else is: a property that fails once has found something.
    """
    if not IN_CI:
        return
    tests = Path(__file__).parent
    for item in items:
        folder = item.path.parent.relative_to(tests)
        if any(folder.is_relative_to(real) for real in REAL):
            item.add_marker(pytest.mark.flaky(reruns=1))
