"""The socket of one of redis-py's connections, read and written without redis-py once it is connected.

Each call that may wait gives up the interpreter's lock, and afterwards stands in line for it behind all other threads
that have work. A Python socket with a time-out makes four such calls in a round trip: `poll` and `send`, `poll` and
`recv`. Here the system itself keeps the time, and there are two. With 50 threads the others took a fifth of the CPU.
"""

from __future__ import annotations

import _socket  # its own class, which gevent does not replace
import builtins
import select
import socket
import struct
import threading
from typing import Any

from redis.connection import AbstractConnection
from redis.exceptions import ConnectionError, TimeoutError  # noqa: A004 - redis-py's names

from chatmem.transports.replies import MORE, new_reader, refusal

_READ_BYTES = 64 * 1024
_SMALL_BYTES = 64 * 1024
_CAN_KEEP_TIME = hasattr(select, "poll") and struct.calcsize("l") == 8
"""Whether the system takes a time-out as two numbers of 64 bits, as all Unix systems of 64 bits do."""


class OwnSocket:
    """A connection that serves one call at a time."""

    def __init__(self, connection: AbstractConnection) -> None:
        """Open nothing yet.

        Args:
            connection: redis-py's, not yet connected.
        """
        self._connection: Any = connection
        self._timeout: float | None = self._connection.socket_timeout

    def make_ready(self) -> None:
        """Connect unless connected, and connect again if the server closed the connection or left something unread.

        Raises:
            RedisError: redis-py's error, if it cannot be connected.
        """
        self._connection.connect()
        if self._is_unusable():
            self._connection.disconnect()
            self._connection.connect()
            if self._is_unusable():
                raise ConnectionError("Connection not ready")
        self._take(self._connection._sock)

    def _is_unusable(self) -> bool:
        try:
            return bool(self._connection.can_read())
        except (ConnectionError, TimeoutError, OSError):
            return True

    def _take(self, connected: socket.socket) -> None:
        self._socket = connected
        self._reader = new_reader()
        # not under TLS or gevent: there each call makes several of the system's, and waits between them
        calls_system = type(connected).recv is _socket.socket.recv
        self._system_waits = _CAN_KEEP_TIME and calls_system and self._timeout is not None
        if self._system_waits:
            let_system_wait(connected, self._timeout or 0)
            self._arrival = select.poll()
            self._arrival.register(connected, select.POLLIN)

    def ask(self, request: bytes, count: int) -> list[Any]:
        """Send a request; return its `count` replies, with error replies as exceptions among them.

        Raises:
            ConnectionError: the connection was lost.
            TimeoutError: the server did not answer in time.
        """
        replies: list[Any] = []
        try:
            self._send(request)
            while len(replies) < count:
                replies.append(self._reply())
        except (builtins.TimeoutError, BlockingIOError):
            raise TimeoutError("Timeout waiting for the server") from None
        except OSError as error:
            raise refusal(replies) or ConnectionError(f"Connection lost: {error}") from error
        return replies

    def close(self) -> None:
        """Close the connection. `make_ready` opens it again."""
        self._connection.disconnect()

    def _send(self, request: bytes) -> None:
        if self._system_waits and len(request) > _SMALL_BYTES:
            self._socket.settimeout(self._timeout)  # for all of it; the system's is for each part
            self._socket.sendall(request)
            self._socket.settimeout(None)
        else:
            self._socket.sendall(request)

    def _reply(self) -> Any:
        while (reply := self._reader.gets()) is MORE:
            if self._system_waits and threading.get_ident() == threading.main_thread().ident:
                self._wait()
            data = self._socket.recv(_READ_BYTES)
            if not data:
                raise ConnectionResetError("the server closed it")
            self._reader.feed(data)
        return reply

    def _wait(self) -> None:
        """Wait in the main thread, where signal handlers run: after a signal, the system would begin to wait anew."""
        if not self._arrival.poll((self._timeout or 0) * 1000):
            raise builtins.TimeoutError


def let_system_wait(connected: socket.socket, seconds: float) -> None:
    """Make a socket block, and let the system end each of its calls after so many seconds with `BlockingIOError`."""
    whole = int(seconds)
    limit = struct.pack("ll", whole, max(int((seconds - whole) * 1e6), 0 if whole else 1))  # all 0 is for ever
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
    connected.settimeout(None)
