"""TypeScript of the config, made of its models: ``python -m tests.page.declarations`` writes it."""

from __future__ import annotations

import types
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel

from sse_kit.templates.client import ClientConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

Annotation: TypeAlias = Any
"""What is written after a field's colon has no type of its own."""

FILE = Path(__file__).parents[2] / "sse_kit" / "templates" / "runtime" / "models.d.ts"

HEAD = """\
// Made of the models in ../client.py, which say what each field means.
"""
TAIL = """
/** What a data block holds: what is not the default. */
export type Overrides = {
  [Name in keyof ClientConfig]?: Name extends "streams"
    ? StreamOverrides[]
    : ClientConfig[Name] extends object
      ? Partial<ClientConfig[Name]>
      : ClientConfig[Name];
};

export type StreamOverrides = { url: string } & {
  [Name in keyof StreamConfig]?: Name extends "connection"
    ? Partial<ConnectionConfig> | null
    : Name extends "share"
      ? Partial<ShareConfig> | null
      : StreamConfig[Name];
};
"""
SCALARS: dict[object, str] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
}


def declarations() -> str:
    """Return ``models.d.ts``."""
    return HEAD + interfaces(ClientConfig) + TAIL


def interfaces(*roots: type[BaseModel]) -> str:
    """Return an interface for each model that the roots hold, and for themselves."""
    found = dict.fromkeys(model for root in roots for model in models(root))
    return "".join(map(_interface, found))


def models(root: type[BaseModel] = ClientConfig) -> list[type[BaseModel]]:
    """Return all models of the config, each after those it holds."""
    found: dict[type[BaseModel], None] = {}
    for field in root.model_fields.values():
        for inner in _inside(field.annotation):
            found |= dict.fromkeys(models(inner))
    return [*found, root]


def _inside(annotation: Annotation) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _inside(argument)


def _interface(model: type[BaseModel]) -> str:
    fields = (
        f"  {field.alias or name}: {typed(field.annotation)};\n"
        for name, field in model.model_fields.items()
    )
    return f"\nexport interface {model.__name__} {{\n{''.join(fields)}}}\n"


def typed(annotation: Annotation) -> str:
    """Return the type in TypeScript of what pydantic writes for ``annotation`` as JSON."""
    origin: Annotation = get_origin(annotation)
    arguments = get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        origin, arguments = Literal, tuple(annotation)
    if origin in (Union, types.UnionType):
        return " | ".join(map(typed, arguments))
    if origin is Literal:
        return " | ".join(f'"{value}"' for value in arguments)
    if origin is tuple:
        return f"readonly {typed(arguments[0])}[]"
    if origin is dict:
        return f"Record<string, {typed(arguments[1])}>"
    if hasattr(annotation, "__metadata__"):
        return typed(arguments[0])
    return SCALARS.get(annotation) or str(annotation.__name__)


if __name__ == "__main__":
    FILE.write_text(declarations())
