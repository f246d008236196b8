"""Certificates for a test, of an authority that lives as long as the test."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from sse_kit.testing.engines.errors import EngineAbsent

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """Three files: the authority that a client trusts, the server's certificate and its key."""

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Write them into ``folder``: for 127.0.0.1 and localhost, signed by a new authority.

        Raises:
            EngineAbsent: the package ``trustme`` is not installed.
        """
        try:
            import trustme  # noqa: PLC0415  only tests of TLS need it
        except ImportError as error:
            what = "the package 'trustme'"
            raise EngineAbsent(what, "pip install trustme") from error
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1", "localhost")
        made = cls(folder / "authority.pem", folder / "server.pem", folder / "server.key")
        authority.cert_pem.write_to_path(made.authority)
        issued.cert_chain_pems[0].write_to_path(made.certificate)
        made.key.touch(mode=0o600)  # PostgreSQL refuses a key that others can read
        issued.private_key_pem.write_to_path(made.key)
        return made

    def client(self) -> ssl.SSLContext:
        """Return what a client connects with: it trusts this authority alone."""
        return ssl.create_default_context(cafile=str(self.authority))
