"""What the core awaits, and what all transports share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from redis.client import NEVER_DECODE
from redis.exceptions import NoScriptError

from chatmem import scripts
from chatmem.errors import UnavailableError

Command = tuple[str | bytes, ...]
"""A Redis command: its name and arguments. A script's is `Script.call(...)`."""


LONGEST_CALL = 60.0
"""The seconds after its begin in which a call may still send its commands again, over clients that chatmem opens.

What recognises a resend has to live at least so long; `Transport.longest` is the time of one transport.
"""


class Transport(Protocol):
    """A way to a server. The only thing the core ever awaits."""

    @property
    def longest(self) -> float:
        """The seconds after its begin in which a call of `run` may still send its commands again.

        Infinite where that cannot be said: over a caller's client that waits for an answer for ever.
        """
        ...

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip and return their replies, never decoded from bytes.

        Raises:
            ChatMemError: of the first command that failed, made by `translate` from the client's own error.
        """
        ...

    async def checkpoint(self) -> None:
        """Let others run between two parts of a long computation, where there are others."""
        ...

    async def aclose(self) -> None:
        """Close what this transport opened."""
        ...


def closed() -> UnavailableError:
    """Return the error of a call on a transport that was closed."""
    return UnavailableError("this memory was closed: connect() opens another")


def options_of(command: Command) -> dict[str, bool]:
    """Return redis-py's options for a command: replies must not be decoded, whatever the client's own options."""
    return {} if command[0] == "PING" else {NEVER_DECODE: True}  # the cluster client's PING takes none


def reads_much(command: Command) -> bool:
    """Return whether a command may bring a large reply."""
    return command[0] == "LRANGE" or (len(command) > 1 and command[1] in (scripts.READ.sha, scripts.READ.text))


def unknown(commands: Sequence[Command], replies: Sequence[Any]) -> list[int]:
    """Return which commands must be sent once more, with their scripts' texts: those of scripts the server had not.

    All of them, where the last is WAIT, which waits for what was done before it on the same connection.
    """
    failed = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    return list(range(len(commands))) if failed and commands[-1][0] == "WAIT" else failed


class KnownScripts:
    """Which scripts a server has seen. The first call of one sends its text, later ones its hash."""

    def __init__(self) -> None:
        self._known: set[str | bytes] = set()

    def prepare(self, command: Command) -> Command:
        """Return the command to send: EVALSHA where the server should know the script, else EVAL."""
        if command[0] == "EVALSHA" and command[1] not in self._known:
            return self.with_text(command)
        return command

    def with_text(self, command: Command) -> Command:
        """Return a script's command with its text, after which the server knows it; others as they are."""
        if command[0] != "EVALSHA":
            return command
        self._known.add(command[1])
        return ("EVAL", scripts.BY_SHA[command[1]].text, *command[2:])
