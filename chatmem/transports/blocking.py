"""A blocking redis-py client: coroutines that never suspend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from redis import BlockingConnectionPool, Redis, RedisCluster
from redis.exceptions import ResponseError

from chatmem.transports import replicated
from chatmem.transports.base import LONGEST_CALL, Command, KnownScripts, closed, options_of, unknown
from chatmem.transports.clients import Clients
from chatmem.transports.errors import REDIS_ERRORS, checked, translate

Client = Redis | RedisCluster


class BlockingTransport:
    """Runs commands on a blocking redis-py client, from any thread."""

    def __init__(self, open_client: Callable[[], Client], *, owned: bool, longest: float = LONGEST_CALL) -> None:
        """Open nothing yet.

        Args:
            open_client: makes the client, on first use.
            owned: whether `aclose` closes it.
            longest: seconds; see `Transport.longest`.
        """
        self._clients = Clients(open_client, _close if owned else None, _can_be_interrupted)
        self._scripts = KnownScripts()
        self.longest = longest

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        client: Client | None = None
        try:
            client = self._clients.enter()
            replies = self._send(client, [self._scripts.prepare(command) for command in commands])
            if again := unknown(commands, replies):
                texts = self._send(client, [self._scripts.with_text(commands[index]) for index in again])
                for index, reply in zip(again, texts, strict=True):
                    replies[index] = reply
        except REDIS_ERRORS as error:
            if self._clients.closed:
                raise closed() from None
            raise translate(error) from error
        except (ValueError, AttributeError):  # of a connection that was closed under this call
            if self._clients.closed:
                raise closed() from None
            raise
        finally:
            if client is not None:
                self._clients.leave()
        return checked(replies)

    @staticmethod
    def _send(client: Client, commands: list[Command]) -> list[Any]:
        if len(commands) == 1:
            try:
                return [client.execute_command(*commands[0], **options_of(commands[0]))]  # type: ignore[no-untyped-call]
            except ResponseError as error:
                return [error]
        if isinstance(client, RedisCluster) and replicated.is_confirmed(commands):
            return replicated.send_blocking(client, commands)
        pipeline = client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command, **options_of(command))
        return pipeline.execute(raise_on_error=False)

    async def checkpoint(self) -> None:
        """Do nothing: nobody else can run."""

    async def aclose(self) -> None:
        """Close what this transport opened."""
        self._clients.close()


def _close(client: Client) -> None:
    client.close()


def _can_be_interrupted(client: Client) -> bool:
    """Return whether a call may come in the middle of another one of the same thread: no lock would be waited for."""
    if isinstance(client, RedisCluster):
        return True
    return client.connection is None and not isinstance(client.connection_pool, BlockingConnectionPool)
