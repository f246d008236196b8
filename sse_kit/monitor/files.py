"""The files that the monitor's page loads: the runtime's, and its own beside this module.

The parts of its script are real modules; they are joined into one, as those of the runtime are.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from sse_kit.assets import SCRIPT_TYPE, STYLE_TYPE, Asset, runtime_files
from sse_kit.templates import bundle


def files() -> dict[str, Asset]:
    """Return all of them, by name."""
    return {
        **runtime_files(),
        script_name(): Asset(SCRIPT_TYPE, _script().encode()),
        style_name(): Asset(STYLE_TYPE, _read("monitor.css").encode()),
        icon_name(): Asset("image/svg+xml", _read("icon.svg").encode()),
    }


def script_name() -> str:
    """Return the name of the script, with a hash of what is in it."""
    return bundle.named("monitor", _script(), "js")


def style_name() -> str:
    """Return the name of the style sheet, likewise."""
    return bundle.named("monitor", _read("monitor.css"), "css")


def icon_name() -> str:
    """Return the name of the icon, likewise."""
    return bundle.named("icon", _read("icon.svg"), "svg")


@cache
def _script() -> str:
    return bundle.join(_read, "monitor.js")


@cache
def _read(name: str) -> str:
    return resources.files("sse_kit.monitor").joinpath("static", name).read_text("utf-8")
