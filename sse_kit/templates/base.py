"""Scripts rendered from typed config: a real ``.js`` file, and ONE JSON literal put into it.

The file stays JavaScript that editors, linters and tests of its own can read. It holds the
identifier :data:`MARKER` once, where it binds its config::

    const config = SSE_KIT_CONFIG;
    ...
    setTimeout(open, config.baseDelay);

``render`` replaces the identifier by the config as JSON. No other text is put in, so there is
nothing to quote and no way for a value to become code. The model is the only source of defaults:
the script has none, and ``check_fields`` proves that the two agree name by name.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from sse_kit.config import Settings
from sse_kit.errors import BadTemplate, InvalidSetting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import JsonValue

MARKER = "SSE_KIT_CONFIG"
MAX_EXACT_INT = 2**53 - 1
"""``Number.MAX_SAFE_INTEGER``: beyond it JavaScript rounds."""

_ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&"})
_ENDS_A_SCRIPT = re.compile(r"</script|<script|<!--", re.IGNORECASE)
"""What changes how HTML reads the rest of a script element (HTML standard, 4.12.1.3)."""

_LEXEMES = re.compile(
    r"""
    (?P<template> ` (?: \\. | [^`\\] )* ` )                                # kept: it may hold ${…}
    | // [^\n]* | /\* .*? \*/                                              # comments
    | " (?: \\. | [^"\\\n] )* " | ' (?: \\. | [^'\\\n] )* '                # strings
    """,
    re.DOTALL | re.VERBOSE,
)
_BINDING = re.compile(rf"\bconst\s+(?P<name>[A-Za-z_$][\w$]*)\s*=\s*{MARKER}\s*;")
_PATH = r"(?<![\w$.]){name}(?![\w$])(?P<path>(?:\s*\??\.\s*[A-Za-z_$][\w$]*)*)"


class ScriptConfig(Settings):
    """Base of a script's config: frozen and strict; the script reads its fields in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


C = TypeVar("C", bound=ScriptConfig)


def json_for_script(value: JsonValue) -> str:
    r"""Return ``value`` as a literal that is JSON, JavaScript, and inert inside a script element.

    Pure ASCII without ``<``, ``>`` and ``&``: those, all that is not ASCII (U+2028 and U+2029
    too), and lone surrogates are written ``\uXXXX``, and arrive as they were.

    Raises:
        InvalidSetting: NaN, an infinity, an integer that JavaScript would round, a key that is no
            ``str``, or the key ``__proto__``, which a literal takes for the prototype (ECMA-262,
            B.3.1).

    """
    try:
        flaw = next(_flaws(value), None)
        text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidSetting("value", value, "has no JSON", str(error)) from error
    if flaw is not None:
        raise flaw
    return text.translate(_ESCAPES)


def _flaws(value: object) -> Iterator[InvalidSetting]:
    """Yield what JSON can carry but JavaScript would read as something else."""
    if isinstance(value, dict):
        items = cast("dict[object, object]", value)
        for key in items:
            if not isinstance(key, str):
                yield InvalidSetting("key", key, "is no str", "JSON names things by text")
            elif key == "__proto__":
                yield InvalidSetting("key", key, "would set the prototype", "choose another")
        yield from _flaws(list(items.values()))
    elif isinstance(value, list | tuple):
        for inner in cast("list[object]", value):
            yield from _flaws(inner)
    elif isinstance(value, int) and abs(value) > MAX_EXACT_INT:
        yield InvalidSetting("value", value, "is rounded by JavaScript", "pass it as text")


class ScriptTemplate(Generic[C]):
    """A ``.js`` file beside its Python module, and the model of what is put into it.

    ``asset`` is the path of the file inside ``package``.

    Raises:
        BadTemplate: no such file, :data:`MARKER` not exactly once in it as ``const … = MARKER;``,
            or text that would end an inline script.

    """

    def __init__(self, config_type: type[C], *, package: str, asset: str) -> None:
        self.config_type = config_type
        self.asset = asset
        source = self._load(package)
        code = _LEXEMES.sub(_blank, source)
        binding = _BINDING.search(code)
        if source.count(MARKER) != 1 or binding is None:
            raise BadTemplate(asset, f"must hold {MARKER} once, as 'const config = {MARKER};'")
        if match := _ENDS_A_SCRIPT.search(source):
            raise BadTemplate(asset, f"holds {match[0]!r}, which ends or hides an inline script")
        self._before, _, self._after = source.partition(MARKER)
        self._name = binding["name"]
        self._code = _BINDING.sub("", code)

    def _load(self, package: str) -> str:
        try:
            return resources.files(package).joinpath(self.asset).read_text("utf-8")
        except (OSError, ModuleNotFoundError) as error:
            raise BadTemplate(self.asset, f"is not in the package {package!r}") from error

    def render(self, config: C) -> str:
        """Return the script with ``config`` in it.

        Raises:
            InvalidSetting: a value that :func:`json_for_script` refuses.

        """
        literal = json_for_script(config.model_dump(mode="json", by_alias=True))
        return f"{self._before}{literal}{self._after}"

    def check_fields(self) -> None:
        r"""Prove that the script reads every field of its config and no other.

        It reads the text, not the program: each use of the config must be written
        ``config.field``, or ``config.outer.inner`` for a model in a model. A regular expression
        with a quote or ``//`` in it confuses it: write ``\x22`` there.

        Raises:
            BadTemplate: a field that nothing reads, a read of what is no field, or a use of the
                config as a whole, which cannot be followed.

        """
        fields = frozenset(_fields(self.config_type))
        reads = frozenset(self._reads(fields))
        if unread := sorted(fields - reads):
            raise BadTemplate(self.asset, f"never reads {unread!r}")
        if unknown := sorted(reads - fields):
            raise BadTemplate(self.asset, f"reads {unknown!r}, which {self._model} does not have")

    @property
    def _model(self) -> str:
        return self.config_type.__name__

    def _reads(self, fields: frozenset[str]) -> Iterator[str]:
        for match in re.finditer(_PATH.format(name=re.escape(self._name)), self._code):
            names = re.findall(r"[\w$]+", match["path"])
            if not names:
                raise BadTemplate(self.asset, f"uses {self._name!r} other than by '.field'")
            prefixes = (".".join(names[: end + 1]) for end in range(len(names)))
            yield next((prefix for prefix in prefixes if prefix in fields), ".".join(names))


def _blank(match: re.Match[str]) -> str:
    """Leave of a comment or a string nothing that looks like code."""
    return match[0] if match["template"] else '""' if match[0][0] in "\"'" else " "


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the path of each field as the script writes it, models in models unfolded."""
    for name, field in model.model_fields.items():
        path = prefix + (field.alias or name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{path}.")
        else:
            yield path
