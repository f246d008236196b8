"""Where and with what it was measured."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from benchmarks import foreign
from benchmarks.catalogue import PEERS


def facts() -> dict[str, str]:
    """Return what RESULTS.md says about the machine and the day."""
    load = os.getloadavg()[0]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "CPU": cpu_model(Path("/proc/cpuinfo").read_text()),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "load average at the start": f"{load:.2f}",
    }


def cpu_model(cpuinfo: str) -> str:
    """Return the name of the CPU."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1] if found else platform.machine()


def versions() -> dict[str, str]:
    """Return the version of everything that took part."""
    packages = sorted({package for peer in PEERS for package in peer.packages} | {"sse-kit"})
    return {**_installed(packages), **foreign.versions()}


def _installed(packages: list[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
