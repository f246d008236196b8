"""What surrounds the code: the commands, the tools, the metadata."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import dev
from tests.support import absent

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text()
SETTINGS: dict[str, Any] = tomllib.loads(PYPROJECT)
PROJECT: dict[str, Any] = SETTINGS["project"]
REQUIREMENTS: list[str] = PROJECT["dependencies"] + [
    requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra
]

LEFT_BEHIND = """
import threading
import warnings

import anyio
import pytest


def test_a_warning():
    warnings.warn("planted")


def test_an_open_file():
    open(__file__).read()


def test_a_dead_thread():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()


@pytest.mark.anyio
async def test_an_open_stream():
    anyio.create_memory_object_stream()


@pytest.mark.anyio
async def test_a_coroutine_that_nobody_awaits():
    anyio.sleep(0)
"""


def command(*arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


# The commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [(), ("no-such-command",), ("check", "too-much")])
def test_a_wrong_command_says_which_there_are(arguments: tuple[str, ...]) -> None:
    """It does nothing, and prints the four commands."""
    done = command("dev.py", *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"{dev.__doc__}\n"


def test_an_old_python_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names what there is, and what is needed."""
    monkeypatch.setattr(sys, "version_info", (3, 10, 13, "final", 0))
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, this is 3\.10\.13"):
        dev.main(["check"])


def test_a_python_without_ensurepip_is_told_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Debian keeps it in a package of its own."""
    monkeypatch.setattr(dev, "VENV", tmp_path / "venv")
    monkeypatch.setattr(dev, "PYTHON", tmp_path / "venv" / "bin" / "python")
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit, match="no ensurepip: on Debian, apt-get install python3-venv"):
        dev.main(["test"])
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_fails_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It ends the command, so the steps after it are not run."""
    monkeypatch.setattr(dev, "PYTHON", Path(sys.executable))
    dev.run("first", "-c", "pass")
    with pytest.raises(SystemExit, match=r"==> second failed \(exit code 3\)"):
        dev.run("second", "-c", "raise SystemExit(3)")
    assert re.findall("==> (.*):", capfd.readouterr().out) == ["first", "second"]


def test_installation_happens_again_only_when_the_project_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A stamp in the environment remembers what was installed."""
    ran: list[str] = []
    monkeypatch.setattr(dev, "run", lambda name, *_: ran.append(name))
    monkeypatch.setattr(dev, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(dev, "VENV", tmp_path)
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    project = tmp_path / "pyproject.toml"
    for text in ("one", "one", "two"):
        project.write_text(text)
        dev.install("dev", dev.DEV)
    assert ran == ["installer", "installation for dev"] * 2


def test_ci_runs_the_command_that_people_run() -> None:
    """``.ci/run`` ends in ``dev.py check``, wherever it is started."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == 'exec "$python" dev.py check </dev/null'
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0  # noqa: S607


# The tests ----------------------------------------------------------------------------------------


def test_what_is_left_behind_fails_a_test(tmp_path: Path) -> None:
    """Warnings are errors, also from event loops, threads and finalizers."""
    (tmp_path / "test_planted.py").write_text(LEFT_BEHIND)
    options = ("-c", "pyproject.toml", "--rootdir", str(tmp_path), "-p", "no:cacheprovider")
    done = command("-m", "pytest", "-q", "--tb=no", *options, str(tmp_path))
    failed = re.findall(r"^FAILED .*::(\w+)", done.stdout, re.MULTILINE)
    assert set(failed) == set(re.findall(r"def (test_\w+)", LEFT_BEHIND)), done.stdout


def test_every_test_states_its_fact() -> None:
    """The docstring of a test is a sentence."""
    silent = [
        f"{path.name}: {node.name}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not (ast.get_docstring(node) or "").endswith(".")
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_what_is_absent_skips_a_test_but_fails_it_in_ci(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Either way the reason names the remedy."""
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="chromium is absent: to run this test, apt-get install"):
        absent("chromium", "apt-get install chromium")


def test_the_profile_of_hypothesis_is_ours() -> None:
    """No example is cut off by a clock."""
    assert settings.default is not None
    assert settings.default.deadline is None


# The metadata -------------------------------------------------------------------------------------


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_every_dependency_has_two_bounds(requirement: str) -> None:
    """The lower was tried, the upper is where things may break."""
    assert re.fullmatch(r"[\w.-]+(\[[\w,]+\])?>=[\d.]+,<[\d.]+", requirement)


def test_every_exception_from_the_linter_has_its_reason() -> None:
    """A rule is ignored with a comment beside it, in the settings and in the code."""
    table = PYPROJECT.partition("[tool.ruff.lint]")[2].partition("[tool.ruff.lint.pydocstyle]")[0]
    ignored = re.findall(r'^  "[A-Z]+\d+",.*$', table, re.MULTILINE)
    assert ignored
    assert [line for line in ignored if " # " not in line] == []


def test_the_changelog_tells_of_this_version() -> None:
    """The newest section is the version of the project."""
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == PROJECT["version"]


def test_the_licence_is_the_one_that_the_metadata_names() -> None:
    """Apache-2.0, the whole text."""
    text = (ROOT / "LICENSE").read_text()
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
