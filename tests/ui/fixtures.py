"""The fixtures of the front ends' own packages. Tests are skipped where there is no Node."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import AbsentError
from tests.ui.node import Frontends, built, running


@contextmanager
def _needing_node() -> Iterator[None]:
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found: install Node.js 20 or later with npm")
    try:
        yield
    except AbsentError as absent:
        if os.environ.get("CI"):
            pytest.fail(str(absent))
        pytest.skip(str(absent))


@pytest.fixture(scope="session")
def frontends() -> Iterator[Frontends]:
    """A process of Node with the packages."""
    with _needing_node(), running() as frontends:
        yield frontends


@pytest.fixture(scope="session")
def pages() -> Path:
    """A folder with pages that the packages make."""
    with _needing_node():
        return built()
