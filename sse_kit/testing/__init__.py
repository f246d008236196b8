"""The public test kit: needs ``pip install 'sse-kit[testing]'``.

``TransportConformance`` proves a transport of yours, ``BROKEN`` proves that it does. ``ASGIProbe``
reads endless streams of an app in process, and never hangs. ``FaultProxy`` is a bad network,
``sse_kit.testing.engines`` has real servers to be killed. ``strategies`` draws values for
Hypothesis.
"""

from __future__ import annotations

from importlib import import_module

from sse_kit.errors import MissingExtra

for _package in ("hypothesis", "psutil", "pytest"):
    try:
        import_module(_package)
    except ImportError as error:
        raise MissingExtra(_package, "testing") from error

import pytest  # noqa: E402  it is there

_SUITES = ("suite", "suite_publish", "suite_tail", "suite_replay", "suite_presence")
pytest.register_assert_rewrite(*(f"{__name__}.{suite}" for suite in _SUITES))

# ruff: isort: split
from sse_kit.testing import strategies  # noqa: E402  and its asserts are told in full
from sse_kit.testing.asgi import ASGIProbe, ProbeStream  # noqa: E402
from sse_kit.testing.broken import BROKEN  # noqa: E402
from sse_kit.testing.broken_base import BrokenTransport  # noqa: E402
from sse_kit.testing.call import (  # noqa: E402
    AppStillRunning,
    NotStarted,
    ProbeError,
    Silence,
    StreamEnded,
    WrongMessage,
)
from sse_kit.testing.conformance import TransportConformance  # noqa: E402
from sse_kit.testing.proxy import FaultProxy  # noqa: E402

__all__ = (
    "BROKEN",
    "ASGIProbe",
    "AppStillRunning",
    "BrokenTransport",
    "FaultProxy",
    "NotStarted",
    "ProbeError",
    "ProbeStream",
    "Silence",
    "StreamEnded",
    "TransportConformance",
    "WrongMessage",
    "strategies",
)
