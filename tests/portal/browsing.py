"""A visitor of the portal, in words: open, choose, press, see."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOW = "No Chromium on this machine: the portal's browser tests are SKIPPED. Get it with: apt install chromium"
SCREENSHOTS = Path(os.environ.get("WHEELTAPPER_SCREENSHOTS") or Path(__file__).parent / "screenshots")
# Generous, because the machine may be busy; nothing waits longer than it has to.
PATIENCE_MS = 60_000

_QUIET = """() => {
    const app = document.querySelector('[data-testid="stApp"]');
    return app && app.getAttribute('data-test-script-state') === 'notRunning'
        && !document.querySelector('[data-stale="true"]') && document.querySelector('h1');
}"""


class Visit:
    """One browser window at the portal."""

    def __init__(self, browser: Any, address: str, width: int = 1280, height: int = 1000, dark: bool = False) -> None:
        self.address = address
        self._context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            timezone_id="Europe/Paris",
            locale="en-GB",
        )
        self.page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.strangers: list[str] = []
        self.page.on("request", self._note)

    def _note(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
            self.strangers.append(request.url)

    def open(self, path: str = "/") -> None:
        self.page.goto(self.address + path)
        self.settle()

    def settle(self) -> None:
        """Wait until the page has been drawn."""
        self.page.wait_for_selector('[data-testid="stApp"]')
        self.page.wait_for_timeout(150)  # a click reaches the server before the page says that it works
        self.page.wait_for_function(_QUIET)

    def sees(self, text: str) -> None:
        """Wait until the text is there."""
        self.page.get_by_text(text).first.wait_for()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).first.click()
        self.settle()

    def give(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Drop files on the uploader."""
        payload = [{"name": name, "mimeType": "application/octet-stream", "buffer": data} for name, data in files]
        self.page.set_input_files('[data-testid="stFileUploader"] input[type="file"]', payload)
        self.settle()

    def choose(self, label: str, words: str) -> None:
        """Choose an option of a select box by typing it."""
        self.page.get_by_role("combobox", name=label).first.click()
        self.page.keyboard.type(words)
        self.page.keyboard.press("Enter")
        self.settle()

    def lists(self, clips: int) -> None:
        """Wait until so many clips are listed, no more; Streamlit says that it is done before it has mounted them."""
        self.page.locator(".clip").nth(clips - 1).wait_for()
        assert self.page.locator(".clip").count() == clips

    def pick_row(self, number: int = 0) -> None:
        """Choose a line of the first list of clips."""
        self.page.locator(".clip").nth(number).click()
        self.settle()

    def pick_table_row(self, number: int = 0) -> None:
        """Choose a line of the first table."""
        table = self.page.locator('[data-testid="stDataFrame"] canvas').first
        table.scroll_into_view_if_needed()
        box = table.bounding_box()
        # The table is drawn on a canvas under a layer that scrolls: only the mouse knows its lines.
        self.page.mouse.click(box["x"] + 15, box["y"] + 35 * (number + 1) + 17)
        self.settle()

    def verdict(self) -> str:
        """Wait for the verdict and read it."""
        return str(self.page.locator('[data-testid="verdict"]').first.inner_text())

    def waits_for_picture(self, key: str) -> None:
        """Wait until the clip of that key is drawn."""
        self.page.wait_for_selector(f'canvas[data-drawn="{key}"]', state="attached")

    def shot(self, name: str, full: bool = True) -> Path:
        """Keep a picture of the page."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        self.page.wait_for_function("!document.querySelector('[data-testid=\"stSkeleton\"]')")
        size = self.page.viewport_size
        if full:  # Streamlit scrolls inside the page: a full picture needs a window as high as its content
            height = self.page.evaluate("document.querySelector('[data-testid=\"stMain\"]').scrollHeight")
            self.page.set_viewport_size({"width": size["width"], "height": max(size["height"], int(height))})
            self.page.wait_for_timeout(300)
        self.page.screenshot(path=path)
        self.page.set_viewport_size(size)
        return path

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        return int(
            self.page.evaluate(
                "Math.max(document.documentElement.scrollWidth, "
                "document.querySelector('[data-testid=\"stMain\"]').scrollWidth) - window.innerWidth"
            )
        )

    def close(self) -> None:
        self._context.close()
