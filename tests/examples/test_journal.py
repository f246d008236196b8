"""The worked example of a transport: it passes the suite, and what it says of itself is true."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from examples.journal import JournalTransport
from sse_kit import transport_from_url
from sse_kit.testing import TransportConformance
from sse_kit.transports import urls
from sse_kit.transports.base import Publication

if TYPE_CHECKING:
    from sse_kit import Transport

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "journal.py"
PAGE = ROOT / "docs" / "transports" / "your-own.md"

WRITE = """
import anyio, sys
from pathlib import Path
from examples.journal import JournalTransport
from sse_kit.transports.base import Publication

async def main():
    async with JournalTransport(Path(sys.argv[1])) as transport:
        number = 0
        while True:
            await transport.publish(Publication(("t",), b"%d" % number))
            print(number, flush=True)
            number += 1

anyio.run(main)
"""


class TestJournal(TransportConformance):
    @pytest.fixture(autouse=True)
    def use(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self, namespace: str) -> Transport:
        return JournalTransport(self.folder, namespace)


def test_it_is_short() -> None:
    """Under a hundred lines, as the page says."""
    assert len(EXAMPLE.read_text().splitlines()) < 100


BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_page_shows_it_as_it_is() -> None:
    """The block on the page is the file."""
    assert EXAMPLE.read_text() in BLOCKS


def test_the_page_gives_it_a_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The last block is the object of the entry point; it takes the options of all engines."""
    names: dict[str, Any] = {}
    exec(compile(BLOCKS[-1], str(PAGE), "exec"), names)  # noqa: S102

    class Loaded(EntryPoint):
        def load(self) -> object:
            return names["from_url"]

    def found(*, group: str) -> list[EntryPoint]:
        return [Loaded("journal", "my_package.journal:from_url", group)]

    monkeypatch.setattr(urls, "entry_points", found)
    made = transport_from_url(f"journal://{tmp_path}", namespace="n", connect_timeout=None)
    assert isinstance(made, JournalTransport)
    assert made.contact.address == str(tmp_path / "n.jsonl")


async def read(folder: Path) -> list[bytes]:
    async with JournalTransport(folder) as transport:
        page = await transport.read(0, limit=100_000)
        last = await transport.publish(Publication(("t",), b"last"))
    assert last.position.offset == len(page.records) + 1
    return [record.payload for record in page.records]


@pytest.mark.parametrize("told", [1, 7, 40])
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, told: int) -> None:
    """Without a hole, and the next record goes right behind it."""
    command = [sys.executable, "-c", WRITE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as writer:
        assert writer.stdout
        for _ in range(told):
            writer.stdout.readline()
        writer.kill()
    payloads = anyio.run(read, tmp_path)
    assert payloads == [b"%d" % number for number in range(len(payloads))]
    assert len(payloads) >= told


def test_a_line_that_a_crash_tore_is_written_again(tmp_path: Path) -> None:
    """Half a line is no record: it is cut off before the next one is written."""
    anyio.run(read, tmp_path)
    with (tmp_path / "sse.jsonl").open("ab") as file:
        file.write(b'[["t"], "half')
    assert anyio.run(read, tmp_path) == [b"last"]
    assert anyio.run(read, tmp_path) == [b"last", b"last"]
