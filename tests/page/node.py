"""The runtime under Node: its own tests are JavaScript, with Node's runner."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.npm import program

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / "sse_kit" / "templates" / "runtime"
HERE = Path(__file__).resolve().parent


def node(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Node to its end."""
    return subprocess.run(
        [program("node"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"NODE_NO_WARNINGS": "1", **environment},
        timeout=120,
    )
