"""Headless Chromium for the tests of pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

expect.set_options(timeout=20_000)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Debian's Chromium, or another on the path. Playwright keeps an event loop: end it before asynchronous tests.

    Without a browser the test is skipped, but in CI.
    """
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if binary is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no browser: apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        with playwright.chromium.launch(executable_path=binary, args=arguments) as browser:
            yield browser
