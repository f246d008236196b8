"""The origin's four helpers: what they render. ``tests/browser`` is about what that does."""

from __future__ import annotations

import hashlib
import html
import json
import re
import secrets
import subprocess
import sys
from base64 import b64encode
from typing import Any

import pytest
from fastcore.xml import FT, to_xml
from fasthtml.components import Div, P
from fasthtml.core import FastHTML
from fasthtml.xtend import Script

import sse_kit
from sse_kit import (
    cleanup_sse_on_unload,
    create_connection_manager_script,
    create_reconnection_script,
    create_sse_element,
)
from sse_kit import fasthtml as of_fasthtml
from sse_kit.errors import InvalidInput, InvalidSetting
from sse_kit.fasthtml import HTMX_2_EXTENSION, HTMX_2_INTEGRITY, install_sse
from sse_kit.templates import bundle
from tests.browser.flavours import source

HOSTILE = ["'\"", "</script><b>", "\u2028", "a&b", "<!--", "{}'\"`${}"]


def block_of(element: FT) -> dict[str, Any]:
    """Return what the data block of a script says."""
    [text] = re.findall(r"<script[^>]*data-sse-kit[^>]*>(.*?)</script>", to_xml(element), re.DOTALL)
    block: dict[str, Any] = json.loads(text)
    return block


# The origin's assertions, as far as they bind -----------------------------------------------------


def test_an_element_is_what_it_was_in_the_origin() -> None:
    """Its id, its extension, its address; a style goes where htmx reads one."""
    element = create_sse_element(
        endpoint="/sse/test", element_id="sse-container", swap_strategy="innerHTML", hidden=False
    )
    assert isinstance(element, FT)
    assert element.attrs.get("id") == "sse-container"
    assert element.attrs.get("hx-ext") == "sse"
    assert element.attrs.get("sse-connect") == "/sse/test"
    assert element.attrs.get("hx-swap") == "innerHTML"
    assert element.attrs.get("sse-swap") == "message"
    assert "style" not in element.attrs


def test_an_element_may_be_hidden() -> None:
    """Also where a policy forbids styles in the page."""
    element = create_sse_element(endpoint="/sse/hidden", hidden=True)
    assert element.attrs.get("style") == "display: none;"
    assert element.attrs.get("hidden") is True


def test_an_element_has_what_else_was_given() -> None:
    """As FastHTML spells it, ``class_`` too; it wins over what is the kit's."""
    element = create_sse_element(
        endpoint="/sse/custom",
        element_id="custom",
        class_="sse-stream",
        data_test="value",
        hx_swap="outerHTML",
    )
    assert element.attrs.get("class") == "sse-stream"
    assert element.attrs.get("data-test") == "value"
    assert element.attrs.get("hx-swap") == "outerHTML"


def test_an_element_takes_children() -> None:
    """By a call, as every element of FastHTML."""
    assert "<p>x</p>" in to_xml(create_sse_element("/events")(P("x")))


def test_an_element_of_htmx_4() -> None:
    """By one parameter."""
    attrs = create_sse_element("/events", htmx=4, cursor="e.7").attrs
    assert attrs["hx-sse:connect"] == attrs["hx-sse-connect"] == "/events"
    assert attrs["data-sse-cursor"] == "e.7"
    assert "sse-connect" not in attrs


@pytest.mark.parametrize("name", ["a b", 'a"', "a'", "a>", "a=", "a/", "<a", "", "a\n"])
def test_a_name_that_would_be_more_than_an_attribute_is_refused(name: str) -> None:
    """FastHTML writes names as they are."""
    with pytest.raises(InvalidInput, match="is no name of an attribute"):
        create_sse_element("/events", **{name: "x"})  # type: ignore[arg-type]


@pytest.mark.parametrize("text", HOSTILE)
def test_every_value_of_an_element_is_escaped(text: str) -> None:
    """There is one tag in it, and the value comes out as it went in."""
    element = create_sse_element(
        f"/{text}.",
        element_id=text,
        swap_strategy=f"x{text}",
        close_event=text,
        cursor=text,
        targets=[text],
        class_=text,
        data_x=text,
    )
    written = to_xml(element)
    assert written.count("<") == 2
    values = [html.unescape(a or b) for a, b in re.findall(r"""="([^"]*)"|='([^']*)'""", written)]
    assert values.count(text) == 6
    assert f"/{text}." in values


def test_the_cleanup_script_sets_nothing() -> None:
    """The runtime does that by itself."""
    script = cleanup_sse_on_unload()
    assert isinstance(script, FT)
    assert block_of(script) == {"lifecycle": {}}
    assert bundle.script() in to_xml(script)


def test_the_reconnection_script_says_how_often() -> None:
    """The origin's parameters, in the origin's order."""
    script = create_reconnection_script(3000, 3, debug=True)
    assert isinstance(script, FT)
    assert block_of(script) == {
        "connection": {"minDelay": 100, "baseDelay": 500, "maxDelay": 3000, "maxRetries": 3},
        "debug": True,
    }
    assert block_of(create_reconnection_script())["connection"]["maxRetries"] == 5
    assert block_of(create_reconnection_script())["connection"]["maxDelay"] == 5000
    assert block_of(create_reconnection_script(50))["connection"]["baseDelay"] == 50


def test_the_manager_script_says_where_and_how_often() -> None:
    """The origin's parameters, in the origin's order."""
    script = create_connection_manager_script("/api/connections", 5000)
    assert isinstance(script, FT)
    assert block_of(script) == {"stats": {"endpoint": "/api/connections", "interval": 5000}}
    assert block_of(create_connection_manager_script()) == {
        "stats": {"endpoint": "/sse/connections", "interval": 10000}
    }


@pytest.mark.parametrize("wrong", [-1, 99, 10**18])
def test_an_interval_that_does_harm_is_refused(wrong: int) -> None:
    """A server would be asked without a pause, or never."""
    with pytest.raises(InvalidSetting, match="interval"):
        create_connection_manager_script(update_interval=wrong)


def test_a_number_below_zero_is_refused() -> None:
    """Of attempts, and of milliseconds."""
    with pytest.raises(InvalidSetting, match="max_retries"):
        create_reconnection_script(max_retries=-1)
    with pytest.raises(InvalidSetting, match="delay"):
        create_reconnection_script(check_interval=-1)


@pytest.mark.parametrize("text", HOSTILE)
def test_an_endpoint_in_a_script_is_data(text: str) -> None:
    """It cannot leave its block."""
    script = create_connection_manager_script(text, inline=False)
    written = to_xml(script).strip()
    assert written.count("<") == 2
    assert written.isascii()
    assert block_of(script)["stats"]["endpoint"] == text


def test_a_script_goes_with_a_runtime_that_is_there() -> None:
    """Then it is its block alone; else the runtime is in it, under the page's nonce."""
    assert "module" not in to_xml(create_reconnection_script(inline=False))
    assert '<script type="module" nonce="abc">' in to_xml(cleanup_sse_on_unload(nonce="abc"))


# The names ----------------------------------------------------------------------------------------


def test_the_names_are_lazy() -> None:
    """Importing the package does not import FastHTML, asking for a name does."""
    code = (
        "import sys, sse_kit; assert 'fasthtml' not in sys.modules;"
        "sse_kit.create_sse_element; assert 'fasthtml' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_lazy_name_is_the_function_itself() -> None:
    """Once asked for, it is an attribute like others."""
    assert sse_kit.create_sse_element is of_fasthtml.create_sse_element
    assert "create_sse_element" in vars(sse_kit)


# What an app's htmx lacks -------------------------------------------------------------------------


def sources(app: FastHTML) -> list[str]:
    install_sse(app)
    found = [each.attrs.get("src") for each in app.hdrs]
    return [str(src) for src in found if src and "sse" in str(src)]


def app_with(*headers: object, **options: Any) -> FastHTML:
    return FastHTML(secret_key=secrets.token_hex(), hdrs=headers, **options)  # type: ignore[arg-type]


def test_the_extension_of_htmx_2_is_added() -> None:
    """FastHTML has no entry for it."""
    extension, *kit = sources(app_with())
    assert extension == HTMX_2_EXTENSION
    assert kit == [f"/sse-kit/{name}" for name in (bundle.script_name(), bundle.htmx_name())]


def test_the_extension_of_htmx_4_is_added_beside_it() -> None:
    """Of the same release."""
    extension, *_ = sources(app_with(htmx4=True))
    core = next(
        str(each.attrs["src"])
        for each in app_with(htmx4=True).hdrs
        if "htmx.org" in str(each.attrs.get("src"))
    )
    assert extension == core.replace("/htmx.min.js", "/ext/hx-sse.min.js")


@pytest.mark.parametrize(
    "app",
    [
        app_with(htmx4=True, exts="sse4"),
        app_with(Script(src="/mine/htmx-ext-sse/sse.js")),
        app_with(default_hdrs=False),
        app_with(htmx=False),
        app_with(Div("no script"), default_hdrs=False),
    ],
    ids=["has 4's", "has 2's", "bare", "no htmx", "no scripts"],
)
def test_no_extension_is_added_twice_or_without_its_htmx(app: FastHTML) -> None:
    """What is there is left alone."""
    before = [each for each in app.hdrs if "src" in getattr(each, "attrs", {})]
    install_sse(app)
    after = [each for each in app.hdrs if "src" in getattr(each, "attrs", {})]
    has_htmx = any("htmx" in str(each.attrs["src"]) for each in before)
    assert len(after) == len(before) + 1 + has_htmx


@pytest.mark.parametrize(
    ("options", "extension"),
    [
        ({"exts": "sse4"}, "/hx-sse.min.js"),
        ({"htmx4": True, "hdrs": (Script(src=HTMX_2_EXTENSION),)}, "htmx-ext-sse"),
    ],
    ids=["4's with 2", "2's with 4"],
)
def test_an_extension_of_the_other_version_is_refused(
    options: dict[str, Any], extension: str
) -> None:
    """It would fail when the page loads it; FastHTML asks for no more than a name."""
    app = FastHTML(secret_key=secrets.token_hex(), **options)
    with pytest.raises(InvalidInput, match="htmx4=True goes with exts='sse4'") as caught:
        install_sse(app)
    assert extension in str(caught.value.value)


def test_the_hash_of_the_extension_is_that_of_its_file() -> None:
    """The one that npm has, and so the content network."""
    path = HTMX_2_EXTENSION.partition("/npm/")[2]
    digest = hashlib.sha384(source(path).encode()).digest()
    assert f"sha384-{b64encode(digest).decode()}" == HTMX_2_INTEGRITY
