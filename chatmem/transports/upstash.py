"""Transport over Upstash's REST API, on the vendor's own clients: each round trip is one HTTP request.

Requests are JSON, so arguments that are not UTF-8 are sent in base64. Only records are; they are stored in base64 and
read as such, see codec/record.py. Replies are requested in base64 and decoded here.
"""

from __future__ import annotations

import asyncio
import binascii
import copy
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

import httpx
from upstash_redis import Redis as BlockingClient
from upstash_redis.asyncio import Redis as AsyncClient
from upstash_redis.errors import UpstashError

from chatmem.errors import ChatMemError, UnavailableError, UnsupportedError
from chatmem.transports import errors
from chatmem.transports.background import AsyncioBackground, ThreadBackground
from chatmem.transports.base import KEYS_AT_ONCE, Background, Command, KnownScripts, Subscription, closed
from chatmem.transports.listening import Polling
from chatmem.transports.per_loop import PerLoop
from chatmem.transports.shared_clients import SharedClients

C = TypeVar("C", BlockingClient, AsyncClient)

_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, AssertionError)
"""What the vendor's clients raise where a reply is not Upstash's, such as a proxy's web page."""
_ERRORS = (UpstashError, httpx.HTTPError, httpx.InvalidURL, *_UNREADABLE)
_WRONG_TOKEN = ("WRONGPASS", "Unauthorized")


class Requests(Protocol):
    """Sends lists of commands, each list in one HTTP request."""

    async def send(self, commands: list[list[str]]) -> list[Any]:
        """Send the commands; return their replies as the server wrote them."""
        ...

    async def checkpoint(self) -> None:
        """Let other tasks run, where there are other tasks."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def background(self) -> Background:
        """Return what can run work beside a body."""
        ...

    async def aclose(self) -> None:
        """Close the clients, and open no more."""
        ...

    @property
    def closed(self) -> bool:
        """Whether `aclose` was called."""
        ...


class UpstashTransport:
    """Runs commands by REST requests. The vendor's clients retry a request that got no reply."""

    def __init__(self, requests: Requests, longest: float) -> None:
        """Open nothing yet.

        Args:
            requests: sends the commands.
            longest: in seconds; see `Transport.longest`.
        """
        self._requests = requests
        self._scripts = KnownScripts()
        self.longest = longest

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """Run the commands in one round trip; see `Transport`."""
        if commands[-1][0] == "WAIT":
            raise UnsupportedError("wait_replicas does not work over Upstash's REST API: leave it out")
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
        # the error hides the other commands' replies, so send all once more: every command may be sent twice
        return await self._send(map(self._scripts.with_text, commands))

    async def _send(self, commands: Iterable[Command]) -> list[Any]:
        sent = [_as_json(command) for command in commands]
        replies = await self._requests.send(sent)
        if len(replies) != len(sent):
            raise ValueError(f"{len(replies)} replies to {len(sent)} commands")
        return replies

    async def scan(self, match: bytes) -> AsyncIterator[bytes]:
        """Iterate over matching keys; see `Transport`."""
        cursor = b"0"
        while True:
            ((cursor, keys),) = await self.run([("SCAN", cursor, b"MATCH", match, b"COUNT", b"%d" % KEYS_AT_ONCE)])
            for key in keys:
                yield key
            if cursor == b"0":
                return

    def subscribe(self, channel: bytes) -> Subscription:
        """Return a subscription that polls: requests end with their replies."""
        return Polling(self._requests.sleep)

    def background(self) -> Background:
        """Return what can run work beside a body; see `Transport`."""
        return self._requests.background()

    async def checkpoint(self) -> None:
        """Let other tasks run; see `Transport`."""
        await self._requests.checkpoint()

    async def aclose(self) -> None:
        """Close what this transport opened."""
        await self._requests.aclose()


class AsyncRequests:
    """Sends requests by asyncio clients, one per event loop."""

    def __init__(
        self, open_client: Callable[[], AsyncClient], close: Callable[[AsyncClient], Awaitable[None]] | None
    ) -> None:
        """Open nothing yet.

        Args:
            open_client: makes the client of the running loop, when it is first used there.
            close: closes a client; None if clients are the caller's and stay open.
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
        except AttributeError:  # the request was refused and the pipeline hides why; a single command raises the reason
            return [await client.execute(command) for command in commands]

    async def checkpoint(self) -> None:
        """Let other tasks of the loop run."""
        await asyncio.sleep(0)

    async def sleep(self, seconds: float) -> None:
        """Wait; other tasks run meanwhile."""
        await asyncio.sleep(seconds)

    def background(self) -> Background:
        """Return what runs work as tasks of the loop."""
        return AsyncioBackground(listens=False)

    async def aclose(self) -> None:
        """Close the client of the running loop."""
        await self._clients.aclose()

    @property
    def closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._clients.closed


class BlockingRequests:
    """Sends requests by a blocking client, from any thread. The coroutines never suspend."""

    def __init__(
        self, open_client: Callable[[], BlockingClient], close: Callable[[BlockingClient], None] | None
    ) -> None:
        """Open nothing yet.

        Args:
            open_client: makes the client, when it is first used.
            close: closes it; None if it is the caller's and stays open.
        """
        # no call may interrupt another one on a client: httpx's pool has locks
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
        except AttributeError:  # as above
            return [client.execute(command) for command in commands]

    async def checkpoint(self) -> None:
        """Do nothing: no other task runs in this thread."""

    async def sleep(self, seconds: float) -> None:
        """Block the thread."""
        time.sleep(seconds)  # noqa: ASYNC251 - this coroutine must not suspend

    def background(self) -> Background:
        """Return what runs work in a thread."""
        return ThreadBackground()

    async def aclose(self) -> None:
        """Close the client."""
        self._clients.close()

    @property
    def closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._clients.closed


def _undecoded(client: C) -> C:
    """Return a copy of a client that shares its connections and leaves the replies in base64.

    The client itself decodes replies to text, which fails as a whole if one record in them is not UTF-8.
    """
    view = copy.copy(client)
    # all headers from the start: adding one to the dict while another thread sends it would be an error there
    view._headers = {**client._headers, "Upstash-Encoding": "base64", "Upstash-Sync-Token": ""}
    http: Any = copy.copy(client._http)
    http._encoding, http._sync_token_cb = None, view._update_sync_token
    view._http = http
    return view


def _as_json(command: Command) -> list[str]:
    name, *arguments = map(_text, command)
    return [name.lower(), *arguments]  # the clients convert replies of some commands, if their names are in capitals


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
            return UnavailableError(
                "the reply is not from Upstash's REST API: check the url, or wait if a gateway answers for it "
                f"({type(error).__name__}: {text})"
            )
        return UnavailableError(f"the server could not be reached: {text}")
    if any(part in text for part in _WRONG_TOKEN):
        return UnavailableError(f"the server refused this token: pass the database's REST token ({text})")
    return errors.translate(error)
