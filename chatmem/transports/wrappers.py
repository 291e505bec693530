"""Transports that add something to another transport. `retrying` has one more, which retries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from anyio import lowlevel, sleep, to_thread
from redis.exceptions import MovedError

from chatmem.errors import ChatMemError, UnavailableError
from chatmem.transports.background import background_of_loop
from chatmem.transports.base import Background, Command, Subscription, Transport
from chatmem.transports.driving import drive, iterate
from chatmem.transports.errors import Retry, retry_of
from chatmem.transports.listening import Polling


class TransportWrapper:
    """The base of transports that run their commands on another one: whatever they add, they add to `run`."""

    def __init__(self, transport: Transport, *, longest: float) -> None:
        """Wrap a transport.

        Args:
            transport: runs the commands; it is closed with its wrapper.
            longest: in seconds; see `Transport.longest`.
        """
        self._transport = transport
        self.longest = longest

    def scan(self, match: bytes) -> AsyncIterator[bytes]:
        """Iterate over matching keys; see `Transport`."""
        return self._transport.scan(match)

    def subscribe(self, channel: bytes) -> Subscription:
        """Return a subscription to a channel; see `Transport`."""
        return self._transport.subscribe(channel)

    def background(self) -> Background:
        """Return what can run work beside a body; see `Transport`."""
        return self._transport.background()

    async def checkpoint(self) -> None:
        """Let other tasks run; see `Transport`."""
        await self._transport.checkpoint()

    async def aclose(self) -> None:
        """Close the wrapped transport."""
        await self._transport.aclose()


class ThreadedTransport(TransportWrapper):
    """Runs each round trip of a blocking transport in a worker thread, for coroutines.

    A caller that is cancelled waits until its round trip has ended: a thread cannot be stopped, and nobody else may use
    its connection until then.
    """

    def __init__(self, blocking: Transport) -> None:
        super().__init__(blocking, longest=blocking.longest)

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        return await to_thread.run_sync(lambda: drive(self._transport.run(commands)))

    async def scan(self, match: bytes) -> AsyncIterator[bytes]:
        """Iterate over matching keys; see `Transport`. It reads all of them before the first."""
        for key in await to_thread.run_sync(lambda: list(iterate(self._transport.scan(match)))):
            yield key

    def subscribe(self, channel: bytes) -> Subscription:
        """Return a subscription that polls: it does not keep a thread waiting for each listener."""
        return Polling(sleep)

    def background(self) -> Background:
        """Return what runs work as tasks of the running loop, whatever loop that is."""
        return background_of_loop()

    async def checkpoint(self) -> None:
        """Let other tasks of the running loop run: the blocking transport knows none."""
        await lowlevel.checkpoint()


class RestartingTransport(TransportWrapper):
    """Starts the embedded server where it does not run, then runs the commands once more.

    That is safe: every command that chatmem sends may be sent twice.
    """

    def __init__(
        self,
        transport: Transport,
        start: Callable[[], Awaitable[str]],
        explain: Callable[[UnavailableError], UnavailableError],
        start_seconds: float,
    ) -> None:
        """Wrap a transport to the embedded server.

        Args:
            transport: runs commands on the server while it runs.
            start: starts the server unless it runs.
            explain: returns the error to raise if starting it did not help.
            start_seconds: how long `start` takes at most.
        """
        super().__init__(transport, longest=2 * transport.longest + start_seconds)
        self._start = start
        self._explain = explain

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        try:
            return await self._transport.run(commands)
        except UnavailableError as error:
            if retry_of(error) is not Retry.SOON:
                raise
            await self._start()
        try:
            return await self._transport.run(commands)
        except UnavailableError as error:
            raise self._explain(error) from error

    async def scan(self, match: bytes) -> AsyncIterator[bytes]:
        """Iterate over matching keys; see `Transport`."""
        await self.run([("PING",)])  # which starts the server
        async for key in self._transport.scan(match):
            yield key


class ServerOrClusterTransport(TransportWrapper):
    """Runs commands on one server until it says that it is a node of a cluster, and on that cluster from then on."""

    def __init__(self, single: Transport, cluster: Transport) -> None:
        super().__init__(single, longest=single.longest + cluster.longest)
        self._single = single
        self._cluster = cluster

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        try:
            return await self._transport.run(commands)
        except ChatMemError as error:
            if self._transport is self._cluster or not isinstance(error.__cause__, MovedError):
                raise
        # a node refuses a key of another node before it does anything
        self._transport = self._cluster
        return await self._transport.run(commands)

    async def aclose(self) -> None:
        """Close both transports."""
        await self._single.aclose()
        await self._cluster.aclose()
