"""Clients that belong to an event loop each."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from itertools import count
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import ref

from chatmem.transports.base import closed

C = TypeVar("C")

_SOON = 0.05
_numbers = count()
_forks = 0
"""How many forks lead to this process. Cheaper to compare at each call than `os.getpid()`."""
_inherited: list[Any] = []
"""Clients that a parent process opened in a loop that a child goes on using. The child neither uses nor closes them."""


def _count_fork() -> None:
    global _forks  # noqa: PLW0603 - a process has one
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


class _Opened(NamedTuple, Generic[C]):
    client: C
    lifetime: AsyncGenerator[None, None]
    forks: int
    owner: ref[Any]


class PerLoop(Generic[C]):
    """A client per event loop and process, since neither can share one.

    The loop refers to its client, and nothing here refers to the loop. So threads share no state, and a loop that is
    never closed takes its sockets along when it is garbage-collected. A client is closed with its loop if that ends as
    under `asyncio.run`, or soon after this object was garbage-collected.

    Attributes:
        closed: whether `aclose` was called; then no client is opened any more.
    """

    def __init__(self, open_client: Callable[[], Awaitable[C]], close: Callable[[C], Awaitable[None]] | None) -> None:
        """Open nothing yet.

        Args:
            open_client: makes the client of the running loop, when it is first used there.
            close: closes a client; None if clients are the caller's and stay open. It must not refer to this object.
        """
        self._open = open_client
        self._close = close
        self._number = next(_numbers)
        self.closed = False

    def opened(self) -> C | None:
        """Return the client of the running loop, or None if none is open.

        Raises:
            UnavailableError: `aclose` was called.
        """
        if self.closed:
            raise closed()
        opened: _Opened[C] | None = _clients(asyncio.get_running_loop()).get(self._number)
        return opened.client if opened is not None and opened.forks == _forks else None

    async def open(self) -> C:
        """Open and return the client of the running loop, or return the one that another coroutine opened first."""
        client = await self._open()
        if (other := self.opened()) is not None:
            return other  # `client` has no connections yet, so it needs no closing
        loop = asyncio.get_running_loop()
        clients = _clients(loop)
        if self._number in clients:
            _inherited.append(clients[self._number])
        owner = ref(self, _collected(loop, self._number))
        clients[self._number] = _Opened(client, _begun(_live(client, self._close)), _forks, owner)
        return client

    async def aclose(self) -> None:
        """Close the client of the running loop, and open no more."""
        self.closed = True
        await _close_in(asyncio.get_running_loop(), self._number)


def _clients(loop: asyncio.AbstractEventLoop) -> dict[int, _Opened[Any]]:
    """Return the clients opened in a loop, by the number of their `PerLoop`. They are an attribute of the loop."""
    attributes: Any = loop
    try:
        clients: dict[int, _Opened[Any]] = attributes._chatmem_clients
    except AttributeError:
        clients = attributes._chatmem_clients = {}
    return clients


async def _close_in(loop: asyncio.AbstractEventLoop, number: int) -> None:
    opened = _clients(loop).pop(number, None)
    if opened is not None and opened.forks == _forks:
        await opened.lifetime.aclose()


async def _live(client: C, close: Callable[[C], Awaitable[None]] | None) -> AsyncGenerator[None, None]:
    """Close the client when the loop ends: asyncio closes a loop's asynchronous generators last."""
    try:
        yield
    finally:
        if close is not None:
            await close(client)


def _begun(lifetime: AsyncGenerator[None, None]) -> AsyncGenerator[None, None]:
    """Run the generator to its yield, so that the loop knows it.

    The generator is garbage-collected only together with its loop. Nothing is to be done then, but asyncio's own hook
    would make a coroutine, which warns that it was never awaited; so there is another hook here.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(finalizer=lambda _: None)
    try:
        lifetime.asend(None).send(None)
    except StopIteration:
        pass
    finally:
        sys.set_asyncgen_hooks(*hooks)
    return lifetime


def _collected(loop: asyncio.AbstractEventLoop, number: int) -> Callable[[object], None]:
    """Return a callback that closes the client in its loop, to be called when the `PerLoop` is garbage-collected.

    It may be called in any thread. It closes the client a little later, not at once: a loop that is about to end closes
    the client by itself, and must not be disturbed.
    """

    def close(_: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(loop.call_later, _SOON, lambda: loop.create_task(_close_in(loop, number)))

    return close
