"""Plant one fault in a module, run tests on it in a process of their own, see whether they notice.

Nothing on disk changes: an import hook gives the module its faulty source. As a program, this file
is that process: it reads the source from its standard input, and its arguments are the name of the
module and the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 120.0
"""Seconds; a fault that makes tests wait for ever is not one that they notice."""

PROFILE = "mutants"
"""Few examples of Hypothesis, always the same ones, none of which is minimised or kept."""


@dataclass(frozen=True)
class Mutant:
    """A fault: in the source of ``module``, ``old`` becomes ``new``.

    ``old`` occurs exactly once; ``tests`` are the node ids (relative to the root of the project)
    of which one at least must fail.
    """

    name: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def source(self) -> str:
        """The faulty source.

        Raises:
            ValueError: ``old`` does not occur exactly once.

        """
        sound = source_of(self.module)
        if (found := sound.count(self.old)) != 1:
            message = f"mutant {self.name!r}: {self.old!r} is {found} times in {self.module}"
            raise ValueError(message)
        return sound.replace(self.old, self.new)


@dataclass(frozen=True)
class Verdict:
    """How the tests ended: pytest's exit code, and what it printed."""

    code: int
    output: str

    @property
    def noticed(self) -> bool:
        """Whether tests ran and failed; a fault that only breaks the import is a bad mutant."""
        return self.code == pytest.ExitCode.TESTS_FAILED

    @property
    def passed(self) -> bool:
        """Whether tests ran and passed."""
        return self.code == pytest.ExitCode.OK


def source_of(module: str) -> str:
    """Return the sound source of ``module``."""
    return ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text()


def run(module: str, source: str, tests: Iterable[str]) -> Verdict:
    """Run ``tests`` where ``module`` has ``source``.

    Raises:
        subprocess.TimeoutExpired: they did not end; the process was killed.

    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutants.mutation", module, *tests],
        cwd=ROOT,
        env={**os.environ, "SSE_KIT_HYPOTHESIS_PROFILE": PROFILE},
        input=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return Verdict(done.returncode, done.stdout)


class _FaultyLoader(SourceFileLoader):
    """Loads a module from another source than its file's, and writes no bytecode."""

    def __init__(self, module: str, path: str, source: str) -> None:
        super().__init__(module, path)
        self.source = source

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = compile(
            self.source, self.get_filename(fullname), "exec", dont_inherit=True
        )
        return code


class _Planter(MetaPathFinder):
    """Finds one module, with a source of its own."""

    def __init__(self, module: str, source: str) -> None:
        self.module = module
        self.source = source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname == self.module else None
        if spec is not None and spec.origin is not None:
            spec.loader = _FaultyLoader(fullname, spec.origin, self.source)
        return spec


class _Profile:
    """Makes the profile known before the conftest loads it."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self) -> None:
        from hypothesis import Phase, settings  # noqa: PLC0415  pytest has to know of it first

        settings.register_profile(
            PROFILE,
            deadline=None,
            database=None,
            derandomize=True,
            max_examples=30,
            phases=(Phase.explicit, Phase.generate),
        )


def main(module: str, *tests: str) -> int:
    """Plant the source that stands on standard input, run pytest, return its exit code."""
    sys.meta_path.insert(0, _Planter(module, sys.stdin.read()))
    options = ("-q", "-x", "-p", "no:cacheprovider", "--no-header", "--tb=short")
    return pytest.main([*options, *tests], plugins=[_Profile()])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
