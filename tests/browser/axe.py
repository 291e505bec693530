"""axe-core, which looks for what keeps people from using a page. npm brings it, once, into the user's cache."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import platformdirs
import pytest
from playwright.sync_api import Page

from examples import vendor

FOLDER = platformdirs.user_cache_path("chatmem-tests") / "axe-core"
PIN: vendor.Pin = {
    "version": "4.14.1",
    "integrity": "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
    "files": {"axe.min.js": "4.14.1.js"},
}


def source() -> str:
    """Return axe-core's script. Without it the test is skipped, but in CI."""
    (name,) = PIN["files"].values()
    if not (FOLDER / name).exists():
        try:
            vendor.fetch("axe-core", PIN, FOLDER)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"npm does not bring axe-core: {error}")
    return (FOLDER / name).read_text()


def violations(page: Page) -> list[str]:
    """Return what is wrong with the page as it is now: all that axe-core finds in the light, colours in the dark."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(source())
    page.emulate_media(color_scheme="light")
    light = _run(page, "{}")
    page.emulate_media(color_scheme="dark")
    return light + [f"dark: {one}" for one in _run(page, "{ runOnly: ['color-contrast'] }")]


def _run(page: Page, options: str) -> list[str]:
    found: list[dict[str, Any]] = page.evaluate(f"axe.run({options}).then(({{ violations }}) => violations)")
    return [f"{one['id']}: {', '.join(str(node['target'][0]) for node in one['nodes'])}" for one in found]
