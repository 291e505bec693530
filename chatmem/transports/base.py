"""The `Transport` protocol, which is all that the core awaits, and what every transport uses. Imports no client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from chatmem import scripts
from chatmem.errors import UnavailableError

T = TypeVar("T")

Command = scripts.Command
"""A Redis command: its name and arguments. `Script.call(...)` returns the command that runs a script."""

KEYS_AT_ONCE = 1000
"""How many keys a round trip of `Transport.scan` looks at."""
LONGEST_CALL = 60.0
"""Seconds, from the start of a call, within which the clients that chatmem opens may still retry its commands.

Whatever recognises a retry must live at least this long. `Transport.longest` is the same for one transport.
"""


class Subscription(Protocol):
    """What is published on one channel, for one listener."""

    async def next(self, patience: float, polling: float) -> bytes | None:
        """Return the next message, or None where the listener has to ask the server itself.

        That is so at first, after a lost connection, after too many unread messages, and when the time is over. If the
        wait is cancelled, no message is lost.

        Args:
            patience: how many seconds to wait if the server pushes messages.
            polling: how many seconds to wait otherwise.

        Raises:
            UnavailableError: the memory was closed.
        """
        ...

    async def aclose(self) -> None:
        """Bring nothing more, and close what was opened for it."""
        ...


class Background(Protocol):
    """Work that goes on beside the body of an `async with` block, and what ends that body early."""

    @property
    def listens(self) -> bool:
        """Whether it also runs what waits for the server to push."""
        ...

    async def start(
        self, work: Callable[[], Coroutine[Any, Any, None]], listen: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        """Begin: run `work` beside the body, and `listen` where `listens` is true."""
        ...

    async def wait(self, seconds: float, *, wakes: bool = True) -> None:
        """Wait for so many seconds, within the work, or until `wake` is called if it `wakes`."""
        ...

    def wake(self) -> None:
        """End the present wait, or the next one that may be ended."""
        ...

    def interrupt(self) -> None:
        """Cancel the body; if it goes on, its next `checkpoint` ends it, by `InterruptedBody` where nothing cancels."""
        ...

    async def checkpoint(self) -> None:
        """Let other tasks run, within the body."""
        ...

    async def stop(self, error: BaseException | None) -> bool:
        """End the work, and return whether the error that left the body is due to `interrupt`."""
        ...

    async def finish(self, work: Callable[[], Coroutine[Any, Any, T]], seconds: float) -> T:
        """Return what `work` returns. Once the caller is cancelled, the work still has so many seconds to end."""
        ...


class InterruptedBody(BaseException):
    """Ends the body of a `with` block that was interrupted. It never leaves the block."""


class Transport(Protocol):
    """A way to run Redis commands on a server. The core awaits nothing else."""

    @property
    def longest(self) -> float:
        """Seconds, from the start of a call of `run`, within which its commands may still be retried.

        Infinite where there is no bound: over a caller's client that waits for a reply without a time-out.
        """
        ...

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip and return their replies; strings in them are bytes, never decoded.

        Raises:
            ChatMemError: a command failed. The error is the first one's, raised from the client's own error.
        """
        ...

    def scan(self, match: bytes) -> AsyncIterator[bytes]:
        """Iterate over the keys on the server, or on all nodes of a cluster, that match a glob.

        A key may come up more than once. Each round trip looks at about 1,000 keys.

        Raises:
            ChatMemError: the server did not answer, or does not allow SCAN.
        """
        ...

    def subscribe(self, channel: bytes) -> Subscription:
        """Return a subscription to a channel, for the running event loop or thread. It opens nothing yet."""
        ...

    def background(self) -> Background:
        """Return what can run work beside the body of a block, in the running event loop or thread."""
        ...

    async def checkpoint(self) -> None:
        """Let other tasks run between two parts of a long computation, where there are other tasks."""
        ...

    async def aclose(self) -> None:
        """Close the connections that this transport opened."""
        ...


def closed() -> UnavailableError:
    """Return the error for a call on a transport that was closed."""
    error = UnavailableError("this memory was closed: open another one with connect()")
    error.closed = True
    return error


def reads_much(command: Command) -> bool:
    """Return whether the command's reply may be large."""
    return command[0] == "LRANGE" or (len(command) > 1 and command[1] in (scripts.READ.sha, scripts.READ.text))


class KnownScripts:
    """The scripts that a server has seen. The first call of a script sends its text, later calls send its hash."""

    def __init__(self) -> None:
        self._known: set[str | bytes] = set()

    def prepare(self, command: Command) -> Command:
        """Return the command to send: EVALSHA where the server should know the script, otherwise EVAL."""
        if command[0] == "EVALSHA" and command[1] not in self._known:
            return self.with_text(command)
        return command

    def with_text(self, command: Command) -> Command:
        """Return an EVALSHA command as EVAL with the script's text, and any other command unchanged.

        The script counts as known from then on.
        """
        if command[0] != "EVALSHA":
            return command
        self._known.add(command[1])
        return ("EVAL", scripts.BY_SHA[command[1]].text, *command[2:])
