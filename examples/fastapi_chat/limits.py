"""How much a client may ask for, and how long it may take. What it may send is limited in `app.py`."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import anyio
from fastapi import HTTPException, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .users import User

EACH, IN_ALL = 12, 150
"""Requests at once, streams among them: of a user, and in this process."""
QUESTIONS, MINUTE = 30, 60.0
"""Requests that begin or stop something, of a user, and the seconds in which there may be so many."""
READ_WITHIN, WRITE_WITHIN = 30.0, 60.0
"""Seconds: in which a client has sent a whole request, and in which it takes a piece of an answer."""


class Load:
    """Counts what users ask for."""

    def __init__(self) -> None:
        self._running: Counter[str] = Counter()
        self._asked: defaultdict[str, deque[float]] = defaultdict(deque)

    @contextmanager
    def request(self, user: str) -> Iterator[None]:
        """Count one more request while the context lasts.

        Raises:
            HTTPException: 429, there are too many.
        """
        if self._running[user] >= EACH or self._running.total() >= IN_ALL:
            raise HTTPException(429, "Too many requests at once. Try again in a moment.", {"retry-after": "5"})
        self._running[user] += 1
        try:
            yield
        finally:
            self._running[user] -= 1
            self._running += Counter()  # forgets those at zero

    def question(self, user: str) -> None:
        """Count one more question.

        Raises:
            HTTPException: 429, there were too many within a minute.
        """
        now = time.monotonic()
        for name in list(self._asked):
            while self._asked[name] and self._asked[name][0] <= now - MINUTE:
                self._asked[name].popleft()
            if not self._asked[name]:
                del self._asked[name]
        if len(self._asked[user]) >= QUESTIONS:
            raise HTTPException(429, "Too many questions. Try again in a minute.", {"retry-after": "60"})
        self._asked[user].append(now)


async def limited(user: User, request: Request) -> AsyncIterator[None]:
    """Count a request until its response has ended, or refuse it."""
    load: Load = request.app.state.load
    with load.request(user):
        if request.method == "POST":
            load.question(user)
        yield


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
