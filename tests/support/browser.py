"""A headless Chromium that shows a page and answers questions about it.

It is steered by its DevTools protocol through two pipes, which needs no other package:
messages are JSON, each ended by a zero byte.
"""

import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

import pytest

EXECUTABLE = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
needs_browser = pytest.mark.skipif(
    EXECUTABLE is None,
    reason="there is no Chromium: apt-get install chromium",
)

_TIMEOUT_S = 60


class Browser:
    """One tab of a browser.

    Attributes:
        complaints: the messages of the console and the log, and uncaught errors.
        requests: the addresses that pages have loaded, without data addresses.
    """

    def __init__(self, process, read_from, write_to):
        self._process, self._read_from, self._write_to = process, read_from, write_to
        self._received, self._number, self._session = b"", 0, None
        self._events = []
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method, **parameters):
        """Calls a method of the protocol; returns its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write_to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _next(self):
        """Receives one message; notes what it says if it is an event."""
        deadline = time.monotonic() + _TIMEOUT_S
        while b"\0" not in self._received:
            left = deadline - time.monotonic()
            assert left > 0, "the browser does not answer"
            if select.select([self._read_from], [], [], left)[0]:
                part = os.read(self._read_from, 1 << 20)
                assert part, "the browser has ended"
                self._received += part
        line, _, self._received = self._received.partition(b"\0")
        message = json.loads(line)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, event, about):
        if event == "Runtime.consoleAPICalled":
            self.complaints.append(str([each.get("value") for each in about["args"]]))
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(about["exceptionDetails"]["text"])
        elif event == "Log.entryAdded":
            self.complaints.append(about["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            address = about["request"]["url"]
            if not address.startswith("data:"):
                self.requests.append(address)
        elif event is not None:
            self._events.append(event)

    def show(self, path, *, width, dark=False):
        """Opens the page at a path in a window of `width` CSS pixels."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": 900, "deviceScaleFactor": 1},
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self._events.clear()
        self.ask("Page.navigate", url=path.absolute().as_uri())
        while "Page.loadEventFired" not in self._events:
            self._next()

    def evaluate(self, expression):
        """Returns the value of an expression of JavaScript on the page."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def press(self, key):
        """Presses and releases a key, such as "Tab"."""
        for kind in ("keyDown", "keyUp"):
            code = {"Tab": 9, "Enter": 13}[key]
            self.ask(
                "Input.dispatchKeyEvent",
                **{"type": kind, "key": key, "windowsVirtualKeyCode": code},
                **({"text": "\r"} if key == "Enter" and kind == "keyDown" else {}),
            )

    def accessibility_tree(self):
        """What a screen reader reads: (role, name) of every node, in order."""
        nodes = self.ask("Accessibility.getFullAXTree")["nodes"]
        return [
            (node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node["ignored"]
        ]


@contextlib.contextmanager
def opened():
    """A browser, which is closed at the end."""
    to_browser, write_to = os.pipe()
    read_from, from_browser = os.pipe()
    # The browser expects its pipes at the descriptors 3 and 4.
    script = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
    # Its child processes, which end a moment later, may write while it is removed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                *("bash", "-c", script, "bash", EXECUTABLE, "--headless=new"),
                *("--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"),
                *("--hide-scrollbars", "--no-first-run", "--disable-dev-shm-usage"),
                *("--disable-background-networking", f"--user-data-dir={profile}"),
            ],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        try:
            yield Browser(process, read_from, write_to)
        finally:
            process.kill()
            process.wait()
            os.close(read_from)
            os.close(write_to)
