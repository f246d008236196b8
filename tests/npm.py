"""Packages of npm for tests: each in a folder of its own in the user's cache, installed once."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support import absent

TYPESCRIPT = "typescript@5.9.3"


def program(name: str) -> str:
    """Return the path of ``node`` or ``npm``; without it the test is skipped."""
    debian = {"node": "nodejs", "npm": "npm"}[name]
    return shutil.which(name) or absent(name, f"install it (Debian: apt-get install {debian})")


def package(spec: str) -> Path:
    """Return the folder of the package that ``spec`` names: ``htmx.org@2.0.11``.

    An exact version is what makes the cache good for ever.
    """
    name, _, version = spec.rpartition("@")
    home = _cache() / f"{name.replace('/', '+')}@{version}"
    if not home.exists():
        _install(spec, home)
    return home / "node_modules" / name


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sse_kit-tests"


def _install(spec: str, home: Path) -> None:
    """Install beside, then rename: a run that is cut off leaves nothing that looks whole."""
    npm = program("npm")
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        (Path(folder) / "package.json").write_text('{"private": true}\n')
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-bin-links", spec],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            absent(spec, f"npm install {spec} must work here, it said: {last}")
        if not home.exists():  # else another process was faster
            Path(folder).rename(home)
            Path(folder).mkdir()  # what the context manager removes
