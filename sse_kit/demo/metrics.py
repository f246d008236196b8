"""The machine's own figures, by psutil (the extra ``cli``)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sse_kit.demo.models import Sample
from sse_kit.errors import MissingExtra

try:
    import psutil
except ImportError as error:  # pragma: no cover - the tests have it
    raise MissingExtra("psutil", "cli") from error

if TYPE_CHECKING:
    from collections.abc import Callable


class Meter:
    """Measures from one :meth:`sample` to the next; ``clock`` returns seconds, monotonic."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._cores = psutil.cpu_count() or 1
        psutil.cpu_percent()
        self._last = (self._clock(), *_traffic())

    def sample(self) -> Sample:
        """Return the present figures; load and traffic are means since the last sample."""
        memory = psutil.virtual_memory()
        before, self._last = self._last, (self._clock(), *_traffic())
        seconds, received, sent = (new - old for new, old in zip(self._last, before, strict=True))
        return Sample(
            cpu=psutil.cpu_percent(),
            cores=self._cores,
            memory=memory.percent,
            used=memory.total - memory.available,
            total=memory.total,
            received=max(received, 0) / max(seconds, 0.001),
            sent=max(sent, 0) / max(seconds, 0.001),
        )


def _traffic() -> tuple[int, int]:
    """Return bytes received and sent since boot; zeros on a machine without interfaces."""
    counters: Any = psutil.net_io_counters()  # the stubs know no None
    return (counters.bytes_recv, counters.bytes_sent) if counters else (0, 0)
