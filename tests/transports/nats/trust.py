"""A server that trusts an operator, and the credentials of a user: what nsc makes."""

from __future__ import annotations

import json
import os
import time
from base64 import b32encode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import nkeys  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from pathlib import Path

UNLIMITED = {"subs": -1, "data": -1, "payload": -1}
SYSTEM: dict[str, Any] = UNLIMITED | dict.fromkeys(("conn", "leaf", "imports", "exports"), -1)
SYSTEM["wildcards"] = True
ACCOUNT = SYSTEM | dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)


def _key(kind: int) -> nkeys.KeyPair:
    seed = nkeys.encode_seed(os.urandom(32), kind)
    return nkeys.from_seed(bytearray(seed))


def _name(key: nkeys.KeyPair) -> str:
    return bytes(key.public_key).decode()


def _part(value: bytes) -> bytes:
    return urlsafe_b64encode(value).rstrip(b"=")


def _signed(issuer: nkeys.KeyPair, subject: str, claims: dict[str, Any]) -> str:
    body = {"iat": int(time.time()), "iss": _name(issuer), "name": "sse_kit", "sub": subject}
    body["jti"] = b32encode(sha256(json.dumps(body).encode()).digest()).decode().rstrip("=")
    body["nats"] = {**claims, "version": 2}
    header = {"typ": "JWT", "alg": "ed25519-nkey"}
    text = b".".join(_part(json.dumps(each).encode()) for each in (header, body))
    return b".".join([text, _part(issuer.sign(text))]).decode()


@dataclass
class Trust:
    """Lines for a server's configuration, and a file of credentials that it accepts."""

    config: dict[str, str]
    file: Path

    @classmethod
    def make(cls, folder: Path) -> Trust:
        operator = _key(nkeys.PREFIX_BYTE_OPERATOR)
        account, system = _key(nkeys.PREFIX_BYTE_ACCOUNT), _key(nkeys.PREFIX_BYTE_ACCOUNT)
        user = _key(nkeys.PREFIX_BYTE_USER)
        itself = _signed(operator, _name(operator), {"type": "operator"})
        theirs = _signed(operator, _name(account), {"type": "account", "limits": ACCOUNT})
        ours = _signed(account, _name(user), {"type": "user", **UNLIMITED})
        file = folder / "user.creds"
        seed = bytes(user.seed).decode()
        file.write_text(
            f"-----BEGIN NATS USER JWT-----\n{ours}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
        needed = _signed(operator, _name(system), {"type": "account", "limits": SYSTEM})
        config = {
            "operator": itself,
            "system_account": _name(system),
            "resolver": "MEMORY",
            "resolver_preload": json.dumps({_name(account): theirs, _name(system): needed}),
        }
        return cls(config, file)
