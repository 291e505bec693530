"""The fixture of the front ends' own packages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.servers import AbsentError
from tests.ui.node import Frontends, running


@pytest.fixture(scope="session")
def frontends() -> Iterator[Frontends]:
    """A process of Node with the packages; tests are skipped where there is no Node."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found: install Node.js 20 or later with npm")
    try:
        with running() as frontends:
            yield frontends
    except AbsentError as absent:
        if os.environ.get("CI"):
            pytest.fail(str(absent))
        pytest.skip(str(absent))
