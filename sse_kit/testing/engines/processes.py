"""A server's processes, killed, frozen and waited for as one."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

TICK = 0.005
"""Seconds between two looks at another process: nothing tells us."""

Run: TypeAlias = "subprocess.CompletedProcess[str]"


@dataclass(frozen=True)
class Identity:
    """As whom a program is run: ``prefix`` before its command, ``user`` as number or None."""

    prefix: tuple[str, ...] = ()
    user: int | None = None


MYSELF = Identity()


def run(identity: Identity, *command: str, cwd: Path | None = None) -> Run:
    """Run a program to its end, at most a minute, and return what it wrote."""
    return subprocess.run(  # noqa: S603  the caller's own program
        [*identity.prefix, *command],
        check=False,
        capture_output=True,
        cwd=cwd,
        env=environment(),
        text=True,
        timeout=60,
        user=identity.user,
        group=identity.user,
        extra_groups=None if identity.user is None else [],
    )


def environment() -> dict[str, str]:
    """Return this environment without what would turn an engine's programs elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    kept.pop("HOME", None)  # of somebody else, if it is run as nobody
    return {**kept, "LC_ALL": "C"}


def wait_until(happened: Callable[[], bool], seconds: float) -> bool:
    """Look until it happened; return whether it did in time."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(TICK)
    return True


class Family:
    """A process with all its descendants, also those in sessions of their own, as PostgreSQL's.

    Everything is sent to the parent first: a parent that stands still has no more children.
    """

    def __init__(self, identity: Identity, command: Sequence[str], log: Path, cwd: Path) -> None:
        with log.open("ab") as output:
            self._parent = subprocess.Popen(  # noqa: S603  the caller's own program
                [*identity.prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=environment(),
                start_new_session=True,  # a Ctrl-C is for the tests alone
                user=identity.user,
                group=identity.user,
                extra_groups=None if identity.user is None else [],
            )

    @property
    def pid(self) -> int:
        """The number of the parent."""
        return self._parent.pid

    @property
    def exit_code(self) -> int | None:
        """How the parent ended; None: it runs."""
        return self._parent.poll()

    def signal(self, number: int) -> None:
        """Send a signal to the parent alone."""
        self._parent.send_signal(number)

    def ended(self, seconds: float) -> bool:
        """Wait for the parent's end; return whether it came in time."""
        try:
            self._parent.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def freeze(self) -> None:
        """Stop all of them where they are; they keep their sockets, and answer nobody."""
        for process in self._frozen_from_the_top():
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """Let all of them go on; the parent last."""
        for process in reversed(self._members()):
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def kill(self) -> None:
        """Kill -9 all of them, and return when none is left."""
        members = self._frozen_from_the_top()
        for process in members:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._parent.wait()
        wait_until(lambda: not any(map(_lives, members)), 10.0)

    def _frozen_from_the_top(self) -> list[psutil.Process]:
        """Freeze the parent, so that the list of the others is complete."""
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.pid)
            parent.suspend()
            wait_until(lambda: parent.status() != psutil.STATUS_RUNNING, 1.0)
        return self._members()

    def _members(self) -> list[psutil.Process]:
        try:
            parent = psutil.Process(self.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def _lives(process: psutil.Process) -> bool:
    """Tell whether it runs: what is dead and not yet waited for by init does not."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
