"""A chat memory on the embedded server: it survives restarts and kills, and is shared between processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import chatmem
import chatmem.sync
from tests.coroutines import Connect, as_coroutines
from tests.servers import wait_until
from tests.test_embedded import kill, processes, short_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture(params=["async", "sync"])
def connect(request: pytest.FixtureRequest) -> Connect:
    def open_memory(url: str | None = None, **options: Any) -> chatmem.ChatMemory:
        if request.param == "async":
            return chatmem.connect(url, **options)
        return as_coroutines(chatmem.sync.connect(url, **options))

    return open_memory


async def test_a_chat_survives_a_restart(connect: Connect, folder: Path) -> None:
    """What was said is there after the last user was gone and the server with it."""
    for turn in range(3):
        memory = connect(f"embedded://{folder}")
        assert (await memory.history("a").append("hi", ("ai", "hello"))).first == 2 * turn
        assert processes(folder)
        await memory.aclose()
        wait_until(lambda: not processes(folder))


async def test_by_default_it_is_in_the_users_data_folder(
    connect: Connect, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`connect()` without a URL and without CHATMEM_URL starts it there."""
    monkeypatch.setenv("XDG_DATA_HOME", str(folder))
    memory = connect()
    await memory.history("a").append("hi")
    assert sys.platform != "linux" or (folder / "chatmem" / "chatmem.sock").exists()
    await memory.aclose()
    wait_until(lambda: not processes(folder))


@pytest.mark.parametrize("name", ["a b", "q?x=1#y", "%41%25", "é'\""])
async def test_any_folder_will_do(connect: Connect, name: str) -> None:
    """A folder's name may hold what means something in a URL."""
    with short_folder(name) as folder:
        memory = connect(f"embedded://{folder}")
        assert (await memory.history("a").append("hi")).first == 0
        assert (folder / "chatmem.sock").exists()
        await memory.aclose()


async def test_it_is_started_again(connect: Connect, folder: Path) -> None:
    """After a kill of the server, of its supervisor, of both, the next call is served; nothing is lost or doubled."""
    memory = connect(f"embedded://{folder}")
    history = memory.history("a")
    await history.append("0")
    for number, names in enumerate((["valkey-server"], ["supervisor.py"], ["supervisor.py", "valkey-server"]), 1):
        for name in names:
            with suppress(KeyError):  # the server ends with its supervisor
                kill(folder, name)
        assert await history.append(str(number)) == chatmem.Appended(number + 1, number, number, 0)
    assert [message.content for message in await history.messages()] == ["0", "1", "2", "3"]
    await memory.aclose()


async def test_listing_starts_it(connect: Connect, folder: Path) -> None:
    """The list of all sessions is served as the first call, and after a kill, as every other call is."""
    memory = connect(f"embedded://{folder}")
    assert [session async for session in memory.all_sessions()] == []
    await memory.history("a").append("0")
    kill(folder, "valkey-server")
    assert [session async for session in memory.all_sessions()] == ["a"]
    await memory.aclose()


async def test_both_facades_and_another_process_share_it(folder: Path) -> None:
    """One session, three users."""
    async with chatmem.connect(f"embedded://{folder}") as memory:
        await memory.history("a").append("one")
        with chatmem.sync.connect(f"embedded://{folder}") as other:
            other.history("a").append("two")
        script = "import chatmem.sync as s\nwith s.connect() as m: m.history('a').append('three')"
        environment = {**os.environ, "CHATMEM_URL": f"embedded://{folder}"}
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], env=environment, check=True)
        assert [message.content for message in await memory.history("a").messages()] == ["one", "two", "three"]


async def test_starting_it_does_not_block_the_loop(folder: Path) -> None:
    """Coroutines go on while the server starts."""
    async with chatmem.connect(f"embedded://{folder}") as memory:
        waiting = asyncio.create_task(memory.ping())
        ticks = 0
        while not waiting.done():
            ticks += 1
            await asyncio.sleep(0.001)
        assert await waiting
        assert ticks > 5


@pytest.mark.parametrize("facade", [chatmem, chatmem.sync])
def test_without_the_extra(facade: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said what to install, and what to do instead."""
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    with pytest.raises(chatmem.UnsupportedError, match=r"pip install 'chatmem-redis\[embedded\]'.*CHATMEM_URL"):
        facade.connect()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 12 MB."""
    with short_folder() as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], capture_output=True)
        if mounted.returncode:
            pytest.skip("it may not mount a small disk here")
        yield folder
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="it mounts a tmpfs")
def test_a_full_disk(small_disk: Path) -> None:
    """The error says so; what was acknowledged is there; and with room again, it goes on."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(os.urandom(6 << 20))
    with chatmem.sync.connect(f"embedded://{small_disk}/data") as memory:
        history = memory.history("a")
        acknowledged = 0
        with pytest.raises(chatmem.UnavailableError, match="is full: make room"):
            while acknowledged < 5_000:
                history.append(os.urandom(5_000).hex())
                acknowledged += 1
        assert acknowledged > 100
        ballast.unlink()
        assert history.count() in (acknowledged, acknowledged + 1)
        assert history.append("again").first in (acknowledged, acknowledged + 1)
