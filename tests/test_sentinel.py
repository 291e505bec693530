"""Redis Sentinel: the master is found, and found again after a failover."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import redis

import chatmem
import chatmem.sync
from tests.coroutines import as_coroutines
from tests.sentinels import Watched
from tests.servers import free_port, wait_until


@pytest.fixture
def watched() -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(stack)


@pytest.mark.parametrize("facade", ["async", "sync"])
async def test_failover(watched: Watched, facade: str) -> None:
    """The master is killed; the next append goes to the new one, and nothing that was replicated is lost or doubled."""
    memory: chatmem.ChatMemory = (
        chatmem.connect(watched.url, ttl=60)
        if facade == "async"
        else as_coroutines(chatmem.sync.connect(watched.url, ttl=60))
    )
    history = memory.history("a")
    for number in range(5):
        await history.append(str(number), idempotency_key=f"k{number}")
    with watched.client(0) as master, watched.client(1) as replica:
        wait_until(lambda: master.execute_command("ROLE")[1] == replica.execute_command("ROLE")[4])
        sentinel = redis.Redis(port=watched.sentinels[0], protocol=2)
        wait_until(lambda: len(sentinel.execute_command("SENTINEL", "SENTINELS", "chats")) == 2)
        sentinel.close()
        watched.master.close()
        wait_until(lambda: replica.execute_command("ROLE")[0] == b"master", seconds=20)
    for number in range(4, 8):
        await history.append(str(number), idempotency_key=f"k{number}")
    assert [message.content for message in await history.messages()] == [str(number) for number in range(8)]
    await memory.aclose()


@pytest.mark.parametrize("connect", [chatmem.connect, chatmem.sync.connect])
@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis+sentinel://host:26379", "service's name"),
        ("redis+sentinel:///service/0", "must name sentinels"),
        ("redis+sentinel://host:x/service/0", "must name sentinels"),
        ("redis+sentinel://:s3cret@host/service/x", "database must be a number"),
    ],
)
def test_wrong_urls(connect: Callable[..., object], url: str, text: str) -> None:
    """What is missing is named, and the password is not shown."""
    with pytest.raises(ValueError, match=text) as caught:
        connect(url)
    assert "s3cret" not in str(caught.value)


async def test_no_sentinel_answers() -> None:
    """It is UnavailableError in both facades."""
    url = f"redis+sentinel://127.0.0.1:{free_port()}/chats"
    with pytest.raises(chatmem.UnavailableError, match="could not be reached"):
        await chatmem.connect(url).ping()
    with pytest.raises(chatmem.UnavailableError, match="could not be reached"):
        chatmem.sync.connect(url).ping()
