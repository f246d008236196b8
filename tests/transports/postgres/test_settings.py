"""Settings: refused where they are given, and secrets shown nowhere."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from sse_kit import transport_from_url
from sse_kit.errors import InvalidSetting
from sse_kit.transports.postgres import PostgresTransport

URL = "postgresql://user:s3cret@host:5433/db"


@pytest.mark.parametrize(
    "options",
    [
        {"schema": "a b"},
        {"schema": 'a"; DROP'},
        {"schema": "1a"},
        {"schema": ""},
        {"namespace": "a.b"},
        {"poll": 0.0},
        {"max_payload": 0},
        {"max_payload": 2**30},
        {"sslmode": "sometimes"},
        {"notify": 1},
        {"pooled": True},
        {"listen_dsn": "postgresql://host:port"},
        {"no_such": 1},
    ],
    ids=str,
)
def test_a_setting_outside_its_range_is_refused(options: dict[str, Any]) -> None:
    """At construction, by its name; nothing was sent."""
    name = "listen_dsn" if "pooled" in options else next(iter(options))
    with pytest.raises(InvalidSetting, match=name):
        PostgresTransport(URL, **options)


@pytest.mark.parametrize(
    "url",
    [
        "host",
        "mysql://user:s3cret@host",
        "postgresql://user:s3/cret@host/db",
        "postgresql://user:53/cret@host/db",
        "postgresql://user:s3cret@host:port/db",
        "postgresql://user:s3cret@host/db?no_such=1",
        "user=u password='s3cret",
    ],
)
def test_what_is_no_connection_string_is_refused_unseen(url: str) -> None:
    """Its password may be anywhere in it, so the sentence shows none of it."""
    with pytest.raises(InvalidSetting, match=r"write postgresql://") as caught:
        PostgresTransport(url)
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, "postgresql://user@host:5433/db"),
        ("postgresql://host/db?password=s3cret&user=u", "postgresql://u@host/db"),
        ("user=u password=s3cret host=h", "postgresql://u@h/"),
        ("postgresql://", "postgresql:///"),
        ("postgresql://u:s3cret@a,b:2/db", "postgresql://u@a,b:,2/db"),
    ],
)
def test_an_address_is_shown_without_what_is_secret(url: str, shown: str) -> None:
    """Wherever the password stands."""
    transport = PostgresTransport(url, password="s3cret", listen_dsn=url)  # noqa: S106  none
    assert transport.contact.address == shown
    assert "s3cret" not in repr(transport.settings)


def test_an_url_alone_makes_one() -> None:
    """Both names of the scheme."""
    for scheme in ("postgres", "postgresql"):
        transport = transport_from_url(f"{scheme}://host/db", namespace="n")
        assert isinstance(transport, PostgresTransport)


def test_without_psycopg_the_extra_is_named() -> None:
    """Importing the module says what to install."""
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from sse_kit.errors import MissingExtra\n"
        "try:\n    import sse_kit.transports.postgres\n"
        "except MissingExtra as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "'psycopg' is not installed: pip install 'sse-kit[postgres]'\n"
