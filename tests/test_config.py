"""Settings: what is refused where it is given."""

from __future__ import annotations

import math
from typing import Any, get_type_hints

import pytest

from sse_kit.config import (
    DrainSettings,
    Options,
    RegistrySettings,
    Retention,
    Settings,
    StreamSettings,
)
from sse_kit.errors import InvalidSetting
from sse_kit.messages import MAX_RETRY

SECONDS = ("heartbeat", "send_timeout", "max_lifetime")
COUNTS = ("queue_size", "queue_bytes", "ring_size", "ring_bytes", "max_connections")
NO_SECONDS = (0, 0.0, -1.0, math.inf, math.nan, True, "15", b"15")
NO_TIMEOUT = (-1, -0.001, math.nan, True, "1", None)
NO_COUNT = (0, -1, 1.0, True, "1", math.inf, 10**5_000 * -1)
NO_MILLISECONDS = (-1, MAX_RETRY + 1, 10**5_000, True, 1.0, "1", None)

KINDS = (Retention, StreamSettings, RegistrySettings, DrainSettings)

REFUSED: tuple[tuple[type[Settings], str, Any], ...] = (
    *((RegistrySettings, name, value) for name in SECONDS for value in NO_SECONDS),
    *((RegistrySettings, name, value) for name in COUNTS for value in NO_COUNT),
    *((RegistrySettings, "retry", value) for value in NO_MILLISECONDS),
    *((StreamSettings, name, None) for name in ("heartbeat", "send_timeout")),
    *((Retention, name, value) for name in ("max_records", "max_bytes") for value in NO_COUNT),
    *((Retention, "max_age", value) for value in NO_SECONDS),
    *((DrainSettings, name, value) for name in ("spread", "timeout") for value in NO_TIMEOUT),
    *((DrainSettings, "spread", value) for value in (24 * 60 * 60 + 1, math.inf)),
    *((kind, "unknown", 1) for kind in KINDS),
)


@pytest.mark.parametrize(("kind", "name", "value"), REFUSED, ids=[name for _, name, _ in REFUSED])
def test_a_setting_outside_its_range_is_refused(
    kind: type[Settings], name: str, value: object
) -> None:
    """Where it is made; the error names the setting and the value."""
    with pytest.raises(InvalidSetting) as caught:
        kind(**{name: value})
    assert caught.value.field == name
    assert caught.value.value is value
    assert str(caught.value).startswith(f"{name}=")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (StreamSettings, {"heartbeat": 1, "retry": 0, "send_timeout": 0.001}),
        (StreamSettings, {"retry": MAX_RETRY}),
        (DrainSettings, {"spread": 0, "timeout": 0}),
        (DrainSettings, {"spread": 24 * 60 * 60, "timeout": math.inf}),
        (RegistrySettings, {"max_connections": None, "max_lifetime": None}),
        (RegistrySettings, {"queue_size": 1, "queue_bytes": 1, "ring_size": 1, "ring_bytes": 1}),
        (Retention, {"max_records": None, "max_bytes": None, "max_age": None}),
        (Retention, {"max_records": 1, "max_bytes": 1, "max_age": 0.001}),
    ],
    ids=str,
)
def test_a_setting_at_the_edge_of_its_range_is_taken(
    kind: type[Settings], fields: dict[str, Any]
) -> None:
    """And stays as it was given."""
    settings = kind(**fields)
    assert {name: getattr(settings, name) for name in fields} == fields


@pytest.mark.parametrize("kind", KINDS)
def test_the_defaults_are_in_their_range(kind: type[Settings]) -> None:
    """Pydantic does not look at defaults: here they are given as values."""
    assert kind(**dict(kind())) == kind()


def test_a_heartbeat_comes_before_proxies_cut() -> None:
    """The shortest of them waits for 30 s."""
    assert StreamSettings().heartbeat <= 15


@pytest.mark.parametrize("kind", KINDS)
def test_settings_cannot_be_changed(kind: type[Settings]) -> None:
    """They may be shared."""
    settings = kind()
    for name in kind.model_fields:
        with pytest.raises(ValueError, match="frozen"):
            setattr(settings, name, 1)


def test_the_options_of_a_registry_are_its_settings() -> None:
    """The keywords that type checkers know are the fields that the model has, but for heartbeat."""
    options, settings = get_type_hints(Options), get_type_hints(RegistrySettings)
    assert set(options) == set(settings) - {"heartbeat", "model_config"}
    assert options == {name: settings[name] for name in options}
