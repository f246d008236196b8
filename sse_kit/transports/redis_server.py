"""What a server of Redis or Valkey says of itself: whether it can be used, and how safely."""

from __future__ import annotations

from dataclasses import dataclass

from sse_kit.errors import EngineRefused

OLDEST = (7, 0)
"""The first whose scripts can ask for two sections of INFO; Valkey 7.2 calls itself Redis 7.2."""

FULL = 0.9
"""Share of ``maxmemory`` from which on it is told."""

SECTIONS = ("INFO", "server", "replication", "memory", "persistence")


@dataclass(frozen=True)
class Server:
    """The fields of INFO."""

    fields: dict[str, str]

    @classmethod
    def parse(cls, info: bytes) -> Server:
        """Return what INFO answered."""
        lines = info.decode(errors="replace").splitlines()
        pairs = (line.partition(":") for line in lines if not line.startswith("#"))
        return cls({name: value for name, _, value in pairs})

    @property
    def name(self) -> str:
        """Return ``Redis 7.0.15``, or what it calls itself."""
        valkey = self.fields.get("valkey_version")
        return f"Valkey {valkey}" if valkey else f"Redis {self.fields.get('redis_version', '')}"

    @property
    def is_primary(self) -> bool:
        """Return whether it takes writes, and knows all of them."""
        return self.fields.get("role") == "master"

    @property
    def run_id(self) -> str:
        """Return what no other server has, nor this one after a restart."""
        return self.fields.get("run_id", "")

    def check(self, address: str) -> None:
        """Refuse a server that the log cannot be kept in.

        Raises:
            EngineRefused: too old, or without an identity.

        """
        if self._version() < OLDEST:
            raise EngineRefused(
                address, self.name, "use Redis 7.0 or newer, or Valkey 7.2 or newer"
            )
        if not self.run_id or not self.fields.get("master_replid"):
            problem = "INFO hides run_id or master_replid"
            raise EngineRefused(address, problem, "without them a lost tail of the log is not seen")

    def warnings(self) -> list[str]:
        """Tell what endangers the log, and what to set."""
        found = [self._eviction(), self._memory(), self._persistence(), self._writes()]
        return [warning for warning in found if warning]

    def _version(self) -> tuple[int, ...]:
        numbers = self.fields.get("redis_version", "").split(".")
        return tuple(int(number) for number in numbers if number.isdecimal())

    def _number(self, field: str) -> int:
        return int(self.fields.get(field) or 0)

    def _eviction(self) -> str:
        policy = self.fields.get("maxmemory_policy", "noeviction")
        if not self._number("maxmemory") or policy == "noeviction":
            return ""
        return f"maxmemory-policy {policy} may delete the log or its keys: set noeviction"

    def _memory(self) -> str:
        used, most = self._number("used_memory"), self._number("maxmemory")
        if not most or used < FULL * most:
            return ""
        return f"{used} of {most} bytes of memory are used: raise maxmemory, or keep less"

    def _persistence(self) -> str:
        if self._number("aof_enabled"):
            return ""
        return "a crash loses what was acknowledged since the last snapshot: set appendonly yes"

    def _writes(self) -> str:
        if self.fields.get("aof_last_write_status", "ok") == "ok":
            return ""
        return "its last write to the append-only file failed: look at its disk"
