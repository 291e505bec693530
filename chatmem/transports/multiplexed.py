"""One connection that many coroutines share: requests go out as they come, and each caller gets its own replies.

redis-py opens the connection (addresses, TLS, credentials, database). From then on this module reads and writes its
bytes, without a task, a stream or a timer per command.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import hiredis
from redis import exceptions as redis_errors
from redis.asyncio.connection import AbstractConnection

from chatmem.transports.packing import Piece
from chatmem.transports.replies import MORE, new_reader, refusal

try:
    import fcntl
    import termios
except ImportError:  # on Windows
    termios = None  # type: ignore[assignment]  # a module, or None where there is none

_PUSH: type = getattr(hiredis, "PushNotification", type(None))
_HUNG_UP = "Connection closed: by the server"
_HELD_BYTES = 64 * 1024
_PIECES_PER_TURN = 4


class _Request:
    __slots__ = ("at", "begun", "count", "future", "replies", "size")

    def __init__(self, future: asyncio.Future[list[Any]], count: int, size: int, at: float) -> None:
        self.future = future
        self.count = count
        self.size = size
        self.at = at
        self.begun = False
        self.replies: list[Any] = []


class MultiplexedConnection(asyncio.Protocol):
    """A connection, opened when it is first needed. Once it is lost, it is of no more use: make another object."""

    def __init__(
        self,
        connection: AbstractConnection,
        timeout: float | None,
        freed: Callable[[], None],
        lost: Callable[[MultiplexedConnection], None],
    ) -> None:
        """Open nothing yet.

        Args:
            connection: redis-py's, not yet connected.
            timeout: seconds without a sign of life from the server after which the connection counts as lost; None
                for no limit.
            freed: called after replies arrived.
            lost: called once, when the connection is lost or closed, before the requests that wait get their error.
        """
        self._connection = connection
        self._timeout = timeout
        self._freed = freed
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Request] = deque()
        self._unsent: list[bytes] = []
        self._pieces: tuple[_Request, Iterator[Piece]] | None = None
        self._paused = False
        self._on_its_way = 0
        self._transport: asyncio.Transport | None = None
        self._opening: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._flushing = False
        self._over = False
        self.size = 0
        self._partial = 0
        self._heard = 0.0

    @property
    def waiting(self) -> int:
        """How many requests have no reply yet. `size` is their number of bytes."""
        return len(self._waiting)

    @property
    def held(self) -> bool:
        """Whether a large reply is arriving, so that replies to further requests would have to wait."""
        return self._partial > _HELD_BYTES

    def submit(self, packed: bytes, count: int) -> asyncio.Future[list[Any]]:
        """Send packed commands; the future gets `count` replies, with error replies as exceptions among them.

        The future may be cancelled; its replies are then dropped when they arrive.
        """
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        idle = not self._waiting
        self._add(future, count, len(packed))
        self._unsent.append(packed)
        if self._transport is None:
            if self._opening is None:
                self._begin_to_open()
        elif idle:
            self._flush()
        elif not self._flushing:  # further requests of this turn of the loop go out with it
            self._flushing = True
            self._loop.call_soon(self._flush)
        return future

    def submit_pieces(self, pieces: Iterator[Piece], size: int, count: int) -> asyncio.Future[list[Any]]:
        """Send a large request as fast as the server takes it, on a connection that has no other request.

        If the future is cancelled, the pieces that were not sent yet are never sent.
        """
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        self._pieces = self._add(future, count, size), pieces
        if self._transport is None:
            self._begin_to_open()
        else:
            self._send_pieces()
        return future

    def _add(self, future: asyncio.Future[list[Any]], count: int, size: int) -> _Request:
        request = _Request(future, count, size, self._loop.time())
        self._waiting.append(request)
        self.size += size
        return request

    def _flush(self) -> None:
        self._flushing = False
        if self._transport is None or not self._unsent:
            return
        self._transport.write(self._unsent[0] if len(self._unsent) == 1 else b"".join(self._unsent))
        self._unsent.clear()
        self._watch()

    def _send_pieces(self) -> None:
        """Write pieces until the transport's buffer is full, or it is time to let other tasks run."""
        for _ in range(_PIECES_PER_TURN):
            if self._paused or self._pieces is None or self._transport is None:
                return
            request, pieces = self._pieces
            if request.future.done():
                self._give_up(request)
                return
            piece = next(pieces, None)
            if piece is None:
                self._pieces = None
                self._on_its_way = on_its_way(self._transport)
                return
            request.begun = True
            self._heard = self._loop.time()  # the server took the pieces before this one
            self._transport.write(piece)
            self._watch()
        self._loop.call_soon(self._send_pieces)

    def _give_up(self, request: _Request) -> None:
        """Drop a cancelled request. If a part of it was sent, the connection is of no more use."""
        self._pieces = None
        if request.begun:
            self._end(redis_errors.ConnectionError("Connection given up with its request"))
            return
        self._waiting.remove(request)
        self.size -= request.size
        self._freed()

    def pause_writing(self) -> None:
        """Stop writing; called by asyncio."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on writing; called by asyncio."""
        self._paused = False
        self._send_pieces()

    def _watch(self) -> None:
        if self._timer is None and self._timeout is not None:
            self._timer = self._loop.call_later(self._timeout, self._check_time)

    def _begin_to_open(self) -> None:
        self._opening = self._loop.create_task(self._open())
        self._opening.add_done_callback(self._opened)

    async def _open(self) -> None:
        try:
            await self._connection.connect()
        except (redis_errors.RedisError, OSError) as error:
            self._end(error)
        except GeneratorExit:  # with its loop, which nobody ended: nothing can be awaited any more
            raise
        except BaseException:
            await self._connection.disconnect(nowait=True)
            raise
        else:
            if self._over:  # redis-py may swallow a cancellation while it sets the connection up
                await self._connection.disconnect(nowait=True)
            else:
                self._take_over()

    def _opened(self, task: asyncio.Task[None]) -> None:
        """End the connection unless it is open: whatever went wrong, no request may wait for ever."""
        self._opening = None
        error = None if task.cancelled() else task.exception()  # such as that of a caller's credential provider
        if error is not None or self._transport is None:
            reason = "" if error is None else f" ({type(error).__name__})"  # its text may hold a password
            failure = redis_errors.ConnectionError(f"the connection could not be set up{reason}")
            failure.__cause__ = error
            self._end(failure)

    def _take_over(self) -> None:
        """Become the protocol of redis-py's connection, which itself counts as not connected from then on."""
        connection: Any = self._connection
        self._writer = connection._writer  # kept: it closes the connection when it is garbage-collected
        transport: asyncio.Transport = self._writer.transport
        arrived: Any = connection._reader
        early, has_ended = bytes(arrived._buffer), arrived._eof or arrived.exception()
        connection._reader = connection._writer = None
        self._streams = transport.get_protocol()
        self._reader = new_reader()
        transport.set_protocol(self)
        self._transport = transport
        if early:  # a server that refuses a connection says so at once, and uvloop may have read it by now
            self.data_received(early)
        if has_ended:  # no loop tells it twice
            self._end(redis_errors.ConnectionError(_HUNG_UP))
        self._flush()
        self._send_pieces()

    def data_received(self, data: bytes) -> None:
        """Give complete replies to the requests that wait for them; called by asyncio."""
        self._heard = self._loop.time()
        self._partial += len(data)
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not MORE:
                self._take(reply)
        except redis_errors.InvalidResponse as error:
            self._end(error)
        self._freed()

    def _take(self, reply: Any) -> None:
        if isinstance(reply, _PUSH):
            return
        if not self._waiting:
            raise redis_errors.InvalidResponse("the server sent a reply without a request")
        self._partial = 0
        request = self._waiting[0]
        request.replies.append(reply)
        if len(request.replies) == request.count:
            self._waiting.popleft()
            self.size -= request.size
            if not request.future.done():
                request.future.set_result(request.replies)

    def _check_time(self) -> None:
        self._timer = None
        if not self._waiting or self._timeout is None:
            return
        self._look_at_what_is_on_its_way()
        left = max(self._heard, self._waiting[0].at) + self._timeout - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check_time)
        else:
            self._end(redis_errors.TimeoutError("Timeout reading from the server"))

    def _look_at_what_is_on_its_way(self) -> None:
        """Count it as a sign of life if the server took more of the bytes that the system has yet to send."""
        before, self._on_its_way = self._on_its_way, on_its_way(self._transport)
        if 0 < self._on_its_way < before or (before and not self._on_its_way):
            self._heard = self._loop.time()

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the requests that wait; called by asyncio."""
        self._streams.connection_lost(error)  # redis-py's stream waits for this when it is garbage-collected
        self._end(redis_errors.ConnectionError(f"Connection closed: {error}" if error else _HUNG_UP))
        self._closed.set_result(None)

    def _end(self, error: Exception) -> None:
        """Give up the connection and fail the requests that wait."""
        if self._over:
            return
        self._over = True
        self._lost(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._unsent.clear()
        self._pieces = None
        for request in self._waiting:
            if not request.future.done() and not self._loop.is_closed():
                request.future.set_exception(_copy(refusal(request.replies) or error))
        self._waiting.clear()
        self._freed()

    async def aclose(self) -> None:
        """Close the connection. Requests without a reply end with an error."""
        self._end(redis_errors.ConnectionError("Connection closed by its owner"))
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        if self._transport is not None:
            await asyncio.wait([self._closed], timeout=1)


def on_its_way(transport: asyncio.Transport | None) -> int:
    """Return how many written bytes the other side has not acknowledged yet; 0 where the system cannot tell."""
    found = None if transport is None else transport.get_extra_info("socket")
    if found is None or termios is None:
        return 0
    try:
        answer = fcntl.ioctl(found.fileno(), termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int.from_bytes(answer, sys.byteorder)


def _copy(error: Exception) -> Exception:
    """Return a copy for one request: raising an error changes it, so requests must not share one."""
    copy = type(error)(*error.args)
    copy.__cause__ = error
    return copy
