"""As whom PostgreSQL is run, which refuses root."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from sse_kit.testing.engines.errors import EngineAbsent
from sse_kit.testing.engines.processes import MYSELF, Identity, run

if TYPE_CHECKING:
    from pathlib import Path

NOBODY = 65_534
AS_NOBODY = Identity(user=NOBODY)
INSIDE = Identity(("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"))
"""Root outside, nobody inside: reads what root can read."""


def identity_for(program: Path, folder: Path) -> Identity:
    """Return as whom to run ``program`` on data in ``folder``.

    Raises:
        EngineAbsent: this is root, nobody cannot reach one of the two, and ``unshare`` fails.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return MYSELF
    if _can_run(AS_NOBODY, program) and _can_enter(folder):
        return AS_NOBODY
    if shutil.which("unshare") and _can_run(INSIDE, program):
        return INSIDE
    what = f"a way to run {program} in {folder} as somebody who is not root"
    remedy = "let everybody enter the folders above both, or run the tests as another user"
    raise EngineAbsent(what, remedy)


def _can_run(identity: Identity, program: Path) -> bool:
    try:
        return run(identity, str(program), "--version").returncode == 0
    except OSError:
        return False


def _can_enter(folder: Path) -> bool:
    """Tell whether nobody reaches ``folder``, which will be its own."""
    return all(above.stat().st_mode & 0o001 for above in folder.resolve().parents)
