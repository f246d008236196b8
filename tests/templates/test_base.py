"""sse_kit.templates.base: one literal goes in, nothing else, and it means what it says."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sse_kit.config import Settings
from sse_kit.errors import BadTemplate, InvalidSetting
from sse_kit.messages import has_lone_surrogate
from sse_kit.templates.base import (
    MARKER,
    MAX_EXACT_INT,
    ScriptConfig,
    ScriptTemplate,
    json_for_script,
)
from tests.support import absent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import JsonValue

PACKAGE = "sse_kit_test_assets"
BINDING = f"const config = {MARKER};\n"


class Inner(Settings):
    """A model in a model."""

    depth: int = 1


class Config(ScriptConfig):
    """What the scripts of these tests read."""

    base_delay: int = 500
    label: str = ""
    inner: Inner = Inner()


READS_ALL = BINDING + "use(config.baseDelay, config.label.length, config.inner.depth);\n"

MakeTemplate: TypeAlias = "Callable[[str], ScriptTemplate[Config]]"


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeTemplate]:
    """Make a template of a script's text, by way of a real file in a real package."""
    package = tmp_path_factory.mktemp("assets") / PACKAGE
    package.mkdir()
    (package / "__init__.py").touch()

    def template(source: str) -> ScriptTemplate[Config]:
        (package / "script.js").write_text(source, "utf-8")
        return ScriptTemplate(Config, package=PACKAGE, asset="script.js")

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(package.parent)
        yield template
    sys.modules.pop(PACKAGE, None)


class Node:
    """One node process that evaluates a literal a line and answers with its JSON."""

    LOOP = """
        require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
          console.log(JSON.stringify(require("vm").runInNewContext(JSON.parse(line))));
        });
    """

    def __init__(self, path: str) -> None:
        self.process = subprocess.Popen(
            [path, "-e", self.LOOP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def evaluate(self, script: str) -> object:
        """Return the value of the last statement of ``script``."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(script) + "\n")
        self.process.stdin.flush()
        value: object = json.loads(self.process.stdout.readline(), parse_int=float)
        return value


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    """Start node; without it these tests are skipped, but never in CI."""
    path = shutil.which("node") or absent("node", "install it (Debian: apt-get install nodejs)")
    started = Node(path)
    yield started
    with started.process:
        started.process.communicate()


def texts() -> st.SearchStrategy[str]:
    """Any text, lone surrogates too, and often what breaks out of a script element."""
    hostile = st.sampled_from(
        ["</script>", "<!--", "<script", "]]>", "&lt;", "\u2028", "\u2029", "\\", "'", '"', "\0"]
    )
    anything = st.text(st.characters())
    return st.lists(hostile | anything, max_size=4).map("".join)


def numbers() -> st.SearchStrategy[JsonValue]:
    """Numbers that JavaScript holds exactly."""
    return st.integers(-MAX_EXACT_INT, MAX_EXACT_INT) | st.floats(
        allow_nan=False, allow_infinity=False
    )


def json_values() -> st.SearchStrategy[JsonValue]:
    """Every value that a config may hold."""
    keys = texts().filter(lambda key: key != "__proto__")
    scalars: st.SearchStrategy[JsonValue] = st.none() | st.booleans() | numbers() | texts()
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=12,
    )


@given(value=json_values())
def test_a_literal_evaluates_to_the_value_it_was_made_of(node: Node, value: JsonValue) -> None:
    """JavaScript reads back every value exactly as it was."""
    assert node.evaluate(f"({json_for_script(value)})") == value


@given(value=json_values())
def test_a_literal_is_json(value: JsonValue) -> None:
    """A data block may hold it as well."""
    assert json.loads(json_for_script(value)) == value


@given(value=json_values())
def test_a_literal_is_inert_in_a_script_element(value: JsonValue) -> None:
    """It is ASCII on one line, without a character that HTML reads."""
    literal = json_for_script(value)
    assert literal.isascii()
    assert literal.isprintable()
    assert not set("<>&") & set(literal)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        [math.inf],
        {"a": -math.inf},
        MAX_EXACT_INT + 1,
        [-MAX_EXACT_INT - 1],
        {"__proto__": 1},
        {"a": [{"__proto__": {}}]},
        {1: "one"},
        b"bytes",
        object(),
    ],
    ids=repr,
)
def test_what_javascript_would_read_differently_is_refused(value: JsonValue) -> None:
    """There is a typed error for it, never a value that changed on the way."""
    with pytest.raises(InvalidSetting):
        json_for_script(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    """A cycle is a typed error too."""
    cycle: list[JsonValue] = []
    cycle.append(cycle)
    with pytest.raises(InvalidSetting, match="has no JSON"):
        json_for_script(cycle)


def test_a_script_is_its_file_with_the_config_in_it(make: MakeTemplate) -> None:
    """Only the marker is replaced, by the fields in camelCase."""
    script = make(READS_ALL).render(Config(label="it's <b>"))
    literal = r'{"baseDelay":500,"label":"it\u0027s \u003cb\u003e","inner":{"depth":1}}'.replace(
        r"\u0027", "'"
    )
    assert script == READS_ALL.replace(MARKER, literal)


@given(label=texts())
def test_no_config_ends_the_script_element(make: MakeTemplate, label: str) -> None:
    """Neither ``</script`` nor ``<!--`` can occur in what is rendered."""
    assume(not has_lone_surrogate(label))
    script = make(READS_ALL).render(Config(label=label)).lower()
    assert "</script" not in script
    assert "<!--" not in script


def test_a_backslash_in_a_value_is_a_backslash_in_the_script(make: MakeTemplate) -> None:
    r"""``\1`` or ``\n`` in a value is no instruction of a template language."""
    assert r'"label":"\\1\\n"' in make(READS_ALL).render(Config(label=r"\1\n"))


@pytest.mark.parametrize(
    "source",
    [
        "",
        BINDING + BINDING.replace("config", "again"),
        f"// {BINDING}",
        f"/* {BINDING} */",
        f"const text = '{MARKER}';",
        f"use({MARKER});",
        f"let config = {MARKER};",
        f"const config = NOT_{MARKER};",
        BINDING + f"// {MARKER} is replaced",
    ],
    ids=repr,
)
def test_a_script_binds_its_marker_once(make: MakeTemplate, source: str) -> None:
    """No marker, two, or one that is no code is refused when the template is made."""
    with pytest.raises(BadTemplate, match=f"must hold {MARKER} once"):
        make(source)


@pytest.mark.parametrize("text", ["</script>", "</SCRIPT ", "<!-- ", "<script>"])
def test_a_script_that_would_end_itself_is_refused(make: MakeTemplate, text: str) -> None:
    """The file may be rendered inline, so it may not hold what HTML reads."""
    with pytest.raises(BadTemplate, match="inline script"):
        make(BINDING + f"const html = '{text}';")


@pytest.mark.parametrize(("package", "asset"), [(PACKAGE, "no.js"), ("no_such_package", "no.js")])
@pytest.mark.usefixtures("make")
def test_a_script_that_is_not_there_is_refused(package: str, asset: str) -> None:
    """The error names the file and the package."""
    with pytest.raises(BadTemplate, match=f"'no.js' is not in the package '{package}'"):
        ScriptTemplate(Config, package=package, asset=asset)


@pytest.mark.parametrize(
    "source",
    [
        READS_ALL,
        READS_ALL.replace("config", "settings"),
        READS_ALL.replace("config.inner.depth", "config\n  ?.inner\n  .depth"),
        READS_ALL.replace("config.label.length", "`${config.label} isn't /* nothing`"),
        READS_ALL + "// config.nothing\n/* config.nothing */ const text = 'config.nothing';",
        READS_ALL + 'const text = "it\'s \\" config.nothing"; other.config.nothing();',
    ],
    ids=repr,
)
def test_a_script_that_reads_its_fields_passes(make: MakeTemplate, source: str) -> None:
    """What counts is code: not comments, strings, or others' properties of the same name."""
    make(source).check_fields()


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (READS_ALL.replace("config.baseDelay", "1"), r"never reads \['baseDelay'\]"),
        (READS_ALL.replace("config.baseDelay", "'config.baseDelay'"), "never reads"),
        (READS_ALL.replace("config.inner.depth", "config.inner"), r"never reads \['inner.depth'\]"),
        (READS_ALL + "config.nothing;", r"reads \['nothing'\], which Config does not have"),
        (READS_ALL + "`${config.nothing}`;", r"reads \['nothing'\]"),
        (READS_ALL + "config.inner.nothing;", r"reads \['inner.nothing'\]"),
        (READS_ALL + "config.inner;", r"reads \['inner'\]"),
        (READS_ALL + "use(config);", "uses 'config' other than by '.field'"),
        (READS_ALL + "config[name];", "uses 'config' other than by '.field'"),
    ],
    ids=repr,
)
def test_a_script_that_disagrees_with_its_config_is_found(
    make: MakeTemplate, source: str, problem: str
) -> None:
    """A field nobody reads, a read of no field, and a use that cannot be followed are told."""
    with pytest.raises(BadTemplate, match=problem):
        make(source).check_fields()
