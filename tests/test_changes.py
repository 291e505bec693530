"""Live changes: what a listener is told of a session, and of a user's list."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
import redis
import redis.asyncio
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem import Change
from chatmem.core import feed
from chatmem.core.keys import log_of, session_keys, user_log
from chatmem.transports.listening import mailbox
from tests.conftest import Connect
from tests.servers import LEAST_RIGHTS, LISTENING, debian_binary, run_server, wait_until


async def collect(changes: Any, count: int) -> list[Any]:
    """Return the next changes, so many."""
    found: list[Any] = []
    async for change in changes:
        found.append(change)
        if len(found) == count:
            break
    return found


async def some_of_each(history: chatmem.History) -> list[Change]:
    """Change a session in all ways; return what a listener has to be told."""
    await history.append("a", lc.AIMessage("b", id="b"), "c")
    await history.put(lc.AIMessage("B", id="b"))
    await history.update(title="A title")
    await history.update(metadata={"a": 1})
    await history.append("d", lc.AIMessage("new", id="b"), on_known_id="replace")
    await history.delete(2)
    await history.append("e", "f", "g")
    await history.truncate(after=4)
    await history.compact(up_to=1, replacement=["a summary"])
    await history.append("last", idempotency_key="k")
    await history.append("last", idempotency_key="k")  # changes nothing
    return [
        Change("appended", 1, 0, 2),
        Change("replaced", 2, 1, 1),
        Change("title", 2, None, None),
        Change("metadata", 2, None, None),
        Change("appended", 3, 3, 3),
        Change("replaced", 3, 1, 1),
        Change("removed", 4, 2, 2),
        Change("appended", 5, 4, 6),
        Change("removed", 6, 5, 6),
        Change("replaced", 7, 0, 1),
        Change("appended", 8, 7, 7),
    ]


def first_kind(number: int, server_url: str) -> str:
    """Return what an append is told as: a listener without the log cannot know that the first one is the first."""
    return "reset" if number == 0 and "least" in server_url else "appended"


class TestEveryServer:
    async def test_what_is_told(self, connect: Connect, request: pytest.FixtureRequest) -> None:
        """Each change with its positions and version, to those who were away; then that the session was erased."""
        memory = connect(publish=True)
        history = memory.history("a")
        wanted = await some_of_each(history)
        if "least rights" in request.node.name:  # it may not write to streams
            assert [change async for change in history.changes(after=0, timeout=0.1)] == [
                Change("reset", 8, None, None)
            ]
            return
        assert [change async for change in history.changes(after=0, timeout=0.1)] == wanted
        assert [change async for change in history.changes(after=4, timeout=0.1)] == wanted[7:]
        assert [change async for change in history.changes(after=2, timeout=0.1)] == wanted[2:]
        assert [change async for change in history.changes(after=8, timeout=0.1)] == []
        assert [change async for change in history.changes(timeout=0.1)] == []
        await history.clear()
        assert [change async for change in history.changes(after=8, timeout=0.1)] == [Change("cleared", 0, None, None)]

    async def test_as_it_happens(self, server_url: str, prefix: str, raw: redis.Redis) -> None:
        """Another memory of the loop hears of it, soon and in order."""
        reader = chatmem.connect(server_url, prefix=prefix, ttl=60)
        writer = chatmem.connect(server_url, prefix=prefix, ttl=60, publish=True)
        async with reader, writer, aclosing(reader.history("a").changes(after=0)) as heard:
            for number in range(3):
                await writer.history("a").append(str(number))
                change = await asyncio.wait_for(anext(heard), 10)
                assert (change.kind, change.version) == (first_kind(number, server_url), number + 1)

    async def test_in_another_thread(self, server_url: str, prefix: str, raw: redis.Redis) -> None:
        """The synchronous iterator blocks its thread until something happens."""
        found: list[Change] = []
        with chatmem.sync.connect(server_url, prefix=prefix, ttl=60, publish=True) as memory:

            def listen() -> None:
                for change in memory.history("a").changes(after=0):
                    found.append(change)
                    if change.version >= 2:
                        break

            thread = threading.Thread(target=listen)
            thread.start()
            memory.history("a").append("x")
            memory.history("a").append("y")
            thread.join(10)
            assert not thread.is_alive()
        told = [(change.kind, change.version) for change in found]
        if "least" in server_url:  # without the log, what is told depends on when the listener asks
            assert told in (
                [("reset", 2)],
                [("reset", 1), ("appended", 2)],
                [("appended", 1), ("appended", 2)],
                [("appended", 2)],
            )
        else:
            assert told == [("appended", 1), ("appended", 2)]

    async def test_a_users_list(self, connect: Connect, request: pytest.FixtureRequest) -> None:
        """What is written, renamed and erased, with a cursor to go on from."""
        memory = connect(publish=True)
        if "least rights" in request.node.name:
            pytest.skip("this user may not publish")
        changes = memory.changes("alice", timeout=0.1)
        assert [change async for change in changes] == []
        await memory.history("a", user="alice").append("x")
        (first,) = [change async for change in memory.changes("alice", after=BEGINNING, timeout=0.1)]
        assert (first.kind, first.session_id) == ("written", "a")
        await memory.history("b", user="alice").append("x")
        await memory.history("a").append("y")
        await memory.history("a").update(title="t")
        await memory.history("b", user="alice").clear()
        told = [change async for change in memory.changes("alice", after=first.cursor, timeout=0.1)]
        kinds = list(dict.fromkeys((one.kind, one.session_id) for one in told))
        assert kinds == [("written", "b"), ("written", "a"), ("title", "a"), ("removed", "b")]
        assert [change async for change in memory.changes("alice", after=told[-1].cursor, timeout=0.1)][4:] == []


BEGINNING = "MC0wIDA="
"""The cursor before everything."""


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(f"{url}?client_name={prefix}", prefix=prefix, ttl=60, publish=True) as memory:
        yield memory


@pytest.fixture
def raw(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        yield client


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask more often."""
    monkeypatch.setattr(feed, "POLLING", 0.05)
    monkeypatch.setattr(feed, "CHECKING", 0.3)


class TestWriters:
    async def test_who_does_not_publish_pays_nothing(self, url: str, prefix: str, raw: redis.Redis) -> None:
        """Not a key, a field, an argument or a command: `MONITOR` shows what is sent, and what scripts call."""
        async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
            history = memory.history("a", user="alice")
            with raw.monitor() as monitor:
                await history.append("x")
                await history.append("y")
                await history.replace(0, "z")
                await history.update(title="t")
                await history.touch()
                raw.echo("the end")
                seen = list(iter(lambda: str(monitor.next_command()["command"]), "ECHO the end"))
            names = {command.split()[0].upper() for command in seen}
            assert len(seen) > 50
            assert not [name for name in names if name.startswith("X") or "PUBLISH" in name]
            assert not [command for command in seen if f"{prefix}:{{a}}:c" in command or "{alice}:c" in command]
            assert raw.hexists(session_keys(prefix, "a").state, "log") is False
            assert raw.exists(log_of(session_keys(prefix, "a")), user_log(prefix, b"alice")) == 0
            await history.clear()

    async def test_the_log_lives_as_long_as_the_session(self, url: str, memory: Any, prefix: str, raw: Any) -> None:
        """Whoever changes the session's time to live, and whoever erases it."""
        keys = session_keys(prefix, "a")
        log = log_of(keys)

        def deadlines() -> set[int]:
            now = time.time()
            return {round(now + raw.pttl(key) / 1000) for key in (keys.messages, keys.state, log)}

        await memory.history("a").append("x")
        assert max(deadlines()) - min(deadlines()) <= 1
        await memory.history("a").touch(ttl=500)
        assert max(deadlines()) - min(deadlines()) <= 1
        async with chatmem.connect(url, prefix=prefix, ttl=900) as silent:
            await silent.history("a").append("y")
            assert raw.pttl(log) > 800_000
            assert max(deadlines()) - min(deadlines()) <= 1
            await silent.history("a").clear()
        assert raw.exists(log) == 0

    async def test_forget_erases_the_logs(self, memory: chatmem.ChatMemory, prefix: str, raw: redis.Redis) -> None:
        """The sessions' and the user's."""
        await memory.history("a", user="alice").append("x")
        await memory.history("b", user="alice").append("x")
        assert len(list(raw.scan_iter(f"{prefix}*:c"))) == 3
        assert await memory.forget("alice") == 2
        assert list(raw.scan_iter(f"{prefix}*")) == []

    async def test_a_fork_is_told(self, memory: chatmem.ChatMemory) -> None:
        """To who waits for the new session."""
        await memory.history("a").append("x", "y")
        await memory.history("a").fork("b")
        assert await collect(memory.history("b").changes(after=0, timeout=1), 1) == [Change("appended", 1, 0, 1)]

    async def test_what_retention_removes(self, url: str, prefix: str) -> None:
        """It has the version of the append that made it necessary."""
        async with chatmem.connect(url, prefix=prefix, ttl=60, publish=True, max_messages=2) as memory:
            history = memory.history("a")
            await history.append("a", "b")
            await history.append("c")
            told = [change async for change in history.changes(after=1, timeout=0.1)]
        assert told == [Change("appended", 2, 2, 2), Change("removed", 2, 0, 0)]

    async def test_some_publish_and_some_do_not(self, url: str, prefix: str, memory: Any, fast: None) -> None:
        """What was not published is told as far as it is known: appends with their positions, else "reset"."""
        async with chatmem.connect(url, prefix=prefix, ttl=60) as silent:
            heard = memory.history("a").changes(after=0)
            await memory.history("a").append("a")
            await silent.history("a").append("b", "c")
            await silent.history("a").append("d")
            assert await collect(heard, 2) == [Change("appended", 1, 0, 0), Change("appended", 3, 1, 3)]
            await silent.history("a").delete(0)
            await memory.history("a").append("e")
            assert await collect(heard, 1) == [Change("reset", 5, None, None)]
            await memory.history("a").append("f")
            assert await collect(heard, 1) == [Change("appended", 6, 5, 5)]
            await heard.aclose()

    async def test_a_list_that_nobody_publishes(self, url: str, prefix: str, fast: None) -> None:
        """Sessions that were written are told."""
        async with chatmem.connect(url, prefix=prefix, ttl=60) as silent:
            heard = silent.changes("alice")
            waiting = asyncio.create_task(anext(heard))
            while not waiting.done():  # it may begin to listen behind the first ones
                await silent.history("a", user="alice").append("x")
                await asyncio.sleep(0.1)
            assert waiting.result().session_id == "a"
            await heard.aclose()


class TestListeners:
    async def test_further_behind_than_the_log(self, memory: chatmem.ChatMemory) -> None:
        """One change says so, with the version to go on from."""
        history = memory.history("a")
        for _ in range(1300):
            await history.append("x")
        assert await collect(history.changes(after=1, timeout=1), 2) == [Change("reset", 1300, None, None)]
        told = await collect(history.changes(after=1250, timeout=1), 50)
        assert [change.version for change in told] == list(range(1251, 1301))

    async def test_a_slow_listener(self, memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """It holds a bounded number of messages, harms nobody, and still gets all that the log has."""
        monkeypatch.setattr(mailbox, "MOST_UNREAD", 10)
        slow, quick = memory.history("a").changes(after=0), memory.history("a").changes(after=0)
        await memory.history("a").append("0")
        assert (await anext(slow)).version == 1
        reading = asyncio.create_task(collect(quick, 301))
        for number in range(300):
            await memory.history("a").append(str(number))
        assert [change.version for change in await asyncio.wait_for(reading, 10)] == list(range(1, 302))
        assert len(slow._subscription._unread) <= 10
        assert [change.version for change in await collect(slow, 300)] == list(range(2, 302))
        for one in (slow, quick):
            await one.aclose()

    async def test_a_cancelled_wait(self, memory: chatmem.ChatMemory) -> None:
        """The same iterator goes on: nothing is missed, however often the wait is cancelled."""
        heard = memory.history("a").changes(after=0)
        versions: list[int] = []

        async def write() -> None:
            for _ in range(200):
                await memory.history("a").append("x")

        writing = asyncio.create_task(write())
        patience = 0.001
        while len(versions) < 200:
            try:
                async with asyncio.timeout(patience):
                    versions.append((await anext(heard)).version)
            except TimeoutError:
                patience *= 1.1  # else a busy machine never got to the end of a round trip
            else:
                patience = 0.001
        await writing
        await heard.aclose()
        assert versions == list(range(1, 201))

    async def test_closing_the_memory_ends_it(self, url: str, prefix: str) -> None:
        """For coroutines that wait, and for threads."""
        memory = chatmem.connect(url, prefix=prefix, publish=True)
        waiting = [asyncio.create_task(collect(memory.history("a").changes(), 1)) for _ in range(3)]
        await asyncio.sleep(0.1)
        await memory.aclose()
        assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [[], [], []]
        blocking = chatmem.sync.connect(url, prefix=prefix, publish=True)
        thread = threading.Thread(target=lambda: list(blocking.history("a").changes()))
        thread.start()
        await asyncio.sleep(0.1)
        blocking.close()
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive()

    async def test_one_connection_for_all(self, memory: chatmem.ChatMemory, prefix: str, raw: redis.Redis) -> None:
        """It is opened for the first listener, and closed after the last, whether it said so or was dropped."""

        def connections() -> int:
            listening = [one for one in raw.client_list() if "ssubscribe" in str(one["cmd"])
                         or one["sub"] != "0" or one.get("ssub", "0") != "0"]  # fmt: skip
            return sum(one["name"] == prefix for one in listening)  # those of other tests come and go

        await memory.ping()
        assert connections() == 0
        heard = [memory.history(f"s{number % 10}").changes() for number in range(100)]
        waiting = [asyncio.create_task(anext(one)) for one in heard]
        async with asyncio.timeout(30):
            while not all(one._begun for one in heard):  # noqa: ASYNC110 - of many
                await asyncio.sleep(0.01)
        assert connections() == 1
        for number in range(10):
            await memory.history(f"s{number}").append("x")
        assert len(await asyncio.wait_for(asyncio.gather(*waiting), 30)) == 100
        for one in heard[:50]:
            await one.aclose()
        del heard, waiting, one
        gc.collect()
        again = memory.history("other").changes()
        async with aclosing(again):
            await asyncio.wait([asyncio.create_task(anext(again))], timeout=0.1)
        async with asyncio.timeout(30):
            while connections():  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.01)

    async def test_of_another_user(self, memory: chatmem.ChatMemory) -> None:
        """Who may not read a session may not listen to it."""
        await memory.history("a", user="alice").append("x")
        with pytest.raises(chatmem.NotYoursError):
            await anext(memory.history("a", user="bob").changes())
        heard = memory.history("b", user="bob").changes(after=0)
        waiting = asyncio.create_task(anext(heard))
        await asyncio.sleep(0.1)
        await memory.history("b", user="alice").append("x")
        with pytest.raises(chatmem.NotYoursError):
            await asyncio.wait_for(waiting, 5)
        await heard.aclose()

    async def test_a_session_that_began_anew(self, memory: chatmem.ChatMemory) -> None:
        """The same version of another life of the session is another version."""
        history = memory.history("a")
        heard = history.changes(after=0)
        await history.append("x")
        await history.append("y")
        assert len(await collect(heard, 2)) == 2
        await heard._subscription.aclose()  # type: ignore[union-attr]
        await history.clear()
        for _ in range(3):
            await history.append("z")
        assert await collect(heard, 1) == [Change("reset", 3, None, None)]
        await heard.aclose()

    def test_under_trio(self, url: str, prefix: str) -> None:
        """By polling: other loops than asyncio have no connection that pushes."""
        trio = pytest.importorskip("trio")

        async def listen() -> list[Change]:
            memory = chatmem.connect(url, prefix=prefix, ttl=60, publish=True)
            await memory.history("a").append("x")
            found = await collect(memory.history("a").changes(after=0, timeout=5), 1)
            await memory.aclose()
            return found

        assert trio.run(listen) == [Change("appended", 1, 0, 0)]

    @pytest.mark.parametrize("protocol", [2, 3])
    async def test_a_brought_client(
        self, url: str, prefix: str, protocol: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An asyncio client and its settings, which is pushed to; a blocking one in threads."""
        monkeypatch.setattr(feed, "POLLING", 600.0)
        async with redis.asyncio.Redis.from_url(url, protocol=protocol, decode_responses=True) as client:
            memory = chatmem.connect(client=client, prefix=prefix, ttl=60, publish=True)
            heard = memory.history("a").changes(after=0)
            waiting = asyncio.create_task(collect(heard, 2))
            await asyncio.sleep(0.1)
            await memory.history("a").append("x")
            await memory.history("a").append("y")
            assert len(await asyncio.wait_for(waiting, 30)) == 2
            await heard.aclose()
            await memory.aclose()
        monkeypatch.undo()
        with redis.Redis.from_url(url, protocol=protocol) as blocking:
            memory = chatmem.connect(client=blocking, prefix=prefix, ttl=60, publish=True)
            assert len(await collect(memory.history("a").changes(after=0, timeout=5), 2)) == 2
            with chatmem.sync.connect(client=blocking, prefix=prefix) as synchronous:
                assert len(list(synchronous.history("a").changes(after=0, timeout=0.1))) == 2

    @pytest.mark.parametrize("wrong", [{"after": -1}, {"after": "1"}, {"timeout": 0}, {"timeout": "1"}])
    def test_wrong_arguments(self, memory: Any, wrong: dict[str, Any]) -> None:
        """They are refused at once."""
        with pytest.raises(ValueError, match=next(iter(wrong))):
            memory.history("a").changes(**wrong)


class TestRights:
    @pytest.mark.parametrize("more", ["", "+xadd +xrange +xrevrange", LISTENING])
    async def test_what_each_right_gives(self, prefix: str, more: str, fast: None) -> None:
        """Without any, versions are compared; with streams, each change is known; with all, it is pushed."""
        with run_server(debian_binary()) as url, redis.Redis.from_url(url) as admin:
            admin.execute_command("ACL", "SETUSER", "few", "on", ">x", "~test-*", *LEAST_RIGHTS.split(), *more.split())
            async with chatmem.connect(url.replace("//", "//few:x@"), prefix=prefix, ttl=60, publish=True) as memory:
                heard = memory.history("a").changes(after=0)
                await memory.history("a").append("a")
                await memory.history("a").append("b")
                assert (await asyncio.wait_for(collect(heard, 1 if more == "" else 2), 5))[-1].version == 2
                waiting = asyncio.create_task(anext(heard))
                if more == LISTENING:
                    await asyncio.to_thread(wait_until, admin.pubsub_shardchannels)
                else:
                    assert not admin.pubsub_shardchannels()
                await memory.history("a").append("c")
                assert await asyncio.wait_for(waiting, 5) == Change("appended", 3, 2, 2)
                await heard.aclose()

    def test_the_documentation_lists_them(self) -> None:
        """docs/deployment.md."""
        from tests.pages import DOCS

        assert LISTENING.replace("test-", "chatmem:") in (DOCS / "deployment.md").read_text()
