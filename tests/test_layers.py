"""The house: which module may import which, and how large its rooms are."""

from __future__ import annotations

import ast
import importlib
import statistics
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sse_kit

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "sse_kit"

# A module imports what is printed above it, of its own layer or of a lower one; nothing below.
# A package stands for its __init__.py.
LAYERS: dict[int, tuple[str, ...]] = {
    0: ("errors", "messages", "states", "config"),
    1: ("codec",),
    2: (
        "wakeup",
        "transports.base",
        "transports.presence",
        "transports.setup",
        "templates",
        "templates.base",
    ),
    3: (
        "transports.memory_log",
        "transports.memory",
        "transports.settings",
        "transports.contact",
        "transports.writer",
        "transports.log",
        *("transports.sqlite_file", "transports.sqlite_tables", "transports.sqlite_log"),
        "transports.sqlite",
        *("transports.redis_place", "transports.redis_server"),
        *("transports.redis_connections", "transports.redis_entries"),
        "transports.redis",
        *("transports.nats_client", "transports.nats_link"),
        *("transports.nats_stream", "transports.nats_pace", "transports.nats_log"),
        "transports.nats",
        *("transports.postgres_places", "transports.postgres_texts"),
        *("transports.postgres_link", "transports.postgres_settings"),
        "transports.postgres",
        "transports.urls",
        "transports",
    ),
    4: (
        *("frames", "subscription", "overflow", "audience", "ring", "hub", "replay", "pump"),
        *("hooks", "outgoing", "connection"),
    ),
    5: (
        *("stalled", "shutdown", "asgi", "assets", "iterate", "client", "session"),
        *("passthrough", "hands", "dispatch", "inline"),
        *("leases", "table", "admission", "presence", "runtime", "lifespan"),
    ),
    6: ("starlette",),
    7: ("registry",),
    8: ("fastapi", "fasthtml", ""),
    9: ("monitor", "demo"),
    10: ("cli", "__main__"),
}
ORDER = [name for layer in LAYERS.values() for name in layer]
LAYER_OF = {name: layer for layer, names in LAYERS.items() for name in names}

# Folders that grow: a module in one that the table doesn't name has the layer of the folder.
FOLDERS = {"templates": 2, "monitor": 9, "demo": 9}

EVERYWHERE = {"pydantic", "pydantic_core", "typing_extensions"}
ANYIO_FROM = 2
FASTHTML = {"starlette", "fasthtml", "fastcore"}
ONLY_IN = {
    "transports.redis_connections": {"coredis"},
    "transports.nats_client": {"nats"},
    "transports.postgres": {"psycopg"},
    "transports.postgres_link": {"psycopg"},
    "client": {"httpx"},
    "starlette": {"starlette"},
    "fastapi": {"starlette", "fastapi"},
    "fasthtml": FASTHTML,
    "monitor": FASTHTML,
    "demo": FASTHTML | {"psutil", "uvicorn"},
    "cli": {"psutil", "uvicorn"},
}
"""By module, or by folder."""

OPTIONAL = {"fasthtml", "fastcore", "fastapi", "uvicorn", "hypothesis", "psutil", "pytest"}

MAX_FILE = 350
MAX_FUNCTION = 40
MEDIAN_FUNCTION = 8
MOST_FUNCTIONS = 25


def name_of(path: Path) -> str:
    """Return the dotted name of a module of the package: ``""`` for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts).removesuffix("__init__").removesuffix(".")


def top(name: str) -> str:
    return name.partition(".")[0]


PATHS = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
HOUSE = [name for name in PATHS if top(name) != "testing"]
"""All but ``testing``, which may import anything, and which nothing imports."""


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(PATHS[name].read_text())


def imported(name: str) -> Iterator[str]:
    """Yield the absolute name of all that a module imports, wherever and for whatever reason."""
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name or 'sse_kit'} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(imported_name: str) -> str:
    """Return the module of the package that ``sse_kit.a.b.Name`` is in."""
    name = imported_name.removeprefix("sse_kit").removeprefix(".")
    while name not in PATHS:
        name = name.rpartition(".")[0]
    return name


def layer_of(name: str) -> int | None:
    return LAYER_OF.get(name, FOLDERS.get(top(name)))


def may_import(name: str, other: str) -> bool:
    layer, others = layer_of(name), layer_of(other)
    assert layer is not None
    if others is None or layer != others:
        return others is not None and others < layer
    if name in ORDER and other in ORDER:
        return ORDER.index(other) <= ORDER.index(name)
    return True


def own(names: Iterator[str]) -> set[str]:
    return {module_of(name) for name in names if top(name) == "sse_kit"}


def third_party(names: Iterator[str]) -> set[str]:
    tops = {top(name) for name in names}
    return tops - sys.stdlib_module_names - {"sse_kit"}


def allowed(name: str) -> set[str]:
    io = {"anyio"} if (layer_of(name) or 0) >= ANYIO_FROM else set[str]()
    return EVERYWHERE | io | ONLY_IN.get(name, ONLY_IN.get(top(name), set()))


@pytest.mark.parametrize("name", HOUSE)
def test_every_module_has_a_place_in_the_table(name: str) -> None:
    """A new module is given a layer before it is used."""
    assert layer_of(name) is not None, f"give {name!r} a layer"


@pytest.mark.parametrize("name", HOUSE)
def test_a_module_imports_only_what_is_above_it_in_the_table(name: str) -> None:
    """Imports for type checking count: a module knows the names of lower layers only."""
    assert {other for other in own(imported(name)) if not may_import(name, other)} == set()


@pytest.mark.parametrize("name", HOUSE)
def test_third_party_packages_have_layers_too(name: str) -> None:
    """The core knows pydantic, I/O knows anyio, and each other package has its one module."""
    assert third_party(imported(name)) - allowed(name) == set()


def test_the_rule_tells_a_wrong_import() -> None:
    """The check can fail: upwards, from a sibling printed below, and into ``testing``."""
    assert not may_import("errors", "hub")
    assert not may_import("errors", "messages")
    assert may_import("messages", "errors")
    assert layer_of("testing.probe") is None
    assert not may_import("hub", "testing.probe")
    assert "anyio" not in allowed("codec")
    assert "starlette" not in allowed("registry")


def test_the_package_imports_nothing_optional_or_slow() -> None:
    """Promise 6: one import never pulls an optional package."""
    code = "import sys, sse_kit; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert {top(name) for name in done.stdout.split()} & OPTIONAL == set()


def test_the_public_names_are_an_explicit_tuple() -> None:
    """At most forty names, each of which is there."""
    names = sse_kit.__all__
    assert isinstance(names, tuple)
    assert len(set(names)) == len(names) <= 40
    for name in names:
        assert getattr(sse_kit, name) is not None


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    """Lazy names don't turn a typing error into something else."""
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = importlib.import_module("sse_kit").no_such_name


@pytest.mark.parametrize("name", PATHS)
def test_files_are_short(name: str) -> None:
    """A file that outgrows its limit is two."""
    lines = PATHS[name].read_text().count("\n")
    assert lines <= MAX_FILE


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> dict[str, Function]:
    return {
        f"{name}:{node.lineno} {node.name}": node
        for name in PATHS
        for node in ast.walk(tree_of(name))
        if isinstance(node, Function)
    }


def body_length(function: Function) -> int:
    """Count the lines of the body, without the docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]


def test_functions_are_short() -> None:
    """Half of them have at most 8 lines, nine in ten at most 25, none more than 40."""
    lengths = {place: body_length(function) for place, function in functions().items()}
    assert {place: length for place, length in lengths.items() if length > MAX_FUNCTION} == {}
    assert statistics.median(lengths.values()) <= MEDIAN_FUNCTION
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= MOST_FUNCTIONS
