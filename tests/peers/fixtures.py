"""The old histories as fixtures, for every test: conftest.py names this module a plugin."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import start
from tests.peers import FOLDER, Peer, environments
from tests.servers import AbsentError, Server, with_search


def _peer(name: str, command: Callable[[], list[str | Path]]) -> Peer:
    try:
        return Peer(command())
    except AbsentError as absent:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is absent: {absent}")
        pytest.skip(f"{name} is absent: {absent}")


def _python(name: str) -> list[str | Path]:
    return [environments.python(name), "-I", FOLDER / "python_driver.py"]  # -I: nothing of the tests' own environment


def _javascript() -> list[str | Path]:
    node, folder = environments.javascript()
    return [node, FOLDER / "js_driver.mjs", folder]


@pytest.fixture(scope="session")
def langchain_community() -> Iterator[Peer]:
    """langchain-community's RedisChatMessageHistory and UpstashRedisChatMessageHistory."""
    with _peer("langchain-community", lambda: _python("community")) as peer:
        yield peer


@pytest.fixture(scope="session")
def memorystore() -> Iterator[Peer]:
    """Google's MemorystoreChatMessageHistory; redis+cluster:// URLs are clusters."""
    with _peer("Memorystore", lambda: _python("memorystore")) as peer:
        yield peer


@pytest.fixture(scope="session")
def langchain_js() -> Iterator[Peer]:
    """LangChain JS's Upstash class, its RedisChatMessageHistory, and ioredis.RedisChatMessageHistory."""
    with _peer("LangChain JS", _javascript) as peer:
        yield peer


@pytest.fixture(scope="session")
def langchain_redis() -> Iterator[Peer]:
    """langchain-redis' RedisChatMessageHistory."""
    with _peer("langchain-redis", lambda: _python("langchain-redis")) as peer:
        yield peer


@pytest.fixture(scope="session")
def search_url() -> Iterator[str]:
    """The URL of a server with RediSearch and ReJSON, which langchain-redis needs."""
    with ExitStack() as stack:
        yield start(Server("RediSearch", with_search), stack)
