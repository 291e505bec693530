"""A server of the command line's own, and how its commands are run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

import chatmem.sync
from chatmem.cli.app import app
from tests.cli.program import Run


@pytest.fixture
def server(url: str) -> Iterator[str]:
    """An empty database of its own, since the command line uses the default prefix."""
    database = url.removesuffix("/0") + "/8"
    yield database
    with redis.Redis.from_url(database) as raw:
        raw.flushdb()


@pytest.fixture
def memory(server: str) -> Iterator[chatmem.sync.ChatMemory]:
    with chatmem.sync.connect(server) as memory:
        yield memory


@pytest.fixture
def run(server: str) -> Run:
    """Runs a command on the server, in this process."""

    def call(*arguments: str, text: str | None = None) -> Any:
        return CliRunner().invoke(app, arguments, input=text, env={"CHATMEM_URL": server, "COLUMNS": "200"})

    return call
