"""The embedded server: like any other, but it can be started again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from chatmem.errors import UnavailableError
from chatmem.transports.base import Command, Transport
from chatmem.transports.errors import Again, again


class EmbeddedTransport:
    """Runs commands on another transport; where the server is gone, starts it and runs them once more.

    Doing so is safe, as every command that chatmem sends may be sent twice.
    """

    def __init__(
        self,
        transport: Transport,
        start: Callable[[], Awaitable[str]],
        explain: Callable[[UnavailableError], UnavailableError],
        start_seconds: float,
    ) -> None:
        """Take what runs commands.

        Args:
            transport: to the server while it runs.
            start: starts it where it does not.
            explain: returns the error to raise where that did not help.
            start_seconds: how long `start` takes at most.
        """
        self._transport = transport
        self._start = start
        self._explain = explain
        self.longest = 2 * transport.longest + start_seconds

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        try:
            return await self._transport.run(commands)
        except UnavailableError as error:
            if again(error) is not Again.SOON:
                raise
            await self._start()
        try:
            return await self._transport.run(commands)
        except UnavailableError as error:
            raise self._explain(error) from error

    async def checkpoint(self) -> None:
        """Let others run; see `Transport`."""
        await self._transport.checkpoint()

    async def aclose(self) -> None:
        """Close the transport beneath."""
        await self._transport.aclose()
