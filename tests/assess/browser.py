"""A browser without a window, asked over its own protocol what it shows."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import urlopen

from websockets.sync.client import connect

START_S = 30.0


def chromium() -> str | None:
    """Debian's browser, if it is here."""
    return shutil.which("chromium")


class Browser:
    """One page of one browser. A context manager; `folder` becomes its profile.

    `events` are what the browser told unasked: requests, and what it refused to do.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._last = 0
        self._open = contextlib.ExitStack()
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        # Its sandbox wants rights that a container seldom has; the pages are our own.
        self._process = subprocess.Popen(
            [
                chromium() or "chromium",
                *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
                *("--disable-background-networking", "--remote-debugging-port=0", "--hide-scrollbars"),
                *(f"--user-data-dir={self._folder}", "about:blank"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(self._folder)},
            start_new_session=True,
        )
        self._open.callback(self._end)
        try:
            self._socket = self._open.enter_context(
                connect(self._page(self._port()), max_size=None, proxy=None)
            )
            for domain in ("Page", "Network", "Log", "Runtime"):
                self.ask(f"{domain}.enable")
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    def _port(self) -> int:
        file = self._folder / "DevToolsActivePort"
        end = time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            if file.exists() and len(lines := file.read_text().splitlines()) == 2:
                return int(lines[0])
            time.sleep(0.02)
        raise AssertionError("the browser did not start")

    @staticmethod
    def _page(port: int) -> str:
        with urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
            pages = [each for each in json.load(answer) if each["type"] == "page"]
        address: str = pages[0]["webSocketDebuggerUrl"]
        return address

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one question of the protocol."""
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        while True:
            told = json.loads(self._socket.recv(20))
            if told.get("id") == self._last:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result
            self.events.append(told)

    def show(self, file: Path, width: int, *, dark: bool = False, medium: str = "screen") -> None:
        """Open the page in this file on a screen of this width."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=medium, features=[scheme])
        self.events.clear()
        self.ask("Page.navigate", url=file.as_uri())
        while not any(each["method"] == "Page.loadEventFired" for each in self.events):
            self.events.append(json.loads(self._socket.recv(20)))

    def see(self, expression: str) -> Any:
        """What this expression is on the page that is shown."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")
