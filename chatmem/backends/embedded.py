"""Backend for embedded:// and embedded:///a/folder: a Valkey server that chatmem starts itself."""

from __future__ import annotations

from urllib.parse import quote

import redis
import redis.asyncio
from anyio import to_thread
from redis.backoff import NoBackoff
from redis.retry import Retry

from chatmem.backends.redis import RETRIES, open_async, open_blocking
from chatmem.embedded.server import START_SECONDS, EmbeddedServer
from chatmem.transports.asyncio import AsyncioTransport, close_client
from chatmem.transports.base import Transport
from chatmem.transports.blocking import BlockingTransport
from chatmem.transports.retrying import SOON, AsyncClock, BlockingClock, RetryingTransport
from chatmem.transports.wrappers import RestartingTransport


class EmbeddedBackend:
    """The server whose data are in a folder. It is started on first use."""

    def __init__(self, folder: str) -> None:
        self._server = EmbeddedServer(folder or None)

    def asynchronous(self) -> Transport:
        """Return a transport on redis.asyncio, which starts the server in a worker thread."""
        transport = RetryingTransport(
            AsyncioTransport(self._open_async, close_client), AsyncClock(), retries=RETRIES, backoff=SOON
        )
        return RestartingTransport(transport, self._start_in_thread, self._server.explain, START_SECONDS)

    def blocking(self) -> Transport:
        """Return a transport on blocking redis-py."""
        transport = RetryingTransport(
            BlockingTransport(self._open_once, owned=True), BlockingClock(), retries=RETRIES, backoff=SOON
        )
        return RestartingTransport(transport, self._start, self._server.explain, START_SECONDS)

    async def _open_async(self) -> redis.asyncio.Redis:
        return open_async(_url(await self._start_in_thread()))

    def _open_once(self) -> redis.Redis:
        return open_blocking(_url(self._server.acquire()), retry=Retry(NoBackoff(), 0))

    def open_blocking(self) -> redis.Redis:
        """Return a new blocking client. The caller closes it."""
        return open_blocking(_url(self._server.acquire()))

    async def _start(self) -> str:
        return self._server.acquire()

    async def _start_in_thread(self) -> str:
        return await to_thread.run_sync(self._server.acquire)

    def release(self) -> None:
        """Stop using the server, which ends when its last user stops."""
        self._server.release()


def _url(path: str) -> str:
    return f"unix://{quote(path)}"
