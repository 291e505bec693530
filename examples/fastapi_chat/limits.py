"""How much a client may ask for at once, and how long it may take. What it may send is limited in `app.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

EACH, IN_ALL = 8, 64
"""Answers that are streamed at once: to a user, and by this process."""
READ_WITHIN, WRITE_WITHIN = 30.0, 60.0
"""Seconds: in which a client has sent a whole request, and in which it takes a piece of an answer."""


class Streams:
    """Counts the answers that are streamed."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()

    @contextmanager
    def one(self, user: str) -> Iterator[None]:
        """Count one more while the context lasts.

        Raises:
            HTTPException: 429, there are too many.
        """
        if self._running[user] >= EACH or self._running.total() >= IN_ALL:
            raise HTTPException(429, "Too many answers are being written. Try again in a moment.", {"retry-after": "5"})
        self._running[user] += 1
        try:
            yield
        finally:
            self._running[user] -= 1
            self._running += Counter()  # forgets those at zero


class Patience:
    """ASGI middleware that waits only so long for a client."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request within the times above."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        deadline: float | None = anyio.current_time() + READ_WITHIN

        async def receive_in_time() -> Message:
            nonlocal deadline
            if deadline is None:  # the request is whole, and what comes next is that the client goes
                return await receive()
            with anyio.move_on_after(deadline - anyio.current_time()):
                message = await receive()
                if not message.get("more_body"):
                    deadline = None
                return message
            raise HTTPException(408, "The request did not come in time.")

        async def send_in_time(message: Message) -> None:
            with anyio.fail_after(WRITE_WITHIN):  # a TimeoutError is an OSError: for Starlette the client has gone
                await send(message)

        await self._app(scope, receive_in_time, send_in_time)
