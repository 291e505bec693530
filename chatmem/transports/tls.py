"""Detects a url with the wrong scheme: rediss:// for a port that does not speak TLS, or redis:// for one that does."""

from __future__ import annotations

import asyncio
import builtins
import socket
import ssl
from typing import Any

import redis
import redis.asyncio
from anyio import to_thread
from redis.exceptions import ConnectionError, TimeoutError  # noqa: A004 - redis-py's names

from chatmem.errors import UnavailableError

_ASK_SECONDS = 1.0
"""How long to wait for a port's answer, and for a TLS handshake before asking whether the port speaks TLS at all."""
NO_TLS = "does not speak TLS"
Address = tuple[str, int]
"""host and port"""


def mismatch(error: BaseException | None, address: Address, *, tls: bool) -> UnavailableError | None:
    """Return the error if a port speaks TLS and should not, or the other way round; otherwise None. Blocks a second.

    Args:
        error: redis-py's error from a connection to the port.
        address: host and port.
        tls: whether the port should speak TLS.
    """
    # a TLS server hangs up on a client without TLS; a client with TLS waits for a server without
    if "refused" in str(error) or (not tls and isinstance(error, TimeoutError)):
        return None
    where = f"the server could not be reached: {address[0]}:{address[1]}"
    if tls and _speaks_plain(address):
        return UnavailableError(f"{where} {NO_TLS}: begin the url with redis instead of rediss")
    if not tls and _speaks_tls(address):
        return UnavailableError(f"{where} speaks TLS only: begin the url with rediss instead of redis")
    return None


def _speaks_plain(address: Address) -> bool:
    try:
        with socket.create_connection(address, _ASK_SECONDS) as client:
            client.sendall(b"PING\r\n")
            return client.recv(1) in (b"+", b"-")
    except OSError:
        return False


def _speaks_tls(address: Address) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # no data is sent
    try:
        with socket.create_connection(address, _ASK_SECONDS) as client, context.wrap_socket(client):
            return True
    except ssl.SSLError as error:
        return error.reason is not None and ("ALERT" in error.reason or "CERT" in error.reason)
    except OSError:
        return False


class BlockingTlsConnection(redis.SSLConnection):
    """redis-py's connection, but quick to notice that a port does not speak TLS.

    Redis without TLS waits for the rest of a command when it gets a TLS handshake, while the client waits for it.
    """

    def _connect(self) -> Any:
        connect: Any = super()._connect
        seconds = self.socket_timeout
        try:
            self.socket_timeout = min(seconds or _ASK_SECONDS, _ASK_SECONDS)
            connected = connect()
            connected.settimeout(seconds)
            return connected
        except builtins.TimeoutError:
            if _speaks_plain((self.host, int(self.port))):
                raise ConnectionError(f"{self.host}:{self.port} {NO_TLS}") from None
        finally:
            self.socket_timeout = seconds
        return connect()


class TlsConnection(redis.asyncio.SSLConnection):
    """The same for asyncio."""

    async def _connect(self) -> None:
        connect: Any = super()._connect
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                await connect()
                return
        except builtins.TimeoutError:
            address = self.host, int(self.port)
        if await to_thread.run_sync(_speaks_plain, address, abandon_on_cancel=True):
            raise ConnectionError(f"{address[0]}:{address[1]} {NO_TLS}")
        await connect()
