"""Headless Chromium, told what to open over a pipe; counts what pages do. Not a test module.

Standard library only. The pipe carries JSON messages, each ended by a zero byte.
"""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOAD_SECONDS = 60.0
# Chromium reads from descriptor 3 and writes to 4; nothing else can say which ones.
LAUNCHER = """
import fcntl, os, sys
spare = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]
os.dup2(spare[0], 3)
os.dup2(spare[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
# A payload that runs calls ``pwned``; a page tells of what its policy stopped.
WATCH = """
window.pwned = function () { alert("pwned"); };
document.addEventListener("securitypolicyviolation", function (event) {
  window.toldViolation(event.violatedDirective + " " + event.blockedURI);
});
"""
# Handlers that sit on elements must be called for, or nobody knows of them.
TOUCH = """
(function () {
  var touched = 0;
  document.querySelectorAll("body *").forEach(function (one) {
    if (one.matches("script, input, button.md-clipboard, label")) { return; }
    touched += 1;
    ["mouseover", "pointerover", "focus", "toggle", "load", "error", "begin"].forEach(
      function (kind) { one.dispatchEvent(new Event(kind)); });
    var link = one.closest("a");
    if (!link || !/^(https?:|file:)$/.test(link.protocol)) {
      one.dispatchEvent(new MouseEvent("click", { bubbles: false, cancelable: true }));
    }
  });
  return touched;
})()
"""


@dataclass
class Counts:
    """What pages did, in words."""

    dialogs: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    windows: list[str] = field(default_factory=list)

    def all(self) -> dict[str, list[str]]:
        return dict(vars(self))


class Browser:
    """One Chromium with one page; a context manager."""

    def __init__(self, program: str, profile: Path, own_origin: str) -> None:
        self.own = (own_origin, "data:", "blob:", "about:")
        self.counts = Counts()
        self._number = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._loaded = 0
        self._pending = b""
        to_read, self._to = os.pipe()
        self._from, from_write = os.pipe()
        self.process = subprocess.Popen(
            [
                sys.executable, "-I", "-S", "-c", LAUNCHER, str(to_read), str(from_write), program,
                "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                f"--user-data-dir={profile}", "--window-size=1280,900", "--remote-debugging-pipe",
                "about:blank",
            ],
            pass_fds=(to_read, from_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(from_write)

    def __enter__(self) -> "Browser":
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session: str = attached["sessionId"]
        self._watch(self.session, is_page=True)
        watched = self._number
        self._until(lambda: watched in self._answers, "a first page")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._to)
        os.close(self._from)

    def open(self, address: str, settle_seconds: float = 0.1) -> int:
        """Load a page, touch each of its elements; how many there were."""
        self.load(address, settle_seconds)
        return self.touch(settle_seconds)

    def load(self, address: str, settle_seconds: float = 0.1) -> None:
        """Load a page and touch nothing."""
        self._loaded = 0
        self.call("Page.navigate", self.session, url=address)
        self._until(lambda: self._loaded >= 1, address)
        self._listen(settle_seconds)

    def touch(self, settle_seconds: float = 0.1) -> int:
        """Touch each element of the page, the button that empties the search among them."""
        touched = self.evaluate(TOUCH)
        self._listen(settle_seconds)
        return int(touched)

    def evaluate(self, expression: str) -> Any:
        told = self.call("Runtime.evaluate", self.session, expression=expression, userGesture=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come meanwhile are counted."""
        number = self._send(method, session, **parameters)
        self._until(lambda: number in self._answers, method)
        answer = self._answers.pop(number)
        assert "error" not in answer, (method, answer)
        result: dict[str, Any] = answer["result"]
        return result

    def _send(self, method: str, session: str | None, **parameters: Any) -> int:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        return self._number

    def _watch(self, session: str, *, is_page: bool) -> None:
        """Ask for events; not waited for, because an event may be what asks."""
        for domain in ("Runtime", "Network", *(("Log", "Page") if is_page else ())):
            self._send(f"{domain}.enable", session)
        if is_page:
            self._send("Runtime.addBinding", session, name="toldViolation")
            self._send("Page.addScriptToEvaluateOnNewDocument", session, source=WATCH)
        self._send(
            "Target.setAutoAttach", session,
            autoAttach=True, waitForDebuggerOnStart=False, flatten=True,
        )  # fmt: skip

    def _until(self, ready: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + LOAD_SECONDS
        while not ready():
            left = until - time.monotonic()
            assert left > 0, f"Chromium did not answer in {LOAD_SECONDS:g} s: {what}"
            self._take(left)

    def _listen(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._take(left)

    def _take(self, seconds: float) -> None:
        """Handle what has come, or comes within so many seconds."""
        if not select.select([self._from], [], [], seconds)[0]:
            return
        data = os.read(self._from, 1 << 20)
        assert data, "Chromium ended"
        *messages, self._pending = (self._pending + data).split(b"\0")
        for message in messages:
            self._handle(json.loads(message))

    def _handle(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
            return
        told, session = message.get("params", {}), message.get("sessionId")
        match message["method"]:
            case "Page.loadEventFired" if session == self.session:
                self._loaded += 1
            case "Page.javascriptDialogOpening":
                self.counts.dialogs.append(f"{told['type']} {told['message']}")
                self._send("Page.handleJavaScriptDialog", session, accept=True)
            case "Runtime.consoleAPICalled":
                frames = told.get("stackTrace", {}).get("callFrames", [])
                source = frames[0]["url"] if frames else ""
                self.counts.console.append(f"{told['type']} {told['args']} {source}")
            case "Runtime.exceptionThrown":
                self.counts.console.append(str(told["exceptionDetails"]))
            case "Log.entryAdded":
                self.counts.console.append(f"{told['entry']['text']} {told['entry'].get('url')}")
            case "Runtime.bindingCalled":
                self.counts.violations.append(told["payload"])
            case "Network.requestWillBeSent" | "Network.webSocketCreated":
                address = told["request"]["url"] if "request" in told else told["url"]
                if not address.startswith(self.own):
                    self.counts.foreign.append(address)
            case "Target.attachedToTarget":
                self._watch(told["sessionId"], is_page=told["targetInfo"]["type"] == "iframe")
            case "Page.windowOpen":
                self.counts.windows.append(told["url"])
