"""axe-core, which looks for what keeps people from using a page. npm brings it, once, into `.cache/`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from examples import vendor

FOLDER = Path(__file__).parents[2] / ".cache" / "npm"
NAME = "axe-4.14.1.min.js"
PIN: vendor.Pin = {
    "version": "4.14.1",
    "integrity": "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    "files": {"axe.min.js": NAME},
}


def source() -> str:
    """Return axe-core's script. Without it the test is skipped, but in CI."""
    if not (FOLDER / NAME).exists():
        try:
            vendor.fetch("axe-core", PIN, FOLDER)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"npm does not bring axe-core: {error}")
    return (FOLDER / NAME).read_text()


def violations(page: Page) -> list[str]:
    """Return what is wrong with the page as it is now."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(source())
    found: list[dict[str, Any]] = page.evaluate("axe.run().then(({ violations }) => violations)")
    return [f"{one['id']}: {', '.join(str(node['target'][0]) for node in one['nodes'])}" for one in found]
