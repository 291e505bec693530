"""Clients that belong to an event loop."""

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
"""How often this process was forked from another. Asking the system for its number at each call would cost more."""
_inherited: list[Any] = []
"""What a parent had opened in a loop that goes on in its child: the parent's, so neither used there nor closed."""


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
    """Clients, one an event loop and process, since they cannot be shared.

    The loop itself holds its client, and nothing here holds the loop: so threads have nothing in common that could be
    changed under them, and a loop that nobody closes takes its sockets along when it is collected. A client is closed
    with its loop, where that ends as `asyncio.run` ends it, and soon after this object was collected.

    Attributes:
        closed: whether `aclose` was called, after which no client is opened any more.
    """

    def __init__(self, open_client: Callable[[], Awaitable[C]], close: Callable[[C], Awaitable[None]] | None) -> None:
        """Open nothing yet.

        Args:
            open_client: makes the client of the running loop, on first use there.
            close: closes it; None where that is the caller's. It must not refer to this object.
        """
        self._open = open_client
        self._close = close
        self._number = next(_numbers)
        self.closed = False

    def opened(self) -> C | None:
        """Return the client of the running loop, or None where none is open.

        Raises:
            UnavailableError: `aclose` was called.
        """
        if self.closed:
            raise closed()
        opened: _Opened[C] | None = _clients(asyncio.get_running_loop()).get(self._number)
        return opened.client if opened is not None and opened.forks == _forks else None

    async def open(self) -> C:
        """Open the client of the running loop, unless another coroutine was faster."""
        client = await self._open()
        if (other := self.opened()) is not None:
            return other  # a client without connections needs no closing
        loop = asyncio.get_running_loop()
        clients = _clients(loop)
        if self._number in clients:
            _inherited.append(clients[self._number])
        owner = ref(self, _collected(loop, self._number))
        clients[self._number] = _Opened(client, _begun(_live(client, self._close)), _forks, owner)
        return client

    async def aclose(self) -> None:
        """Close what was opened in the running loop, and open nothing any more."""
        self.closed = True
        await _close_in(asyncio.get_running_loop(), self._number)


def _clients(loop: asyncio.AbstractEventLoop) -> dict[int, _Opened[Any]]:
    """Return what was opened in a loop, by the number of the `PerLoop`."""
    try:
        clients: dict[int, _Opened[Any]] = loop._chatmem_clients  # type: ignore[attr-defined]
    except AttributeError:
        clients = loop._chatmem_clients = {}  # type: ignore[attr-defined]
    return clients


async def _close_in(loop: asyncio.AbstractEventLoop, number: int) -> None:
    opened = _clients(loop).pop(number, None)
    if opened is not None and opened.forks == _forks:
        await opened.lifetime.aclose()


async def _live(client: C, close: Callable[[C], Awaitable[None]] | None) -> AsyncGenerator[None, None]:
    """Close the client when the loop ends: the last thing a loop does is to close its generators."""
    try:
        yield
    finally:
        if close is not None:
            await close(client)


def _begun(lifetime: AsyncGenerator[None, None]) -> AsyncGenerator[None, None]:
    """Run the generator to its yield, so that the loop knows it.

    Where it is collected, its loop is too: nothing is to be done then, and nobody would do it. asyncio's own hook makes
    a coroutine for that, which warns that it was never run.
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
    """Return what has the client closed in its loop, called in any thread when the `PerLoop` is collected.

    Not at once: a loop that is about to end closes it by itself, and must not be disturbed in that.
    """

    def close(_: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(loop.call_later, _SOON, lambda: loop.create_task(_close_in(loop, number)))

    return close
