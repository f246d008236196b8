"""The parts of the runtime, each by tests of its own in JavaScript."""

from __future__ import annotations

import json

import pytest

from sse_kit.templates.client import ClientConfig
from tests.page.node import HERE, RUNTIME, node

SUITES = sorted(HERE.glob("*.test.mjs"))


@pytest.mark.parametrize("suite", SUITES, ids=lambda path: path.name)
def test_a_part_does_what_its_suite_says(suite: str) -> None:
    """Node's own runner finds no failure; the defaults are those of Python."""
    defaults = json.dumps(ClientConfig().model_dump(mode="json", by_alias=True))
    done = node(
        "--test",
        "--test-reporter=spec",
        suite,
        SSE_KIT_DEFAULTS=defaults,
        SSE_KIT_RUNTIME=RUNTIME.as_uri(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
