"""`chatmem.fastapi.router` in two processes behind one port: answers of one are followed and stopped in the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.chat_client import ChatClient, text_of
from tests.conftest import client_of
from tests.servers import embedded, free_port, wait_until

ROOT = Path(__file__).parent.parent
WORKERS = 2


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with embedded() as url:
        yield url


@pytest.fixture(scope="module")
def address(url: str) -> Iterator[str]:
    """Where uvicorn serves `tests.router_app` with two processes, on the embedded server."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "tests.router_app:app", "--port", str(port)]
    command += ["--workers", str(WORKERS), "--log-level", "warning"]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "CHATMEM_URL": url}, stderr=subprocess.DEVNULL, process_group=0
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until(lambda: len(processes(address)) == WORKERS, seconds=60)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def processes(address: str) -> set[str]:
    """Return which processes answer."""
    found = set()
    for _ in range(20):
        try:
            answer = httpx.get(f"{address}/api/chats", headers={"x-user": "nobody"}, trust_env=False)
        except httpx.TransportError:
            break
        found.add(answer.headers["x-process"])
    return found


@asynccontextmanager
async def client_in(address: str, *, other_than: str = "") -> AsyncIterator[tuple[ChatClient, str]]:
    """Connect to any of the processes, or to another one; yields the requests that this connection makes."""
    while True:
        options: dict[str, Any] = {"limits": httpx.Limits(max_connections=1), "timeout": 60, "trust_env": False}
        async with httpx.AsyncClient(base_url=f"{address}/api", headers={"x-user": "alice"}, **options) as http:
            process = (await http.get("/chats")).headers["x-process"]
            if process != other_than:
                yield ChatClient(http), process
                return


async def test_an_answer_is_followed_from_the_other_process(address: str) -> None:
    """Live, from its beginning and from a cursor, and whole."""
    async with client_in(address) as (writer, process), client_in(address, other_than=process) as (reader, _):
        begun = await writer.new("100")
        cursor, text = "", ""
        async with reader.following(begun) as events:
            async for cursor, data in events:  # noqa: B007 - the last one is used
                text += "".join(text_of(one) for one in data["messages"])
                if text.count(" ") > 10:
                    break
        async with client_in(address, other_than=process) as (again, _):
            (running,) = (await again.json("GET", f"/chats/{begun['session_id']}"))["answers"]
            assert running["id"] == begun["answer"]
            events_behind = await again.chunks(begun, headers={"last-event-id": cursor})
        text += "".join(text_of(one) for _, data in events_behind[:-1] for one in data["messages"])
        whole = "".join(f"{number} " for number in range(100))
        assert (text, await writer.end(begun)) == (whole, ("complete", whole))
        assert len(events_behind) > 2


async def test_a_hundred_readers(address: str) -> None:
    """Each gets the whole, in either process."""
    async with client_in(address) as (writer, _), anyio.create_task_group() as tasks:
        begun = await writer.new("40")
        texts: list[str] = []

        async def read() -> None:
            async with client_in(address) as (reader, _):
                texts.append((await reader.end(begun))[1])

        for _ in range(100):
            tasks.start_soon(read)
    assert texts == ["".join(f"{number} " for number in range(40))] * 100


async def test_stop_from_the_other_process(address: str) -> None:
    """At once, and what there is is kept."""
    async with client_in(address) as (writer, process), client_in(address, other_than=process) as (other, _):
        begun = await writer.new("1000")
        async with writer.following(begun) as events:
            await anext(events)
            stop = f"/chats/{begun['session_id']}/answers/{begun['answer']}/stop"
            assert await other.json("POST", stop) == {"stopped": True}
            async with other.following(begun) as rest:
                status = [data["status"] async for _, data in rest][-1]
        assert status == "stopped"
        async with client_in(address) as (reader, _):
            (_, text) = await reader.texts(begun["session_id"])
        assert text.startswith("0 ")
        assert text.count(" ") < 100


async def test_a_process_that_is_killed(address: str) -> None:
    """Its readers come back to another one, and get what there was, "interrupted"; then the question is asked again."""
    async with client_in(address) as (writer, process):
        begun = await writer.new("1000")
        text, cursor, killed = "", "", False
        with pytest.raises(httpx.TransportError):
            async with writer.following(begun) as events:
                async for cursor, data in events:  # noqa: B007
                    text += "".join(text_of(one) for one in data["messages"])
                    if text.count(" ") > 20 and not killed:
                        os.kill(int(process), signal.SIGKILL)
                        killed = True
    async with client_in(address, other_than=process) as (reader, _):
        (running,) = (await reader.json("GET", f"/chats/{begun['session_id']}"))["answers"]
        assert running["id"] == begun["answer"]
        rest = await reader.chunks(begun, headers={"last-event-id": cursor})
        assert rest[-1][1]["status"] == "interrupted"
        (whole,) = (text_of(one) for one in rest[-1][1]["messages"])
        assert whole.startswith(text)
        assert await reader.texts(begun["session_id"]) == ["1000", whole]
        newest = (await reader.page(begun["session_id"]))["entries"][0]
        assert newest["message"]["response_metadata"]["answer"] == "interrupted"
        again = await reader.send(begun["session_id"], "3", after=-1)
        assert await reader.end(again) == ("complete", "0 1 2 ")
    wait_until(lambda: len(processes(address)) == WORKERS, seconds=30)  # uvicorn has started another one


async def test_a_reader_that_goes_leaves_nothing(url: str, address: str) -> None:
    """The answer goes on to its end, and then nobody listens to anything."""
    async with client_in(address) as (client, _):
        begun = await client.new("30")
        for _ in range(5):
            async with client_in(address) as (reader, _), reader.following(begun) as events:
                await anext(events)
        assert (await client.end(begun))[0] == "complete"
    with client_of(url) as raw:
        kinds = ("CHANNELS", "SHARDCHANNELS")
        wait_until(lambda: not any(raw.execute_command("PUBSUB", kind) for kind in kinds))
