"""The joiner: parts that are modules become one module."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from sse_kit.errors import BadTemplate
from sse_kit.templates import bundle
from sse_kit.templates.bundle import join
from sse_kit.templates.client import ClientConfig
from tests.page.node import node

if TYPE_CHECKING:
    from pathlib import Path

MAX_SIZE = 12_000
"""Bytes of the whole runtime, gzipped."""

MAX_HTMX_SIZE = 4_000
"""Bytes of what pages with htmx load beside it."""

MODULES = {
    "runtime": bundle.script,
    "htmx": bundle.htmx_script,
    "debug": bundle.debug_script,
}

PARTS = {
    "index.js": """\
/** What a page sees. */
import { one } from "./one.js";
export { two, Three } from "./two.js";

one();
""",
    "one.js": """\
import { two } from "./two.js";
import {
  Three,
} from "./two.js";
// Not seen outside.
export const one = () => new Three(two).shown("// import { x } from \\"./x.js\\";");
""",
    "two.js": """\
export let two = 2;
  /*
   * Of several lines.
   */
export class Three {
  /** @param {number} inner */
  constructor(inner) {
    this.inner = inner; // stays: no line of its own
  }
  shown(text) {
    console.log(this.inner, text);
  }
}
export async function four() {}
export function five() {}
""",
}


def joined(**changes: str) -> str:
    parts = PARTS | {f"{name}.js": source for name, source in changes.items()}
    return join(parts.__getitem__)


def test_the_parts_become_one_module_that_does_what_they_do(tmp_path: Path) -> None:
    """It needs no other file, exports what the entry exports, and runs."""
    one = tmp_path / "one.mjs"
    one.write_text(joined())
    code = f"import({one.as_uri()!r}).then((module) => console.log(...Object.keys(module)))"
    done = node("-e", code)
    assert done.stdout == '2 // import { x } from "./x.js";\nThree two\n'
    assert done.stderr == ""


def test_a_part_comes_once_after_what_it_needs() -> None:
    """The order is that of the imports; comments of their own lines are left out."""
    assert (
        joined()
        == """\
let two = 2;
class Three {
  constructor(inner) {
    this.inner = inner; // stays: no line of its own
  }
  shown(text) {
    console.log(this.inner, text);
  }
}
async function four() {}
function five() {}
const one = () => new Three(two).shown("// import { x } from \\"./x.js\\";");
one();
export { Three, two };
"""
    )


@pytest.mark.parametrize(
    "line",
    [
        'import two from "./two.js";',
        'import * as two from "./two.js";',
        'import "./two.js";',
        "import { two } from './two.js';",
        'import { two } from "elsewhere";',
        'import { two as three } from "./two.js", x;',
        "export default 1;",
        "export { one };",
        'export * from "./two.js";',
        'const late = await import("./two.js");',
    ],
)
def test_another_form_is_refused(line: str) -> None:
    """The error names the part and the line."""
    with pytest.raises(BadTemplate, match="a form that the joiner does not know") as caught:
        joined(one=f"{line}\nexport const one = 1;\n")
    assert caught.value.asset == "one.js"


def test_a_renamed_import_is_refused() -> None:
    """In one scope there is only one name for a thing."""
    with pytest.raises(BadTemplate, match="a form that the joiner does not know"):
        joined(one='import { two as three } from "./two.js";\nexport const one = 1;\n')


def test_a_circle_is_refused() -> None:
    """Neither of its parts could come first."""
    with pytest.raises(BadTemplate, match=r"in a circle: index\.js → one\.js → index\.js"):
        joined(one='import { two } from "./index.js";\nexport const one = 1;\n')


def test_a_name_that_two_parts_declare_is_refused() -> None:
    """One would hide the other."""
    with pytest.raises(BadTemplate, match=r"declares 'four', which 'two\.js' has too"):
        joined(one='import { two } from "./two.js";\nconst four = 4;\nexport const one = four;\n')


def test_the_runtime_is_small() -> None:
    """As a server with compression sends it."""
    assert len(gzip.compress(bundle.script().encode())) <= MAX_SIZE


def test_the_module_for_htmx_is_small() -> None:
    """It goes over the wire only to pages that have htmx."""
    assert len(gzip.compress(bundle.htmx_script().encode())) <= MAX_HTMX_SIZE


@pytest.mark.parametrize("name", MODULES)
def test_a_module_can_be_an_inline_script(name: str) -> None:
    """It is text that no element ends in, without a word for the policy to forbid."""
    text = MODULES[name]()
    assert "</script" not in text.lower()
    assert "<!--" not in text
    for forbidden in ("eval(", "new Function", 'setAttribute("on', "document.write"):
        assert forbidden not in text


def test_the_runtime_has_the_defaults_of_python(tmp_path: Path) -> None:
    """What it starts from is what the models say, and nothing else."""
    one = tmp_path / "sse_kit.mjs"
    one.write_text(bundle.script())
    code = f"import({one.as_uri()!r}).then((kit) => console.log(JSON.stringify(kit.config)))"
    defaults = ClientConfig().model_dump(mode="json", by_alias=True)
    assert json.loads(node("-e", code).stdout) == defaults


def test_the_names_change_with_what_they_name() -> None:
    """A browser that keeps one for ever keeps the right one."""
    names = [bundle.script_name(), bundle.htmx_name(), bundle.debug_name()]
    assert len(set(names)) == 3
    assert names == [bundle.script_name(), bundle.htmx_name(), bundle.debug_name()]
    for name in names:
        assert name.startswith("sse_kit.")
        assert name.endswith(".js")
    assert bundle.style_name().endswith(".css")
