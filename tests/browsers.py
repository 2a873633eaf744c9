"""A headless Chromium for tests that look at pages as a reader would, and what goes wrong in it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlparse

import pytest
from PIL import Image

#: What MLflow's page and Snakemake's report ask of a browser is there in any of these.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",  # containers seldom let a browser make namespaces
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@dataclass
class Page:
    """A page of Playwright's, with all that it complained of and every host outside this machine that it wanted."""

    page: object
    complaints: list[str] = field(default_factory=list)
    outside: set[str] = field(default_factory=set)

    def __getattr__(self, name: str):
        return getattr(self.page, name)

    def shoot(self, name: str, **options) -> None:
        """Keep a picture where the variable SCREENSHOTS names a directory: make screenshots."""
        if directory := os.environ.get("SCREENSHOTS"):
            path = Path(directory, f"{name}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=path, animations="disabled", **options)
            Image.open(path).convert("RGB").quantize(96).save(path, optimize=True)


def executable() -> str:
    """Chromium's path; without it, or without Playwright, the test that asks is skipped."""
    pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"needs a browser; none of {', '.join(NAMES)} is installed")
    return found


@contextmanager
def open_page(width: int = 1400, height: int = 900, stored: dict[str, str] | None = None) -> Iterator[Page]:
    """A new page in a new browser, without any network but this machine; stored is put into its local storage."""
    path = executable()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            context = browser.new_context(viewport={"width": width, "height": height})
            for key, value in (stored or {}).items():
                context.add_init_script(f"localStorage.setItem({key!r}, {value!r})")
            made = Page(context.new_page())
            _listen(made)
            yield made
        finally:
            browser.close()


def _listen(made: Page) -> None:
    def requested(request) -> None:
        host = urlparse(request.url).hostname
        if host and host != "127.0.0.1":
            made.outside.add(host)

    def answered(response) -> None:
        if response.status >= 400:
            made.complaints.append(f"{response.status} {response.url}")

    def said(message) -> None:
        # Failed requests are told with their address by `answered`.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            made.complaints.append(message.text)

    made.page.on("request", requested)
    made.page.on("response", answered)
    made.page.on("console", said)
    made.page.on("pageerror", lambda error: made.complaints.append(str(error)))
