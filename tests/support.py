"""What tests need beside pytest."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def absent(what: str, remedy: str) -> NoReturn:
    """Skip the test because ``what`` is absent; in CI nothing is, so there it fails.

    ``remedy`` completes "to run this test, …".
    """
    reason = f"{what} is absent: to run this test, {remedy}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
