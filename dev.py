#!/usr/bin/env python3
"""The project's commands. They need Python 3.11 or newer, and install the rest into ``.venv``.

python3 dev.py demo [args …]    run the demo on the embedded default
python3 dev.py check            every check, in the order of CI; stops at the first that fails
python3 dev.py test [args …]    the tests; the arguments are pytest's
python3 dev.py bench [args …]   measure this and its peers; --quick, --only, --scenario, --output
python3 dev.py bench-engines    measure the transports and their engines; --quick, --only
python3 dev.py format           put the sources into their one form
"""

# Python 3.7 reads this file too, so one that is too old can say so.
from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

DEMO = ("-e", ".[cli]")
BENCH = ("-e", ".", "--group", "bench")
MUSL = "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or "")
ENGINES = () if MUSL else ("--group", "engines")
"""Servers in wheels, of which musl has none: there the tests take what is installed, or skip."""
DEV = ("-e", ".", "--group", "dev", *ENGINES)

SOURCES = [
    name for name in ("sse_kit", "tests", "benchmarks", "examples") if (ROOT / name).is_dir()
]
CORE = ("messages", "codec", "states", "subscription", "overflow", "audience", "ring", "hub")
"""The modules without I/O: every branch of them is tested."""


OUTWARD_TESTS = ("tests/browser", "tests/chaos", "tests/engines", "tests/transports")
"""They wait for a browser and for engines more than they compute."""


def main(arguments: list[str]) -> None:
    """Carry out the command that ``arguments`` name."""
    with_arguments = {"demo": demo, "test": test, "bench": bench, "bench-engines": bench_engines}
    plain = {"check": check, "format": format_sources}
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    refuse_old_python()
    if name in with_arguments:
        with_arguments[name](*rest)
    elif name in plain and not rest:
        plain[name]()
    else:
        sys.exit(__doc__)


def demo(*arguments: str) -> None:
    """Run ``sse-kit demo``."""
    install("demo", DEMO)
    run("demo", "-m", "sse_kit.cli", "demo", *arguments)


def check() -> None:
    """Run every check."""
    install("dev", DEV)
    run("formatter", "-m", "ruff", "format", "--check", ".")
    run("linter", "-m", "ruff", "check", ".")
    run("mypy", "-m", "mypy", *SOURCES, "dev.py")
    run("pyright", "-m", "pyright", "--warnings")
    run_tests()
    run("coverage", "-m", "coverage", "combine", "--quiet")
    run("coverage", "-m", "coverage", "report")
    core = ",".join(f"sse_kit/{name}.py" for name in CORE)
    run("core", "-m", "coverage", "report", f"--include={core}", "--fail-under=100")


def run_tests() -> None:
    """Run the tests with coverage, those that wait beside those that compute."""
    pytest = ("-m", "coverage", "run", "--parallel-mode", "-m", "pytest", "--durations=10")
    with tempfile.TemporaryFile("w+") as output:
        command = [str(PYTHON), *pytest, *OUTWARD_TESTS]
        beside = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            run("tests", *pytest, *(f"--ignore={folder}" for folder in OUTWARD_TESTS))
        finally:
            code = beside.wait()
            output.seek(0)
            print(f"==> tests: {' '.join(OUTWARD_TESTS)}", output.read(), sep="\n", flush=True)
    if code:
        sys.exit(f"==> tests of browser and engines failed (exit code {code})")


def test(*arguments: str) -> None:
    """Run the tests alone."""
    install("dev", DEV)
    run("tests", "-m", "pytest", *arguments)


def bench(*arguments: str) -> None:
    """Run the benchmark."""
    install("bench", BENCH)
    run("benchmark", "-m", "benchmarks", *arguments)


def bench_engines(*arguments: str) -> None:
    """Run the benchmark of the transports."""
    install("dev", DEV)
    run("benchmark", "-m", "benchmarks.engines", *arguments)


def format_sources() -> None:
    """Format, and repair what the linter can repair."""
    install("dev", DEV)
    run("linter", "-m", "ruff", "check", "--fix-only", ".")
    run("formatter", "-m", "ruff", "format", ".")


def refuse_old_python() -> None:
    """Stop with a sentence instead of a traceback from pip."""
    if sys.version_info < (3, 11):  # noqa: UP036  the very Python that the others refuse
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(f"sse_kit needs Python 3.11 or newer, this is {found}: run python3.11 dev.py")


def install(name: str, what: tuple[str, ...]) -> None:
    """Install ``what`` into ``.venv``, unless that was done with the present pyproject.toml."""
    if not PYTHON.exists():
        make_environment()
    stamp = VENV / f"installed-{name}"
    digest = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run("installer", *pip, "--upgrade", "pip>=25.1")  # the first that knows --group
    run(f"installation for {name}", *pip, *what)
    stamp.write_text(digest)


def make_environment() -> None:
    """Make ``.venv``, or say what this Python lacks."""
    try:
        import ensurepip  # noqa: F401, PLC0415  Debian leaves it out of python3
        import venv  # noqa: PLC0415
    except ImportError as error:
        sys.exit(f"this Python has no {error.name}: on Debian, apt-get install python3-venv")
    print("==> environment: .venv", flush=True)
    try:
        venv.create(VENV, clear=True, with_pip=True)
    except BaseException:
        shutil.rmtree(VENV, ignore_errors=True)  # half of one would pass for a whole
        raise


def run(name: str, *command: str) -> None:
    """Run a command of the environment; stop here if it fails."""
    print(f"==> {name}: {' '.join(command[1:])}", flush=True)
    process = subprocess.Popen([str(PYTHON), *command], cwd=ROOT)
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            continue  # the command got it too, and ends in its own good order
        break
    if code:
        sys.exit(f"==> {name} failed (exit code {code})")


if __name__ == "__main__":
    main(sys.argv[1:])
