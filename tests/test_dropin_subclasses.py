"""The drop-in classes under subclasses, assigned attributes and error handling that the replaced classes allow."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from langchain_core import messages as lc
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import message_to_dict, messages_from_dict
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from redis import exceptions as redis_errors
from redis.credentials import UsernamePasswordCredentialProvider

import chatmem
from chatmem.dropin import errors, langchain_community, langchain_redis, memorystore
from chatmem.dropin.connections import shared_connection_to
from tests.sentinels import sentinel
from tests.servers import debian_binary, run_server
from tests.upstash_server import TOKEN, serving

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Opened = Callable[..., Any]
HUMAN = lc.HumanMessage("a secret")


@pytest.fixture
def raw(url: str, prefix: str) -> Iterator[Any]:
    with redis.Redis.from_url(url) as client:
        yield client
        for key in client.scan_iter(f"*{prefix}*", count=1000):
            client.unlink(key)


@pytest.fixture(params=["community", "upstash", "memorystore", "langchain-redis"])
def opened(request: pytest.FixtureRequest, url: str, raw: Any, prefix: str) -> Iterator[Opened]:
    """Return a function that derives a class from a drop-in class and some mixins, and opens a history with it."""
    with serving(url) as rest:
        classes: dict[str, tuple[type, tuple[Any, ...]]] = {
            "community": (langchain_community.RedisChatMessageHistory, ("s", url, f"{prefix}:")),
            "upstash": (langchain_community.UpstashRedisChatMessageHistory, ("s", rest.url, TOKEN, f"{prefix}:")),
            "memorystore": (memorystore.MemorystoreChatMessageHistory, (raw, f"{prefix}:s")),
            "langchain-redis": (langchain_redis.RedisChatMessageHistory, ("s", url, prefix)),
        }
        cls, arguments = classes[request.param]

        def opened(*mixins: type) -> Any:
            return type("Own", (*mixins, cls), {})(*arguments)

        yield opened


def contents(messages: Sequence[lc.BaseMessage]) -> list[Any]:
    return [message.content for message in messages]


class Redacts:
    """Overrides what the replaced classes have of their own to add a message."""

    def add_message(self, message: lc.BaseMessage) -> None:
        super().add_message(lc.HumanMessage(str(message.content).replace("secret", "***")))  # type: ignore[misc]


class Shortens:
    """Overrides what reads."""

    @property
    def messages(self) -> list[lc.BaseMessage]:
        read: list[lc.BaseMessage] = super().messages  # type: ignore[misc]
        return read[-1:]


class Counts:
    """Overrides what clears."""

    cleared = 0

    def clear(self) -> None:
        self.cleared += 1
        super().clear()  # type: ignore[misc]


class Loops:
    """Adds messages one by one, in the loop of LangChain's own base class."""

    def add_messages(self, messages: Sequence[lc.BaseMessage]) -> None:
        for message in messages:
            self.add_message(message)  # type: ignore[attr-defined]


class TestOverrides:
    """What a subclass overrides is heeded by all methods that LangChain builds on it."""

    @pytest.mark.parametrize("mixins", [(Redacts,), (Redacts, Loops), (Loops, Redacts)])
    async def test_what_adds(self, opened: Opened, mixins: tuple[type, ...]) -> None:
        """No way of adding messages goes past an overridden `add_message`."""
        history = opened(*mixins)
        history.add_message(HUMAN)
        history.add_user_message("a secret")
        history.add_ai_message("a secret")
        history.add_messages([HUMAN, HUMAN])
        await history.aadd_messages([HUMAN])
        for invoke in (_chain(history).invoke, lambda *given: asyncio.run(_chain(history).ainvoke(*given))):
            await asyncio.to_thread(invoke, [HUMAN], {"configurable": {"session_id": "s"}})
        assert contents(history.messages) == ["a ***"] * 6 + ["a ***", "re: a ***"] * 2

    async def test_what_reads(self, opened: Opened) -> None:
        """No way of reading goes past an overridden `messages`."""
        history = opened(Shortens)
        history.add_messages([lc.HumanMessage("1"), lc.HumanMessage("2")])
        assert contents(history.messages) == contents(await history.aget_messages()) == ["2"]
        assert str(history) == "Human: 2"

    async def test_what_clears(self, opened: Opened) -> None:
        """`aclear` calls an overridden `clear`."""
        history = opened(Counts)
        history.add_message(HUMAN)
        await history.aclear()
        assert (history.cleared, history.messages) == (1, [])

    async def test_a_loop_of_its_own(self, opened: Opened) -> None:
        """A subclass may add messages one by one, as LangChain's base class does."""
        history = opened(Loops)
        history.add_messages([HUMAN, HUMAN])
        await history.aadd_messages([HUMAN])
        assert contents(history.messages) == ["a secret"] * 3

    async def test_both_twins(self, opened: Opened) -> None:
        """A subclass may override an asynchronous method too; what that calls goes through the synchronous override."""

        class Both(Shortens):
            async def aget_messages(self) -> list[lc.BaseMessage]:
                read: list[lc.BaseMessage] = await super().aget_messages()  # type: ignore[misc]
                return [*read, *read][:1]

        for mixins in ((Both,), (Counts, Both)):
            history = opened(*mixins)
            history.clear()
            history.add_messages([lc.HumanMessage("1"), lc.HumanMessage("2")])
            assert contents(history.messages) == ["2"]
            assert contents(await history.aget_messages()) == ["2"]

    async def test_of_chatmems_own_class(self, url: str, prefix: str) -> None:
        """A subclass of `chatmem.langchain.ChatMessageHistory` is heeded in the same way."""
        from chatmem.langchain import ChatMessageHistory

        own: Any = type("Own", (Shortens, Counts, ChatMessageHistory), {})

        async with chatmem.connect(url, prefix=prefix) as memory:
            history = own(memory.core, "s")
            await history.aadd_messages([lc.HumanMessage("1"), lc.HumanMessage("2")])
            assert contents(await history.aget_messages()) == ["2"]
            await history.aclear()
            assert history.cleared == 1


def _chain(history: Any) -> Any:
    answers: Any = RunnableLambda(lambda messages: lc.AIMessage(f"re: {messages[-1].content}"))
    return RunnableWithMessageHistory(answers, lambda session_id: history)


class Replaced(BaseChatMessageHistory):
    """A class with the three methods that the replaced classes have of their own."""

    def __init__(self, client: Any, key: str) -> None:
        self._list, self._name = client, key

    @property
    def messages(self) -> list[lc.BaseMessage]:  # type: ignore[override]
        return messages_from_dict([json.loads(one) for one in self._list.lrange(self._name, 0, -1)])

    def add_message(self, message: lc.BaseMessage) -> None:
        self._list.rpush(self._name, json.dumps(message_to_dict(message)))

    def clear(self) -> None:
        self._list.delete(self._name)


_METHODS = ("add_message", "add_messages", "clear")
_CALLS = ("add_user_message", "add_ai_message", "add_message", "add_messages", "aadd_messages", "clear", "aclear")


def _noting(cls: type, overridden: frozenset[str], calls: list[Any]) -> Any:
    """Return a subclass that writes down each call of an overridden method, and what it was given."""

    def override(name: str) -> Any:
        def noted(self: Any, *given: Any) -> None:
            calls.append((name, *given))
            getattr(super(made, self), name)(*given)

        return noted

    body: dict[str, Any] = {name: override(name) for name in _METHODS if name in overridden}
    if "messages" in overridden:
        body["messages"] = property(lambda self: [*super(made, self).messages, lc.SystemMessage("read")])
    made: Any = type("Noting", (cls,), body)
    return made


@given(st.frozensets(st.sampled_from((*_METHODS, "messages"))), st.lists(st.sampled_from(_CALLS), max_size=8))
def test_any_override(url: str, overridden: frozenset[str], names: list[str]) -> None:
    """Whatever is overridden, the same calls reach it, and the same is stored and read, as under the replaced class."""
    seen: list[Any] = []
    with redis.Redis.from_url(url) as client:
        for base in (Replaced, memorystore.MemorystoreChatMessageHistory):
            client.delete("overrides")
            calls: list[Any] = []
            history = _noting(base, overridden, calls)(client, "overrides")
            for name in names:
                given: tuple[Any, ...] = ("x",) if name.endswith(("user_message", "ai_message")) else (HUMAN,)
                given = ([HUMAN, HUMAN],) if name.endswith("add_messages") else given
                result = getattr(history, name)(*(() if "clear" in name else given))
                if name.startswith("a") and asyncio.iscoroutine(result):
                    asyncio.run(result)
            seen.append(
                (calls, client.lrange("overrides", 0, -1), history.messages, asyncio.run(history.aget_messages()))
            )
    assert seen[0] == seen[1]


class TestAttributes:
    """What a caller assigns, or a subclass computes, is looked up at each call."""

    @pytest.mark.parametrize("name", ["community", "upstash"])
    async def test_of_the_prefixed_lists(self, url: str, raw: Any, prefix: str, name: str) -> None:
        """The key's parts, the key itself, and the TTL."""

        class Tenants:
            tenant = "t1"

            @property
            def key(self) -> str:
                return f"{prefix}:{self.tenant}:{self.session_id}"  # type: ignore[attr-defined]

        with serving(url) as rest:
            cls, place = {
                "community": (langchain_community.RedisChatMessageHistory, (url,)),
                "upstash": (langchain_community.UpstashRedisChatMessageHistory, (rest.url, TOKEN)),
            }[name]
            history: Any = cls("s", *place)
            history.session_id, history.key_prefix, history.ttl = "other", f"{prefix}:", 77
            history.add_user_message("1")
            await history.aadd_messages([HUMAN])
            assert 70 < raw.ttl(f"{prefix}:other") <= 77
            assert raw.llen(f"{prefix}:other") == len(history.messages) == len(await history.aget_messages()) == 2
            history.clear()
            assert not raw.exists(f"{prefix}:other")
            own: Any = type("Own", (Tenants, cls), {})("s", *place)
            for own.tenant in ("t1", "t2"):
                own.add_user_message("1")
                await own.aadd_messages([HUMAN])
                assert raw.llen(f"{prefix}:{own.tenant}:s") == len(await own.aget_messages()) == 2
            await own.aclear()
            assert (raw.exists(f"{prefix}:t1:s"), raw.exists(f"{prefix}:t2:s")) == (1, 0)

    async def test_of_memorystore(self, raw: Any, prefix: str) -> None:
        """The names that the replaced class has, which are private."""
        history: Any = memorystore.MemorystoreChatMessageHistory(raw, f"{prefix}s")
        history._key, history._ttl = f"{prefix}t", 77
        history.add_user_message("1")
        await history.aadd_messages([HUMAN])
        assert history._redis.llen(history._key) == 2
        assert 70 < raw.ttl(f"{prefix}t") <= 77

    async def test_of_langchain_redis(self, url: str, raw: Any, prefix: str) -> None:
        """The session, the prefix and the TTL."""
        history: Any = langchain_redis.RedisChatMessageHistory("s", url, prefix)
        history.session_id, history.key_prefix, history.ttl = "other", f"{prefix}x", 77
        history.add_user_message("a secret")
        await history.aadd_messages([HUMAN])
        assert history.id == "other"
        assert len(history) == await history.acount() == len(history.search_messages("secret")) == 2
        assert 70 < raw.ttl(f"{prefix}x:{{other}}:m") <= 77
        history.delete()
        assert raw.keys(f"{prefix}*") == []

    async def test_a_wrong_ttl(self, opened: Opened) -> None:
        """It raises where it is used, and nothing is stored without a TTL."""
        history = opened()
        name = "_ttl" if hasattr(history, "_ttl") else "ttl"
        setattr(history, name, -1)
        with pytest.raises(ValueError, match="ttl must be"):
            history.add_message(HUMAN)
        setattr(history, name, None)
        assert history.messages == []

    async def test_a_client(self, opened: Opened, url: str, raw: Any, prefix: str) -> None:
        """An assigned client takes the place of the URL, for both kinds of methods."""
        with redis.Redis.from_url(url.removesuffix("/0") + "/7") as other:
            history = opened()
            history.redis_client = other
            history.add_message(HUMAN)
            await history.aadd_messages([HUMAN])
            assert len(history.messages) == len(await history.aget_messages()) == 2
            assert history.redis_client is other
            assert (len(other.keys(f"*{prefix}*")) > 0, raw.keys(f"*{prefix}*")) == (True, [])
            other.flushdb()
        with pytest.raises(ValueError, match="client must be"):
            history.redis_client = "redis://localhost"


class TestErrors:
    """redis-py's errors, which code around the replaced classes catches."""

    async def _raised(self, url: str, expected: type[redis_errors.RedisError]) -> None:
        client = redis.Redis.from_url(url)
        for history in (
            langchain_community.RedisChatMessageHistory("s", url, "x"),
            langchain_redis.RedisChatMessageHistory("s", url, "x"),
            memorystore.MemorystoreChatMessageHistory(client, "xs"),
        ):
            calls: list[Callable[[], Any]] = [partial(history.add_user_message, "x"), history.clear]
            calls.append(partial(getattr, history, "messages"))
            calls += [history.__len__] if isinstance(history, langchain_redis.RedisChatMessageHistory) else []
            for call in calls:
                with pytest.raises(expected) as caught:
                    call()
                error: Any = caught.value
                assert isinstance(error, chatmem.ChatMemError)
                assert isinstance(error.__cause__, redis_errors.RedisError)
                again = pickle.loads(pickle.dumps(error))
                assert (type(again), str(again), again.key) == (type(error), str(error), error.key)
                assert error.args[0] in repr(error)
            with pytest.raises(expected):
                await history.aget_messages()
        client.close()

    async def test_no_server(self) -> None:
        """A lost connection is redis-py's ConnectionError."""
        await self._raised("redis://127.0.0.1:1/0", redis_errors.ConnectionError)

    async def test_a_silent_server(self) -> None:
        """A time-out is redis-py's TimeoutError."""
        with run_server(debian_binary()) as url, redis.Redis.from_url(url) as admin:
            admin.execute_command("CLIENT", "PAUSE", 60_000)
            await self._raised(f"{url}?socket_timeout=0.1", redis_errors.TimeoutError)

    async def test_a_refused_login(self, url: str) -> None:
        """A wrong password is redis-py's AuthenticationError."""
        wrong = url.replace("redis://", "redis://nobody:wrong@")
        await self._raised(wrong, redis_errors.AuthenticationError)

    async def test_no_such_database(self, url: str) -> None:
        """A refused command is redis-py's ResponseError."""
        await self._raised(url.removesuffix("/0") + "/4000", redis_errors.ResponseError)

    async def test_a_key_of_another_type(self, url: str, raw: Any, prefix: str) -> None:
        """So is a key of another type under a list."""
        raw.set(prefix, "x")
        for history in (
            langchain_community.RedisChatMessageHistory(prefix, url, ""),
            memorystore.MemorystoreChatMessageHistory(raw, prefix),
        ):
            for call in (partial(history.add_user_message, "x"), partial(getattr, history, "messages")):
                with pytest.raises(errors.ServerDataError) as caught:
                    call()
                assert caught.value.key == prefix
                assert isinstance(caught.value, chatmem.CorruptRecordError)

    def test_all_of_them(self) -> None:
        """Each class is an error of both packages."""
        assert len(errors._BOTH) == 6
        for both, theirs in errors._BOTH:
            assert issubclass(both, theirs)
            assert issubclass(both, chatmem.ChatMemError)


@pytest.mark.parametrize("path", ["", "/", "//0", "?socket_timeout=5", "/mymaster", "/mymaster/0"])
async def test_sentinels_without_a_service(path: str, tmp_path: Path) -> None:
    """A URL that names no service means `mymaster`, as with the replaced classes."""
    with ExitStack() as stack:
        url = stack.enter_context(run_server(debian_binary()))
        port = url.rsplit(":", 1)[1].split("/")[0]
        watching = sentinel(stack, tmp_path / "sentinel.conf", int(port))
        with redis.Redis(port=watching) as admin:
            admin.execute_command("SENTINEL", "MONITOR", "mymaster", "127.0.0.1", port, "1")
        for cls in (langchain_community.RedisChatMessageHistory, langchain_redis.RedisChatMessageHistory):
            history: Any = cls("s", f"redis+sentinel://127.0.0.1:{watching}{path}")
            history.add_message(HUMAN)
            await history.aadd_messages([HUMAN])
            assert contents(await history.aget_messages()) == ["a secret"] * 2
        with redis.Redis.from_url(url) as client:
            assert client.llen("message_store:s") == 2


class TestOptions:
    """redis-py's options of langchain-redis' class."""

    def test_values_without_a_hash(self, url: str, raw: Any, prefix: str) -> None:
        """Lists and dicts are options too, and equal ones share a pool."""

        def opened(**options: Any) -> Any:
            return langchain_redis.RedisChatMessageHistory("s", url, prefix, **options)

        options: dict[str, Any] = {"retry_on_error": [redis_errors.TimeoutError], "socket_keepalive_options": {}}
        histories = [
            opened(**options) for options in (options, {**options, "retry_on_error": [*options["retry_on_error"]]})
        ]
        for history in histories:
            history.add_message(HUMAN)
            assert history.redis_client.ping()
        assert histories[0].redis_client is histories[1].redis_client
        assert histories[0].redis_client is not opened(retry_on_error=[]).redis_client
        assert opened(decode_responses=True).redis_client is not opened(decode_responses=1).redis_client

    @pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
    def test_a_new_object_each_time(self, url: str, raw: Any, prefix: str) -> None:
        """Options that are never equal do not keep connections open for ever: the garbage collector closes them."""
        before = raw.info("clients")["connected_clients"]
        for _ in range(600):
            provider = UsernamePasswordCredentialProvider("default", "")
            history = langchain_redis.RedisChatMessageHistory("s", url, prefix, credential_provider=provider)
            assert history.messages == []
        gc.collect()
        more = raw.info("clients")["connected_clients"] - before
        assert more <= 300, more
        assert shared_connection_to(url) is shared_connection_to(url)
