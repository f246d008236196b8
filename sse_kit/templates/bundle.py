"""The runtime as it is served: its parts joined into ONE module, with the defaults put in.

The parts are real ES modules, which Node, tsc and an editor read as they are. To join them, the
joiner knows four forms, each alone at the start of a line, and refuses all others::

    import { name, … } from "./part.js";
    export { name, … } from "./part.js";
    export const | let | function | async function | class …
    // a comment of its own line, also /* of several */

A part comes once, after what it imports; imports are dropped, since all names are in one scope then
(two parts that declare one name are refused); what the entry exports is exported at the end.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from sse_kit.errors import BadTemplate
from sse_kit.templates.base import ScriptTemplate
from sse_kit.templates.client import ClientConfig

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "sse_kit.templates"
ENTRY = "index.js"
HTMX_ENTRY = "htmx.js"
DEBUG_ENTRY = "debug.js"

_COMMENT = re.compile(r"^[ \t]*(?://.*|/\*(?:(?!\*/).|\n)*?\*/[ \t]*)\n", re.MULTILINE)
_NAMES = r"(?:\s*[\w$]+\s*,)*(?:\s*[\w$]+)?\s*"
_IMPORT = re.compile(rf'^import \{{{_NAMES}\}} from "\./([\w.]+)";\n', re.MULTILINE)
_REEXPORT = re.compile(rf'^export \{{({_NAMES})\}} from "\./([\w.]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|let|async function|function|class) )", re.MULTILINE)
_DECLARED = re.compile(r"^(?:const|let|(?:async )?function\*?|class) ([\w$]+)", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*|\bimport\(.*", re.MULTILINE)


class Part(NamedTuple):
    """A part without its comments, imports and exports."""

    code: str
    needs: tuple[str, ...]
    exports: tuple[str, ...]


def join(read: Callable[[str], str], entry: str = ENTRY) -> str:
    """Return the module that ``entry`` and the parts it imports make together.

    Raises:
        BadTemplate: another form of import or export, a circle of imports, a name declared twice.

    """
    parts = _in_order(read, entry)
    _refuse_doubles(parts)
    exported = ", ".join(sorted(parts[entry].exports))
    code = "".join(part.code for part in parts.values())
    return f"{code}export {{ {exported} }};\n"


def _in_order(read: Callable[[str], str], entry: str) -> dict[str, Part]:
    done: dict[str, Part] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise BadTemplate(name, f"is imported in a circle: {' → '.join((*path, name))}")
        if name in done:
            return
        part = _part(name, read(name))
        for needed in part.needs:
            visit(needed, (*path, name))
        done[name] = part

    visit(entry, ())
    return done


def _part(name: str, source: str) -> Part:
    code = _COMMENT.sub("", source)
    reexports = _REEXPORT.findall(code)
    needs = [*_IMPORT.findall(code), *(part for _, part in reexports)]
    exports = [each.strip() for names, _ in reexports for each in names.split(",") if each.strip()]
    code = _EXPORT.sub("", _REEXPORT.sub("", _IMPORT.sub("", code)))
    if other := _OTHER.search(code):
        raise BadTemplate(name, f"has {other[0]!r}, a form that the joiner does not know")
    return Part(code.strip() + "\n", tuple(needs), tuple(exports))


def _refuse_doubles(parts: dict[str, Part]) -> None:
    owner: dict[str, str] = {}
    for name, part in parts.items():
        for declared in _DECLARED.findall(part.code):
            if declared in owner:
                raise BadTemplate(name, f"declares {declared!r}, which {owner[declared]!r} has too")
            owner[declared] = name


def _read(name: str, package: str = PACKAGE) -> str:
    return resources.files(package).joinpath("runtime", name).read_text("utf-8")


class RuntimeTemplate(ScriptTemplate[ClientConfig]):
    """The joined parts, as the script whose config is put in."""

    def _load(self, package: str) -> str:
        return join(lambda name: _read(name, package))


@cache
def script() -> str:
    """Return the runtime: one ES module without imports, the defaults of Python in it."""
    template = RuntimeTemplate(ClientConfig, package=PACKAGE, asset=ENTRY)
    return template.render(ClientConfig())


@cache
def htmx_script() -> str:
    """Return the module that makes the streams of a page's htmx the kit's; it goes beside that."""
    return join(_read, HTMX_ENTRY)


@cache
def debug_script() -> str:
    """Return the module that tells who writes a page what in it cannot work."""
    return join(_read, DEBUG_ENTRY)


@cache
def style() -> str:
    """Return the style sheet of what the runtime shows."""
    return _read("sse_kit.css")


def script_name() -> str:
    """Return the name that the runtime is served under, with a hash of what is in it."""
    return named("sse_kit", script(), "js")


def htmx_name() -> str:
    """Return the name of the module for htmx, likewise."""
    return named("sse_kit.htmx", htmx_script(), "js")


def debug_name() -> str:
    """Return the name of the module for debugging, likewise."""
    return named("sse_kit.debug", debug_script(), "js")


def style_name() -> str:
    """Return the name of the style sheet, likewise."""
    return named("sse_kit", style(), "css")


@cache
def named(stem: str, text: str, suffix: str) -> str:
    """Return a file's name with a hash of what is in it."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{stem}.{digest}.{suffix}"
