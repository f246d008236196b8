"""Plant one fault in a module, run tests on it, and see whether they notice.

Nothing on disk changes: an import hook gives the module its faulty source. Each run is a process of
its own, forked from one that has imported pytest and what else takes long; as a program, this file
is that process.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

import pytest
from hypothesis import HealthCheck, Phase, settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 240
"""Seconds; a fault that makes tests wait for ever is not one that they notice."""

SLOW = ("pydantic.json_schema", "anyio.pytest_plugin", "trio", "starlette.responses")
"""Imported once, before the forks: a run then takes a third of the time."""

OPTIONS = ("-q", "-x", "--tb=short", "-p", "no:cacheprovider")
ALREADY_IMPORTED = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
PROFILE = "mutants"


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
            message = f"{self.old!r} is {found} times in {self.module}, not once"
            raise ValueError(message)
        return sound.replace(self.old, self.new)


@dataclass(frozen=True)
class Verdict:
    """How the tests ended: pytest's exit code (negative: the signal), and what it printed."""

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


class Runner:
    """Runs tests on faulty modules; ``with`` ends the process that forks the runs."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.mutants.mutation"],
            cwd=ROOT,
            env={**os.environ, "SSE_KIT_HYPOTHESIS_PROFILE": PROFILE},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self._process.communicate()  # the end of its input is its end

    def run(self, module: str, source: str, tests: Iterable[str]) -> Verdict:
        """Run ``tests`` where ``module`` has ``source``."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps([module, source, *tests]) + "\n")
        stdin.flush()
        code, output = json.loads(stdout.readline())
        return Verdict(code, output)


class _FaultyLoader(SourceFileLoader):
    """Loads a module from another source than its file's, and writes no bytecode."""

    def __init__(self, module: str, path: str, source: str) -> None:
        super().__init__(module, path)
        self.source = source

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.source.encode(), self.get_filename(fullname))


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


def _prepare() -> None:
    for name in SLOW:
        importlib.import_module(name)
    # Few examples, always the same ones, none of which is minimised or kept; a slow machine is not
    # a fault.
    settings.register_profile(
        PROFILE,
        deadline=None,
        database=None,
        derandomize=True,
        max_examples=30,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=tuple(HealthCheck),
    )


def _run(module: str, source: str, *tests: str) -> int:
    assert module not in sys.modules
    sys.meta_path.insert(0, _Planter(module, source))
    return pytest.main([*OPTIONS, *ALREADY_IMPORTED, *tests])


def _fork(order: list[str], output: IO[str]) -> int:
    """Run in a process of its own, return its exit code."""
    if (pid := os.fork()) != 0:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = int(pytest.ExitCode.INTERNAL_ERROR)
    try:
        signal.alarm(TIMEOUT)
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
        code = _run(*order)
    except BaseException:  # noqa: BLE001  nothing of this process may go on in its copy
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Carry out each line of standard input, a JSON array of module, source and tests."""
    _prepare()
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as output:
            code = _fork(json.loads(line), output)
            output.seek(0)
            sys.stdout.write(json.dumps([code, output.read()]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
