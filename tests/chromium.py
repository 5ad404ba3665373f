"""A browser that tests look with: Debian's chromium, or whichever Chrome is there, found or installed.

Playwright drives it; none of Playwright's own browsers is downloaded. A Browser keeps an event loop running
in its thread, so that it must not outlive the tests of one module: others start loops of their own.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

from testcluster import packages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

PATIENCE: Final = 300_000
"""Milliseconds; a machine with much to do is slow, and no test is about how fast a browser is."""
NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")


def program() -> str:
    """Find a browser, or install Debian's."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        packages.require({NAMES[0]: "chromium"})
    return found or str(shutil.which(NAMES[0]))


@contextmanager
def started() -> Iterator[Browser]:
    """Lend a browser that keeps nothing and may run as root."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program(), args=["--no-sandbox", "--disable-dev-shm-usage"], timeout=PATIENCE
        )
        yield browser
        browser.close()
