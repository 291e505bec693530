"""Callers cancelled at every step of every operation, and HTTP clients that leave in the middle of an answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from threading import Thread
from typing import Any

import fastapi
import httpx
import pytest
import redis
import uvicorn
from fastapi.responses import StreamingResponse
from langchain_core import messages as lc

import chatmem
from tests.servers import wait_until
from tests.upstash_server import TOKEN, serving

MOST_STEPS = 400
TURN = [lc.HumanMessage(str(n), id=f"t{n}") for n in range(3)]
Operation = Callable[[chatmem.History], Coroutine[Any, Any, Any]]


def conversation(number: int) -> list[lc.BaseMessage]:
    return [lc.HumanMessage(f"{number}.{n}", id=f"m{n}") for n in range(4)]


async def compacted(history: chatmem.History) -> None:
    try:
        await history.compact(up_to="m1", replacement=[lc.SystemMessage("s", id="s")])
    except chatmem.ConflictError:  # the call that was cancelled has done it
        assert [message.id for message in await history.messages()] == ["s", "m2", "m3"]


async def there_and_back(history: chatmem.History) -> None:
    await history.branch(after="m1")
    await history.switch(0)


async def branch_deleted(history: chatmem.History) -> None:
    await history.branch(after="m1")
    await history.switch(0)
    with suppress(chatmem.NotFoundError):  # the call that was cancelled has done it
        await history.delete_branch(1)


async def everything(history: chatmem.History) -> list[int]:
    return [entry.seq async for entry in history.entries()]


OPERATIONS: dict[str, tuple[Operation, list[int]]] = {
    "append": (lambda history: history.append(*TURN), [4, 7]),
    "append with a key": (lambda history: history.append("x", "y", "z", idempotency_key="k"), [4, 7]),
    "put": (lambda history: history.put(lc.AIMessage("new", id="p")), [4, 5]),
    "replace": (lambda history: history.replace("m1", lc.HumanMessage("new", id="m1")), [4]),
    "delete": (lambda history: history.delete("m1"), [4, 3]),
    "truncate": (lambda history: history.truncate(after="m1"), [4, 2]),
    "compact": (compacted, [4, 3]),
    "branch": (lambda history: history.branch(after="m1"), [4, 2]),
    "switch": (there_and_back, [2, 4]),
    "delete_branch": (branch_deleted, [2, 4]),
    "summarize": (lambda history: history.summarize(up_to="m1", summary=["s"]), [4]),
    "annotate": (lambda history: history.annotate("m1", {"rating": 1}), [4]),
    "update": (lambda history: history.update(title="new"), [4]),
    "archive": (lambda history: history.update(archived=True, tags=["t"]), [4]),
    "merge": (lambda history: history.update(metadata={"a": 1}, merge=True), [4]),
    "touch": (lambda history: history.touch(ttl=60), [4]),
    "clear": (lambda history: history.clear(), [4, 0]),
    "fork": (lambda history: history.fork(f"fork of {history.session_id}"), [4]),
    "messages": (lambda history: history.messages(), [4]),
    "window": (lambda history: history.window(tokens=100), [4]),
    "entries": (everything, [4]),
    "page": (lambda history: history.page(), [4]),
    "get": (lambda history: history.get("m1"), [4]),
    "search": (lambda history: history.search("1"), [4]),
    "info": (lambda history: history.info(), [4]),
    "count": (lambda history: history.count(), [4]),
}
"""How each is done, and how many messages there may be when it was cancelled: before it, and after."""


class Cancelled:
    """Drives a coroutine as a task does, and cancels it when it waits for the n-th time.

    A task is cancelled where it waits, and only there: with n from 1 on until nothing is cancelled any more, each
    point at which a cancellation can reach the operation has been tried.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], at: int) -> None:
        self._coroutine = coroutine
        self._at = at

    def __await__(self) -> Generator[Any, Any, Any]:
        waits = 0
        try:
            waited_for = self._coroutine.send(None)
            while True:
                waits += 1
                if waits == self._at:
                    task = asyncio.current_task()
                    assert task is not None
                    task.cancel()  # which reaches what is waited for as soon as the task gets it
                try:
                    yield waited_for
                except asyncio.CancelledError as error:
                    waited_for = self._coroutine.throw(error)
                else:
                    waited_for = self._coroutine.send(None)
        except StopIteration as stop:
            return stop.value


async def is_cancelled_at(operation: Coroutine[Any, Any, Any], at: int) -> bool:
    """Run an operation, cancelled at its n-th wait; return whether there was one."""

    async def run() -> None:
        await Cancelled(operation, at)

    task = asyncio.create_task(run())
    results: tuple[Any, ...] = await asyncio.gather(task, return_exceptions=True)
    result = results[0]
    if isinstance(result, Exception):
        raise result
    return isinstance(result, asyncio.CancelledError)


async def is_cancelled_after(operation: Coroutine[Any, Any, Any], steps: int) -> bool:
    """Run an operation, cancelled after so many turns of the loop, replies that just came included; return whether."""
    task = asyncio.ensure_future(operation)
    for step in range(steps):
        await asyncio.sleep(0 if step < MOST_STEPS / 2 else 0.001)  # so that it gets to its end on a busy machine, too
    task.cancel()
    results: tuple[Any, ...] = await asyncio.gather(task, return_exceptions=True)
    result = results[0]
    if isinstance(result, Exception):
        raise result
    return isinstance(result, asyncio.CancelledError)


@pytest.fixture(params=["cold", "warm", "user's", "Upstash", "threads", "warm, by turns", "user's, by turns"])
async def opened(request: pytest.FixtureRequest, url: str, prefix: str) -> AsyncIterator[Callable[[], Any]]:
    """Opens memories: whose connection is yet to be made, or is there; of sessions of a user; over HTTP; in threads."""
    made: list[chatmem.ChatMemory] = []

    def connect(where: str) -> chatmem.ChatMemory:
        made.append(chatmem.connect(where, prefix=prefix, ttl=60))
        return made[-1]

    with ExitStack() as stack:
        where = url
        if request.param == "Upstash":
            where = stack.enter_context(serving(url)).url.replace("//", f"//:{TOKEN}@")
        if request.param == "threads":
            client = stack.enter_context(redis.Redis.from_url(url))
            warm = chatmem.connect(client=client, prefix=prefix, ttl=60)
            made.append(warm)
        else:
            warm = connect(where)
        yield (lambda: connect(url)) if request.param == "cold" else (lambda: warm)
        for memory in made:
            await memory.aclose()
    with redis.Redis.from_url(url) as raw:
        for key in raw.scan_iter(f"{prefix}*", count=1000):
            raw.unlink(key)


@pytest.mark.parametrize("name", OPERATIONS)
async def test_every_point(
    name: str,
    opened: Callable[[], chatmem.ChatMemory],
    request: pytest.FixtureRequest,
    url: str,
    prefix: str,
) -> None:
    """Whole or absent, whoever else is under way gets its own reply, the memory goes on, and a retry makes it once."""
    operation, counts = OPERATIONS[name]
    user = "alice" if "user's" in request.node.callspec.id else None
    run = is_cancelled_after if "turns" in request.node.callspec.id else is_cancelled_at
    async with chatmem.connect(url, prefix=prefix, ttl=60) as direct:
        for at in range(1, MOST_STEPS):
            session = f"s{at}"
            await direct.history(session, user=user).append(*conversation(at))
            await direct.history("other").append(lc.HumanMessage(session, id=session))
            memory = opened()
            history = memory.history(session, user=user)
            other = asyncio.create_task(memory.history("other").get(session))
            cancelled = await run(operation(history), at)
            found = await other
            assert found is not None
            assert found.id == session
            assert await history.count() in (counts if cancelled else counts[-1:])
            await operation(history)
            assert await history.count() == counts[-1]
            if name == "append":
                assert [message.id for message in await history.messages()] == [
                    *(f"m{n}" for n in range(4)),
                    *(f"t{n}" for n in range(3)),
                ]
            if not cancelled:
                break
        assert not cancelled
        assert at > 1


def app_at(url: str, prefix: str) -> fastapi.FastAPI:
    """An application that stores its answers as they grow, and never ends one by itself."""

    @asynccontextmanager
    async def lifespan(app: fastapi.FastAPI) -> AsyncIterator[None]:
        async with chatmem.connect(url, prefix=prefix, ttl=60) as app.state.memory:
            yield

    app = fastapi.FastAPI(lifespan=lifespan)
    app.state.ended = 0

    async def words(history: chatmem.History, answer: str) -> AsyncIterator[str]:
        text, number = "", 0
        try:
            while True:
                text += f"{number} "
                await history.put(lc.AIMessage(text, id=answer))
                yield f"{number} "
                number += 1
        finally:
            app.state.ended += 1

    @app.post("/chats/{session}")
    async def send(session: str, text: str) -> StreamingResponse:
        history = app.state.memory.history(session)
        await history.append(lc.HumanMessage(text), idempotency_key=text)
        return StreamingResponse(words(history, f"answer to {text}"))

    @app.get("/chats/{session}")
    async def read(session: str) -> list[str]:
        return [str(message.content) for message in await app.state.memory.history(session).messages()]

    return app


@contextmanager
def served(app: fastapi.FastAPI) -> Iterator[str]:
    """Run the application in uvicorn, in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0))
    # no websockets, at whose deprecated parts older releases of uvicorn look
    config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=5, ws="none")
    server = uvicorn.Server(config)
    thread = Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def leave_after(client: httpx.Client, words: int, session: str, text: str) -> str:
    """Ask, and hang up when so many words of the answer have come; return what has come."""
    seen = ""
    with client.stream("POST", f"/chats/{session}", params={"text": text}) as response:
        for part in response.iter_text():
            seen += part
            if seen.count(" ") >= words:
                break
    return seen


def test_clients_that_leave(url: str, prefix: str) -> None:
    """What they saw is stored and has not been torn, other requests go on, and their next ones are served."""
    app = app_at(url, prefix)
    with served(app) as base, httpx.Client(base_url=base) as client:
        for number in range(20):
            session = f"s{number % 3}"
            before = client.get(f"/chats/{session}").json()
            seen = leave_after(client, number + 1, session, f"question {number}")
            wait_until(lambda ended=number + 1: app.state.ended == ended)  # type: ignore[misc]
            *earlier, question, answer = client.get(f"/chats/{session}").json()
            assert earlier == before
            assert question == f"question {number}"
            assert answer.startswith(seen)
            assert answer == "".join(f"{n} " for n in range(answer.count(" ")))
    with redis.Redis.from_url(url) as raw:
        for key in raw.scan_iter(f"{prefix}*"):
            raw.unlink(key)
