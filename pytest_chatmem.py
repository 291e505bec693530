"""A pytest plugin that gives tests a real chat memory; installing chatmem-redis registers it.

It is a module beside the package because pytest imports it in every run, also in those that use no chatmem, and
`import chatmem` imports redis and langchain-core. Everything but pytest is therefore imported in the fixtures.

The fixtures are synchronous, so that they work with pytest-asyncio, anyio's plugin and none: making a memory needs no
event loop, and its connections are closed with the loop that used them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import chatmem
    import chatmem.sync

_TTL = 3600.0
"""Seconds after which the sessions of a test that was killed expire."""


@pytest.fixture(scope="session")
def chatmem_url() -> Iterator[str]:
    """Start a Valkey server for this test run and return its URL.

    The server starts with the first test that needs it, in a temporary folder, and stops when the run ends. Each worker
    of pytest-xdist has its own. To use another server, return its URL from a session-scoped fixture of this name in
    your conftest.py.
    """
    import shutil  # noqa: PLC0415
    import tempfile  # noqa: PLC0415
    from urllib.parse import quote  # noqa: PLC0415

    from chatmem.embedded.server import EmbeddedServer  # noqa: PLC0415
    from chatmem.errors import UnsupportedError  # noqa: PLC0415

    folder = tempfile.mkdtemp(prefix="chatmem-")  # pytest's own folders have paths too long for a unix socket
    try:
        server = EmbeddedServer(folder)
        yield f"unix://{quote(server.acquire())}"
        server.release()
    except UnsupportedError as error:
        pytest.fail(f"{error}, or return the URL from a fixture chatmem_url in your conftest.py", pytrace=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the server may still be stopping


@pytest.fixture
def chatmem_prefix(chatmem_url: str) -> Iterator[str]:
    """Return a key prefix for this test, and delete all keys under it after the test.

    Both memories use it. Pass it to `connect` where a test needs options of its own:
    `chatmem.connect(chatmem_url, prefix=chatmem_prefix, max_messages=10)`.
    """
    prefix = f"test-{uuid.uuid4().hex}"
    yield prefix
    from chatmem.backends.admin import Server  # noqa: PLC0415

    server = Server(chatmem_url)
    try:
        for key in list(server.scan(prefix.encode(), b"*", b"")):
            server.run(("UNLINK", key))
    finally:
        server.close()


@pytest.fixture
def chat_memory(chatmem_url: str, chatmem_prefix: str) -> chatmem.ChatMemory:
    """Return an empty `chatmem.ChatMemory`; see `chatmem_url` for its server. Its sessions expire after an hour."""
    import chatmem  # noqa: PLC0415

    return chatmem.connect(chatmem_url, prefix=chatmem_prefix, ttl=_TTL)


@pytest.fixture
def sync_chat_memory(chatmem_url: str, chatmem_prefix: str) -> Iterator[chatmem.sync.ChatMemory]:
    """Return an empty `chatmem.sync.ChatMemory`, which holds the same sessions as the test's `chat_memory`."""
    import chatmem.sync  # noqa: PLC0415

    with chatmem.sync.connect(chatmem_url, prefix=chatmem_prefix, ttl=_TTL) as memory:
        yield memory
