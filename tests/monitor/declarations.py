"""TypeScript of a snapshot, made of its models: ``python -m tests.monitor.declarations``."""

from __future__ import annotations

from pathlib import Path

from sse_kit.monitor.models import History, Snapshot
from tests.page.declarations import interfaces

FILE = Path(__file__).parents[2] / "sse_kit" / "monitor" / "static" / "models.d.ts"

HEAD = """\
// Made of the models in ../models.py, which say what each field means.
"""


def declarations() -> str:
    """Return ``models.d.ts``."""
    return HEAD + interfaces(Snapshot, History)


if __name__ == "__main__":
    FILE.write_text(declarations())
