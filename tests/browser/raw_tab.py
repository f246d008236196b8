"""A tab that Playwright does not hold: it keeps its own visible, and so they never freeze."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Any

from tests.browser.watch import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser


class RawTab:
    """A tab of the browser's default profile, driven by the DevTools protocol alone."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._cdp = browser.new_browser_cdp_session()
        self._numbers = itertools.count()
        self._answers: dict[int, dict[str, Any]] = {}
        self._cdp.on("Target.receivedMessageFromTarget", self._receive)
        self.target: str = self._cdp.send("Target.createTarget", {"url": url, "background": True})[
            "targetId"
        ]
        attach = {"targetId": self.target, "flatten": False}
        self._session: str = self._cdp.send("Target.attachToTarget", attach)["sessionId"]

    def _receive(self, event: dict[str, Any]) -> None:
        message = json.loads(event["message"])
        if "id" in message:
            self._answers[message["id"]] = message

    def send(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command, and wait for its answer."""
        number = next(self._numbers)
        command = json.dumps({"id": number, "method": method, "params": parameters})
        self._cdp.send(
            "Target.sendMessageToTarget", {"sessionId": self._session, "message": command}
        )
        deadline = time.monotonic() + PATIENCE / 1000
        while number not in self._answers:
            assert time.monotonic() < deadline, f"{method} was not answered"
            self._cdp.send("Browser.getVersion")  # answers come in while something is waited for
        answer = self._answers.pop(number)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401  whatever it is
        """Return the value of an expression."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + PATIENCE / 1000
        while not self.evaluate(f"try {{ !!({condition}) }} catch {{ false }}"):
            assert time.monotonic() < deadline, f"not true: {condition}"

    def freeze(self) -> None:
        """Hide it and freeze it: none of its tasks runs."""
        self.send("Page.setWebLifecycleState", state="frozen")

    def thaw(self) -> None:
        """Let it go on."""
        self.send("Page.setWebLifecycleState", state="active")

    def close(self) -> None:
        """Close it."""
        self._cdp.send("Target.closeTarget", {"targetId": self.target})
        self._cdp.detach()
