"""Upstash's REST API, on the vendor's own clients: each round trip is one HTTP request.

Requests are JSON, so an argument that is not UTF-8 travels in base64. The only such arguments are records, and a
record in base64 is stored and read as it is; see codec/record.py. Answers are asked for in base64 and decoded here.
"""

from __future__ import annotations

import asyncio
import binascii
import copy
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import httpx
from upstash_redis import Redis as BlockingClient
from upstash_redis.asyncio import Redis as AsyncClient
from upstash_redis.errors import UpstashError

from chatmem.errors import ChatMemError, UnavailableError, UnsupportedError
from chatmem.transports import errors
from chatmem.transports.base import Command, KnownScripts, closed
from chatmem.transports.per_loop import PerLoop
from chatmem.transports.shared_clients import SharedClients

C = TypeVar("C", BlockingClient, AsyncClient)

_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, AssertionError)
"""What the vendor's clients raise where an answer is none of Upstash's, such as a proxy's page."""
_ERRORS = (UpstashError, httpx.HTTPError, httpx.InvalidURL, *_UNREADABLE)
_LOCKED_TEXTS = ("WRONGPASS", "Unauthorized")


class Requests(Protocol):
    """How commands are sent: each list of them in one HTTP request."""

    async def send(self, commands: list[list[str]]) -> list[Any]:
        """Send the commands; return their replies as the server wrote them."""
        ...

    async def checkpoint(self) -> None:
        """Let others run, where there are others."""
        ...

    async def aclose(self) -> None:
        """Close what was opened, and open nothing any more."""
        ...

    @property
    def closed(self) -> bool:
        """Whether `aclose` was called."""
        ...


class UpstashTransport:
    """Runs commands by REST requests. The vendor's clients send a request again whose answer did not come."""

    def __init__(self, requests: Requests, longest: float) -> None:
        """Take how requests are sent.

        Args:
            requests: sends them.
            longest: seconds; see `Transport.longest`.
        """
        self._requests = requests
        self._scripts = KnownScripts()
        self.longest = longest

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        if commands[-1][0] == "WAIT":
            raise UnsupportedError("Upstash's REST API cannot wait for replicas: leave wait_replicas out")
        try:
            replies = await self._run(commands)
            return [_from_base64(reply) for reply in replies]
        except _ERRORS as error:
            if self._requests.closed:
                raise closed() from None
            raise _translate(error) from error

    async def _run(self, commands: Sequence[Command]) -> list[Any]:
        try:
            return await self._send(map(self._scripts.prepare, commands))
        except UpstashError as error:
            if "NOSCRIPT" not in str(error):
                raise
        # a pipeline's error hides the other replies; all that chatmem sends may be sent twice
        return await self._send(map(self._scripts.with_text, commands))

    async def _send(self, commands: Iterable[Command]) -> list[Any]:
        sent = [_as_json(command) for command in commands]
        replies = await self._requests.send(sent)
        if len(replies) != len(sent):
            raise ValueError(f"{len(replies)} replies to {len(sent)} commands")
        return replies

    async def checkpoint(self) -> None:
        """Let others run; see `Transport`."""
        await self._requests.checkpoint()

    async def aclose(self) -> None:
        """Close what this transport opened."""
        await self._requests.aclose()


class AsyncRequests:
    """Requests of asyncio clients, one an event loop."""

    def __init__(
        self, open_client: Callable[[], AsyncClient], close: Callable[[AsyncClient], Awaitable[None]] | None
    ) -> None:
        """Open nothing yet.

        Args:
            open_client: makes the client of the running loop, on first use there.
            close: closes it; None where that is the caller's.
        """
        self._open = open_client
        self._clients = PerLoop(self._open_view, close)

    async def _open_view(self) -> AsyncClient:
        return _undecoded(self._open())

    async def send(self, commands: list[list[str]]) -> list[Any]:
        """Send the commands in one request; see `Requests`."""
        client = self._clients.opened() or await self._clients.open()
        if len(commands) == 1:
            return [await client.execute(commands[0])]
        pipeline = client.pipeline()
        for command in commands:
            pipeline.execute(command)
        try:
            return await pipeline.exec()
        except AttributeError:  # refused as a whole, and the pipeline lost the reason: a single command tells it
            return [await client.execute(command) for command in commands]

    async def checkpoint(self) -> None:
        """Let others run."""
        await asyncio.sleep(0)

    async def aclose(self) -> None:
        """Close the client of the running loop."""
        await self._clients.aclose()

    @property
    def closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._clients.closed


class BlockingRequests:
    """Requests of a blocking client, from any thread; the coroutines never suspend."""

    def __init__(
        self, open_client: Callable[[], BlockingClient], close: Callable[[BlockingClient], None] | None
    ) -> None:
        """Open nothing yet.

        Args:
            open_client: makes the client, on first use.
            close: closes it; None where that is the caller's.
        """
        self._clients = SharedClients(
            lambda: _undecoded(open_client()), close, lambda _: False
        )  # httpx' pool has locks

    async def send(self, commands: list[list[str]]) -> list[Any]:
        """Send the commands in one request; see `Requests`."""
        client = self._clients.enter()
        try:
            return self._send(client, commands)
        finally:
            self._clients.leave()

    @staticmethod
    def _send(client: BlockingClient, commands: list[list[str]]) -> list[Any]:
        if len(commands) == 1:
            return [client.execute(commands[0])]
        pipeline = client.pipeline()
        for command in commands:
            pipeline.execute(command)
        try:
            return pipeline.exec()
        except AttributeError:  # refused as a whole, and the pipeline lost the reason: a single command tells it
            return [client.execute(command) for command in commands]

    async def checkpoint(self) -> None:
        """Do nothing: nobody else can run."""

    async def aclose(self) -> None:
        """Close the client."""
        self._clients.close()

    @property
    def closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._clients.closed


def _undecoded(client: C) -> C:
    """Return a view of a client that shares its connections and leaves the answers in base64.

    The client itself decodes them to text, so that one record which is not UTF-8 would cost all the others.
    """
    view = copy.copy(client)
    # a header that comes to a dict which another thread is sending would be an error there
    view._headers = {**client._headers, "Upstash-Encoding": "base64", "Upstash-Sync-Token": ""}
    http: Any = copy.copy(client._http)
    http._encoding, http._sync_token_cb = None, view._update_sync_token
    view._http = http
    return view


def _as_json(command: Command) -> list[str]:
    name, *arguments = map(_text, command)
    return [name.lower(), *arguments]  # the clients convert the replies of some commands, by names in capitals


def _text(argument: str | bytes) -> str:
    if isinstance(argument, str):
        return argument
    try:
        return argument.decode()
    except UnicodeDecodeError:
        return binascii.b2a_base64(argument, newline=False).decode()


def _from_base64(reply: Any) -> Any:
    if isinstance(reply, str):
        return b"OK" if reply == "OK" else binascii.a2b_base64(reply, strict_mode=True)
    return [_from_base64(one) for one in reply] if isinstance(reply, list) else reply


def _translate(error: Exception) -> ChatMemError:
    text = str(error) or type(error).__name__
    if not isinstance(error, UpstashError):
        if isinstance(error, _UNREADABLE):
            return UnavailableError(f"the answer is none of Upstash's REST API: {type(error).__name__}: {text}")
        return UnavailableError(f"the server could not be reached: {text}")
    if any(part in text for part in _LOCKED_TEXTS):
        return UnavailableError(f"the server refused this token: {text}")
    return errors.translate(error)
