"""One connection that receives, for all listeners of an event loop, what is published on their channels."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, ResponseError  # noqa: A004 - redis-py's name

from chatmem.transports.background import AGAIN
from chatmem.transports.errors import REDIS_ERRORS
from chatmem.transports.listening.mailbox import Mailbox
from chatmem.transports.listening.protocol import PLAIN, QUIET, REFUSED_REST, REST, SHARDED, heard, is_elsewhere


class Line:
    """A connection to one server. Once it is lost, it is of no more use: make another object.

    It refers weakly to the mailboxes, so a listener that is dropped without a word is forgotten.

    Attributes:
        over: whether it brings nothing more.
    """

    def __init__(self, connection: AbstractConnection, ended: Callable[[Line, float], None]) -> None:
        """Begin to connect.

        Args:
            connection: redis-py's, not yet connected.
            ended: called once, when the line has ended, with the seconds before which another one would end too.
        """
        connection.retry = Retry(NoBackoff(), 0)
        self._connection: Any = connection
        self._ended = ended
        self._channels: dict[bytes, WeakSet[Mailbox]] = {}
        self._begun: set[bytes] = set()
        self._asked: deque[tuple[str, bytes]] = deque()
        """Commands and channels that the server has not answered yet."""
        self._command = SHARDED
        self._connected = self.over = False
        self._rest = REST
        self._sending: set[asyncio.Task[None]] = set()
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._end)

    def add(self, mailbox: Mailbox) -> None:
        """Bring a mailbox what is published on its channel."""
        mailbox.joined(self)
        channel = mailbox.channel
        if channel in self._channels:
            self._channels[channel].add(mailbox)
            if channel in self._begun:
                mailbox.begun()
            return
        self._channels[channel] = WeakSet([mailbox])
        if self._connected:
            self._ask(channel)

    def remove(self, mailbox: Mailbox) -> None:
        """Bring a mailbox nothing more. The line ends with the last one."""
        mailboxes = self._channels.get(mailbox.channel)
        if mailboxes is not None:
            mailboxes.discard(mailbox)
            self._sweep()

    async def aclose(self) -> None:
        """End the line."""
        while not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=AGAIN)

    async def _run(self) -> None:
        collected = False
        try:
            await self._connection.connect()
            self._connected = True
            for channel in self._channels:
                self._ask(channel)
            await self._read()
        except ResponseError:  # the user lacks a right, or the server has no channels at all
            self._rest = REFUSED_REST
        except REDIS_ERRORS:
            pass  # the listeners ask the server, and say what is wrong with it
        except GeneratorExit:  # with its loop, which nobody ended: nothing can be awaited any more
            collected = True
            raise
        finally:
            self.over, self._connected = True, False
            if not collected:
                await self._disconnect()

    async def _disconnect(self) -> None:
        for task in self._sending:
            task.cancel()
        try:
            await asyncio.gather(*self._sending, return_exceptions=True)
        finally:  # it may be cancelled twice
            await self._connection.disconnect(nowait=True)

    def _end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # such as that of a credential provider, which the listeners hear where they ask
        channels, self._channels = self._channels, {}
        self._ended(self, self._rest if channels else 0.0)
        for mailboxes in channels.values():
            for mailbox in list(mailboxes):
                mailbox.lost()

    async def _read(self) -> None:
        asked = False
        while self._channels:
            try:
                reply = await self._connection.read_response(
                    disable_decoding=True, timeout=QUIET, disconnect_on_error=False, push_request=True
                )
            except ResponseError as error:
                self._refused(error)
                continue
            if reply is None and asked:
                raise ConnectionError("the server is silent")
            asked = reply is None
            if asked:
                self._sweep()
                self._send("PING")
            else:
                self._take(reply)

    def _take(self, reply: Any) -> None:
        what, channel, message = heard(reply)
        mailboxes = self._channels.get(channel)
        if what == "begun":
            self._asked.popleft()
            self._begun.add(channel)
            self._rest = 0.0
            for mailbox in list(mailboxes or ()):
                mailbox.begun()
        elif what == "ended" and mailboxes is not None:
            self._give_up(channel)
        elif what == "message" and mailboxes:
            for mailbox in list(mailboxes):
                mailbox.put(message)

    def _refused(self, error: ResponseError) -> None:
        """Take the refusal of the oldest request."""
        if not self._asked:
            raise error
        command, channel = self._asked.popleft()
        if is_elsewhere(error):
            self._give_up(channel)
        elif command == SHARDED:
            self._command = PLAIN
            self._ask(channel)
        else:
            raise error

    def _give_up(self, channel: bytes) -> None:
        """Leave a channel that this server does not serve any more."""
        self._begun.discard(channel)
        for mailbox in list(self._channels.pop(channel, ())):
            mailbox.lost()

    def _ask(self, channel: bytes) -> None:
        self._asked.append((self._command, channel))
        self._send(self._command, channel)

    def _sweep(self) -> None:
        """Leave the channels that nobody listens to any more."""
        for channel in [name for name, mailboxes in self._channels.items() if not mailboxes]:
            del self._channels[channel]
            self._begun.discard(channel)
            if self._connected:
                self._send("SUNSUBSCRIBE" if self._command == SHARDED else "UNSUBSCRIBE", channel)
        if not self._channels:
            self.over = True
            if asyncio.current_task() is not self._task:
                self._task.cancel()

    def _send(self, *words: str | bytes) -> None:
        """Send a command. The connection keeps the order; a failure shows where replies are read."""

        async def send() -> None:
            try:
                await self._connection.send_command(*words, check_health=False)
            except REDIS_ERRORS:
                self._task.cancel()

        task = asyncio.get_running_loop().create_task(send())
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
