"""What goes wrong with an engine: it is not there, or it does not do what it was told."""

from __future__ import annotations


class EngineError(Exception):
    """The root of what :mod:`sse_kit.testing.engines` raises by itself."""


class EngineAbsent(EngineError):
    """Something that a test needs is not installed; ``remedy`` is a command or a variable."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what} is absent: {self.remedy}"


class EngineFailed(EngineError):
    """The engine's process did not do what was asked; ``log`` is the end of what it wrote."""

    def __init__(self, engine: str, problem: str, log: str) -> None:
        super().__init__(engine, problem, log)
        self.engine = engine
        self.problem = problem
        self.log = log

    def __str__(self) -> str:
        return f"{self.engine} {self.problem}; its log ends with:\n{self.log}"


class EngineMisused(EngineError, RuntimeError):
    """A call that cannot be made now, or an option that this engine does not have."""

    def __init__(self, engine: str, problem: str, remedy: str) -> None:
        super().__init__(engine, problem, remedy)
        self.engine = engine
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.engine} {self.problem}: {self.remedy}"
