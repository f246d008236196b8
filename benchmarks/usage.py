"""What a process and its children have used: CPU time to the nanosecond, and memory."""

from __future__ import annotations

import re
import time
from pathlib import Path

import psutil

SCHED = 2
"""``CPUCLOCK_SCHED``: with it, clock_getcpuclockid(3) makes a clock of a process id."""


class Usage:
    """Looks at the process ``pid`` and at the children that it has now."""

    def __init__(self, pid: int) -> None:
        children = psutil.Process(pid).children(recursive=True)
        self.pids = [pid, *(child.pid for child in children)]

    def cpu(self) -> float:
        """Return the seconds of CPU time, user and system, of all threads of all of them.

        /proc/PID/stat counts the same in steps of 10 ms, which is too coarse for a short run.
        """
        return sum(time.clock_gettime((~pid << 3) | SCHED) for pid in self.pids)

    def memory(self) -> int:
        """Return the bytes of memory in user space: the proportional set size."""
        return sum(_pss(Path(f"/proc/{pid}/smaps_rollup").read_text()) for pid in self.pids)


def _pss(smaps: str) -> int:
    found = re.search(r"^Pss:\s+(\d+) kB$", smaps, re.MULTILINE)
    if found is None:
        message = f"no line 'Pss:' in {smaps!r}: this kernel is too old"
        raise ValueError(message)
    return int(found[1]) * 1024
