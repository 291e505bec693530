"""The drop-in classes behave as the ones that they replace, in synchronous and asynchronous methods."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import json
import math
import multiprocessing
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
import redis
import redis.asyncio
from hypothesis import given
from langchain_classic.memory import ConversationBufferMemory
from langchain_core import messages as lc
from langchain_core.documents import Document
from langchain_core.messages import messages_from_dict, messages_to_dict
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from pydantic import BaseModel
from redis.crc import key_slot

import chatmem
from chatmem.codec import record
from chatmem.core.keys import recent_calls_key
from chatmem.dropin import json_messages, langchain_community, langchain_redis, memorystore
from chatmem.dropin.connections import shared_connection_to
from tests import samples
from tests.clusters import Cluster, cluster
from tests.servers import run_server
from tests.upstash_server import TOKEN, RestServer, serving
from tests.wire import Wire, watched

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The class `ConversationBuffer")

TURN = (lc.HumanMessage("Hi, my name is Alice."), lc.AIMessage("Hello Alice!", tool_in_flight=[]))


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.fixture
def rest(url: str) -> Iterator[RestServer]:
    with serving(url) as server:
        yield server


@pytest.fixture
def raw(url: str, prefix: str) -> Iterator[Any]:
    with redis.Redis.from_url(url) as client:
        yield client
        for key in client.scan_iter(f"*{prefix}*", count=1000):
            client.unlink(key)


class Names:
    """A history's methods as coroutines: its asynchronous ones, or its synchronous ones wrapped."""

    def __init__(self, history: Any, kind: str) -> None:
        self.history = history
        self._async = kind == "async"

    async def add(self, *messages: lc.BaseMessage) -> None:
        if self._async:
            await self.history.aadd_messages(messages)
        else:
            self.history.add_messages(messages)

    async def read(self) -> list[lc.BaseMessage]:
        messages: list[lc.BaseMessage] = await self.history.aget_messages() if self._async else self.history.messages
        return messages

    async def clear(self) -> None:
        if self._async:
            await self.history.aclear()
        else:
            self.history.clear()


CLASSES = ["community", "upstash", "memorystore", "langchain-redis"]
LISTS = CLASSES[:3]


@pytest.fixture(params=CLASSES)
def make(request: pytest.FixtureRequest, url: str, rest: RestServer, raw: Any, prefix: str) -> Callable[..., Any]:
    """Return a function that makes histories, for each class in turn."""

    def make(session: str = "s", **options: Any) -> Any:
        match request.param:
            case "community":
                return langchain_community.RedisChatMessageHistory(session, url, f"{prefix}:", **options)
            case "upstash":
                return langchain_community.UpstashRedisChatMessageHistory(
                    session, rest.url, TOKEN, f"{prefix}:", **options
                )
            case "memorystore":
                return memorystore.MemorystoreChatMessageHistory(raw, f"{prefix}:{session}", **options)
            case _:
                return langchain_redis.RedisChatMessageHistory(session, url, f"{prefix}:", **options)

    make.__name__ = request.param
    return make


lists = pytest.mark.parametrize("make", LISTS, indirect=True)
both = pytest.mark.parametrize("kind", ["async", "sync"])


class TestNames:
    """What all four classes do, in both kinds of methods."""

    @both
    async def test_add_read_clear(self, make: Callable[..., Any], kind: str) -> None:
        """Messages come back in order, and sessions are separate."""
        names, other = Names(make(), kind), Names(make("S"), kind)
        assert await names.read() == []
        await names.add(*TURN)
        await names.add()
        await names.add(lc.SystemMessage("x"))
        await other.add(lc.HumanMessage("other"))
        assert await names.read() == [*TURN, lc.SystemMessage("x")]
        await names.clear()
        assert await names.read() == []
        assert [message.content for message in await other.read()] == ["other"]

    def test_single_messages(self, make: Callable[..., Any]) -> None:
        """`add_message`, `add_user_message` and `add_ai_message` store their message."""
        history = make()
        history.add_message(lc.SystemMessage("s"))
        history.add_user_message("u")
        history.add_ai_message(lc.AIMessage("a", id="a"))
        assert [(message.type, message.content) for message in history.messages] == [
            ("system", "s"),
            ("human", "u"),
            ("ai", "a"),
        ]

    @both
    async def test_two_thousand_at_once(self, make: Callable[..., Any], kind: str) -> None:
        """An append of more messages than a script handles at once keeps their order."""
        messages = [lc.HumanMessage(str(number)) for number in range(2001)]
        names = Names(make(), kind)
        await names.add(*messages)
        assert await names.read() == messages

    async def test_both_kinds_of_one_history(self, make: Callable[..., Any]) -> None:
        """Synchronous methods work inside a running event loop, too."""
        history = make()
        history.add_messages(TURN)
        await history.aadd_messages(TURN)
        assert history.messages == await history.aget_messages() == [*TURN, *TURN]

    @both
    async def test_runnable_with_message_history(self, make: Callable[..., Any], kind: str) -> None:
        """The replaced packages' example works, with an offline model that only knows its prompt."""
        chain = RunnableWithMessageHistory(
            _chain(), _factory(make), input_messages_key="input", history_messages_key="history"
        )
        config: Any = {"configurable": {"session_id": "alice"}}
        for text, answer in (("Hi, my name is Alice.", "Hello Alice!"), ("What's my name?", "Your name is Alice.")):
            given = {"input": text}
            message = await chain.ainvoke(given, config) if kind == "async" else chain.invoke(given, config)
            assert message.content == answer
        assert [message.content for message in make("alice").messages] == [
            "Hi, my name is Alice.",
            "Hello Alice!",
            "What's my name?",
            "Your name is Alice.",
        ]

    def test_buffer_memory(self, make: Callable[..., Any], raw: Any, prefix: str) -> None:
        """The replaced packages' other example works: a memory over a session with a TTL of 300 seconds."""
        history = make("jim", ttl=300)
        memory = ConversationBufferMemory(chat_memory=history, return_messages=True)
        memory.save_context({"input": "Hi! I'm Jim."}, {"output": "Hello Jim!"})
        read = memory.load_memory_variables({})["history"]
        assert [message.content for message in read] == ["Hi! I'm Jim.", "Hello Jim!"]
        lists = [key for key in raw.keys(f"{prefix}:*") if not key.endswith((b":i", b":s"))]
        assert [290 < raw.ttl(key) <= 300 for key in lists] == [True]
        memory.clear()
        assert history.messages == []

    async def test_runs_at_once(self, make: Callable[..., Any]) -> None:
        """Overlapping runs without keys lose no message, as they would with a fresh read at their end."""
        held = asyncio.Event()

        async def answer(messages: list[lc.BaseMessage]) -> lc.AIMessage:
            if messages[-1].content == "A":
                await held.wait()
            return lc.AIMessage(f"re:{messages[-1].content}")

        chain = RunnableWithMessageHistory(RunnableLambda(answer), _factory(make))
        config: Any = {"configurable": {"session_id": "s"}}
        first = asyncio.create_task(chain.ainvoke([lc.HumanMessage("A")], config))
        await asyncio.sleep(0.05)
        await chain.ainvoke([lc.HumanMessage("B")], config)
        held.set()
        await first
        assert sorted(str(message.content) for message in make().messages) == ["A", "B", "re:A", "re:B"]

    async def test_unavailable(self) -> None:
        """Without a server, both kinds of methods raise, and constructing does not."""
        for cls in (langchain_community.RedisChatMessageHistory, langchain_redis.RedisChatMessageHistory):
            history = cls("s", "redis://127.0.0.1:1/0?socket_connect_timeout=0.2")
            with pytest.raises(chatmem.UnavailableError):
                _ = history.messages
            with pytest.raises(chatmem.UnavailableError):
                await history.aadd_messages(TURN)


def _factory(make: Callable[..., Any]) -> Callable[[str], Any]:
    def history_of(session_id: str) -> Any:
        return make(session_id)

    return history_of


def _chain() -> Any:
    def answer(prompt: Any) -> lc.AIMessage:
        messages = prompt.to_messages()
        known = [m.content.split("my name is ")[1].strip(".") for m in messages if "my name is " in m.content]
        text = f"Your name is {known[-1]}." if "What's" in messages[-1].content else f"Hello {known[-1]}!"
        return lc.AIMessage(text)

    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{input}")])
    return prompt | RunnableLambda(answer)


class TestLists:
    """The classes whose layout old and new code share."""

    @lists
    @both
    async def test_the_layout(self, make: Callable[..., Any], raw: Any, prefix: str, kind: str) -> None:
        """The key, the order and the JSON are the old class'."""
        await Names(make(), kind).add(*TURN)
        elements = raw.lrange(f"{prefix}:s", 0, -1)
        wanted = [json.dumps(written).encode() for written in messages_to_dict(TURN)]
        assert elements == (wanted if make.__name__ == "memorystore" else wanted[::-1])

    @lists
    @both
    async def test_a_session_ttl(self, make: Callable[..., Any], raw: Any, prefix: str, kind: str) -> None:
        """Every append restarts the TTL; None and 0 mean no TTL."""
        for ttl, least, most in ((300, 299_000, 300_000), (timedelta(minutes=1), 59_000, 60_000)):
            await Names(make(ttl=ttl), kind).add(*TURN)
            assert least <= raw.pttl(f"{prefix}:s") <= most
        for session, none in (("n", None), ("0", 0)):
            await Names(make(session, ttl=none), kind).add(*TURN)
            assert raw.pttl(f"{prefix}:{session}") == -1
        for wrong in (-1, "300", True):
            with pytest.raises(ValueError, match="ttl must be"):
                make(ttl=wrong)

    @lists
    @both
    async def test_the_22_kinds(self, make: Callable[..., Any], kind: str) -> None:
        """Values that JSON can represent come back equal; others raise EncodingError, and nothing is stored."""
        names = Names(make(), kind)
        stored = []
        for name, message in samples.kinds().items():
            if name == "bytes artifact":
                with pytest.raises(chatmem.EncodingError, match="field 'artifact"):
                    await names.add(lc.HumanMessage("before"), message)
                continue
            await names.add(message)
            stored.append(message)
        read = await names.read()
        assert len(read) == len(stored) == 21
        for old, new in zip(stored, read, strict=True):
            assert samples.same(old.model_dump(), new.model_dump()) or isinstance(old, samples.Custom)
            assert type(old) is type(new) or isinstance(old, samples.Custom)

    @lists
    async def test_an_unreadable_element(
        self, make: Callable[..., Any], raw: Any, prefix: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An element that cannot be read is left out, with a warning that names the key."""
        history = make()
        history.add_message(TURN[0])
        raw.lpush(f"{prefix}:s", b"\xff", b"{", b'{"type": "unknown", "data": {}}')
        assert history.messages == await history.aget_messages() == [TURN[0]]
        assert len(caplog.records) == 6
        assert f"{prefix}:s" in caplog.text

    @lists
    @both
    async def test_a_key_of_another_type(self, make: Callable[..., Any], raw: Any, prefix: str, kind: str) -> None:
        """If the key holds another type, reading and adding raise, and nothing is changed."""
        raw.set(f"{prefix}:s", "x")
        names = Names(make(), kind)
        for call in (names.read, lambda: names.add(*TURN)):
            with pytest.raises(chatmem.CorruptRecordError) as caught:
                await call()
            assert caught.value.key == f"{prefix}:s"
        assert raw.get(f"{prefix}:s") == b"x"

    @pytest.mark.parametrize("session", ["日本", "a b*", "{u}1", "x" * 5000, "a\x00"])
    @lists
    def test_any_session(self, make: Callable[..., Any], raw: Any, prefix: str, session: str) -> None:
        """The key is exactly the prefix and the id."""
        make(session).add_messages(TURN)
        assert raw.llen(f"{prefix}:{session}") == 2
        assert make(session).messages == list(TURN)

    @lists
    def test_a_session_that_cannot_be(self, make: Callable[..., Any]) -> None:
        """A wrong argument raises ValueError when the history is made."""
        if make.__name__ == "memorystore":
            return
        for session in ("\ud800", None, 5):
            with pytest.raises(ValueError, match="session_id"):
                make(session)

    @both
    async def test_a_lost_reply(self, url: str, raw: Any, prefix: str, kind: str) -> None:
        """A retried append is pushed once, over the REST API and redis-py."""
        with serving(url) as rest:
            names = Names(langchain_community.UpstashRedisChatMessageHistory(prefix, rest.url, TOKEN), kind)
            await names.add(lc.HumanMessage("a"))
            rest.lose = 1
            await names.add(*TURN)
            assert await names.read() == [lc.HumanMessage("a"), *TURN]
            assert len(rest.requests) == 4
            await names.clear()

    @both
    async def test_round_trips(self, url: str, raw: Any, prefix: str, kind: str) -> None:
        """Constructing takes no round trip; adding 1,000 messages with a TTL, reading and clearing take one each."""
        with watched(url) as wire:
            histories = [langchain_community.RedisChatMessageHistory(prefix, wire.url, ttl=60) for _ in range(3)]
            assert wire.round_trips == 0
            await Names(histories[0], kind).add(*map(lc.HumanMessage, map(str, range(1000))))
            assert wire.round_trips == 1
            await Names(histories[1], kind).add(*TURN)
            assert len(await Names(histories[2], kind).read()) == 1002
            await Names(histories[2], kind).clear()
            assert (wire.round_trips, wire.commands) == (4, ["EVAL", "EVALSHA", "LRANGE", "UNLINK"])
            await _close(wire)

    def test_what_is_no_message(self, make: Callable[..., Any]) -> None:
        """The error names the index of a value that is not a message."""
        with pytest.raises(ValueError, match=r"messages\[1\]|Message cannot be None"):
            make().add_messages([TURN[0], None])


async def _close(wire: Wire) -> None:
    await shared_connection_to(wire.url).aclose()


class TestLangChainJS:
    """The lists that LangChain JS has written since May 2023 can be read, with `key_prefix=""`."""

    ELEMENTS: ClassVar[list[tuple[str, lc.BaseMessage]]] = [
        ('{"type": "human", "role": null, "text": "Hi"}', lc.HumanMessage("Hi")),
        ('{"type": "ai", "text": ""}', lc.AIMessage("")),
        ('{"type": "system", "text": "Be brief."}', lc.SystemMessage("Be brief.")),
        ('{"type": "generic", "role": "pirate", "text": "Arr"}', lc.ChatMessage(content="Arr", role="pirate")),
        ('{"type": "custom", "role": "pirate", "text": "Arr"}', lc.ChatMessage(content="Arr", role="pirate")),
        ('{"type": "human", "data": {"content": "Hi"}}', lc.HumanMessage("Hi")),
        ('{"type": "human", "data": {"content": "Hi", "role": "u"}, "text": "x"}', lc.HumanMessage("Hi", role="u")),
        ('{"type": "generic", "data": {"content": "Arr", "role": "p"}}', lc.ChatMessage(content="Arr", role="p")),
        (
            '{"type": "ai", "data": {"tool_in_flight": [{"name": "f", "args": {}, "id": "c"}]}}',
            lc.AIMessage("", tool_in_flight=[{"name": "f", "args": {}, "id": "c"}]),
        ),
    ]

    def test_its_formats(self, url: str, raw: Any, prefix: str) -> None:
        """Each element is the message that LangChain JS reads from it."""
        raw.lpush(prefix, *(element for element, _ in self.ELEMENTS))
        history = langchain_community.RedisChatMessageHistory(prefix, url, key_prefix="")
        assert history.messages == [message for _, message in self.ELEMENTS]

    @pytest.mark.parametrize(
        ("element", "reason"),
        [
            ('{"type": "human"}', "it has neither data nor text"),  # a class that is not serializable there
            ('{"type": "human", "data": null}', "it has neither data nor text"),
            ('{"type": "human", "text": null}', "it is not a LangChain message"),
            ('{"type": "generic", "text": "x"}', "it is not a LangChain message"),
            ('{"type": "tool", "text": "x"}', "it lacks 'tool_call_id'"),
            ('{"text": "x"}', "it lacks 'type'"),
            ('{"type": ["human"], "text": "x"}', "Got unexpected message type"),
            ('{"type": "ai", "data": ["x"]}', "must be a mapping"),
        ],
    )
    def test_what_is_none_of_them(
        self, url: str, raw: Any, prefix: str, caplog: pytest.LogCaptureFixture, element: str, reason: str
    ) -> None:
        """An element that cannot be read is left out, and the warning names what it lacks."""
        raw.lpush(prefix, self.ELEMENTS[0][0], element)
        history = langchain_community.RedisChatMessageHistory(prefix, url, key_prefix="")
        assert history.messages == [lc.HumanMessage("Hi")]
        assert "index 0: " in caplog.text
        assert reason in caplog.text


class Answer(BaseModel):
    city: str = "Lima"
    more: Any = None


@dataclasses.dataclass
class Chart:
    title: str = "sales"
    rows: Any = ()


class Point(NamedTuple):
    x: int = 1
    y: float = math.inf


class Unit(enum.StrEnum):
    CELSIUS = "C"


class Level(enum.IntEnum):
    HIGH = 3


class Plain(enum.Enum):
    ONE = 1


class Note(lc.HumanMessage):
    """A class with a type of its own."""

    type: str = "note"  # type: ignore[assignment]
    priority: int = 5


class Event(lc.BaseMessage):
    """A class that derives from no kind of message."""

    type: str = "event"


CARRIED = [
    Answer(),
    Answer(more=[Chart()]),
    Chart(rows=[Answer()]),
    Point(),
    Unit.CELSIUS,
    Level.HIGH,
    math.nan,
    (1, "a"),
]
CARRIED += [Document("text", metadata={"page": 1}), [Document("text")], lc.AIMessage("inner"), Fraction(1, 2)]
CARRIED += [
    {1: "a", 1.5: "b", None: "c", False: "d"},
    {Unit.CELSIUS: Answer()},
    OrderedDict(a=1),
    "\ud800\x00",
    10**4000,
]
REFUSED = [
    Plain.ONE,
    Path("x"),
    datetime.now(),
    Decimal(1),
    uuid.uuid4(),
    b"x",
    {1},
    ValueError("x"),
    object(),
    10**5000,
]
REFUSED += [Answer(more=b"x"), [Chart(rows={1})], {(1, 2): "a"}, lambda: None, Answer, iter([1])]


def holding(value: Any) -> Iterator[lc.BaseMessage]:
    """Yield messages that hold a value in each place for callers' values."""
    yield lc.ToolMessage("x", tool_call_id="c", artifact=value)
    yield lc.AIMessage("x", additional_kwargs={"parsed": value})
    yield lc.AIMessage("x", response_metadata={"usage": [value]})
    yield lc.AIMessage("x", tool_in_flight=[{"name": "f", "args": {"a": value}, "id": "c"}])
    yield lc.HumanMessage("x", own=value)
    yield lc.HumanMessage([{"type": "custom", "value": value}])


class TestWhatTheOldClassesTook:
    """The old classes store `json.dumps(message_to_dict(message))`, and so do the drop-in classes."""

    @pytest.mark.parametrize("value", CARRIED, ids=repr)
    def test_values(self, url: str, raw: Any, prefix: str, value: Any) -> None:
        """Models, dataclasses, Documents and the like are stored as the old class stored them, and read as it read."""
        for number, message in enumerate(holding(value)):
            history = langchain_community.RedisChatMessageHistory(f"{number}", url, key_prefix=prefix)
            history.add_message(message)
            (element,) = raw.lrange(f"{prefix}{number}", 0, -1)
            assert element == json.dumps(messages_to_dict([message])[0]).encode()
            (read,) = history.messages
            (old,) = messages_from_dict([json.loads(element)])
            assert samples.same(read.model_dump(), old.model_dump())

    @pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
    def test_what_they_refused(self, value: Any) -> None:
        """A value that JSON cannot represent raises EncodingError with its field, in models, too."""
        for message in holding(value):
            with pytest.raises((TypeError, ValueError)):
                json.dumps(messages_to_dict([message]))
            with pytest.raises(chatmem.EncodingError, match=r"message 3 .*, field '") as caught:
                json_messages.encode(message, 3)
            assert caught.value.index == 3
            assert str(caught.value.field).startswith(
                ("artifact", "additional_", "response_", "tool_", "own", "content")
            )

    def test_what_has_no_end(self) -> None:
        """Values that contain themselves, or are nested too deeply for JSON, raise an error that names the field."""
        loop: dict[str, Any] = {}
        loop["again"] = loop
        deep: list[Any] = []
        for _ in range(100_000):
            deep = [deep]
        for value in (loop, deep):
            with pytest.raises(chatmem.EncodingError, match="field 'artifact': it is nested too deeply"):
                json_messages.encode(lc.ToolMessage("x", tool_call_id="c", artifact=value), 0)

    def test_classes_of_the_callers_own(self, url: str, raw: Any, prefix: str) -> None:
        """A message of a type that readers do not know is stored as its base class, so that old code can read it."""
        history = langchain_community.RedisChatMessageHistory("s", url, key_prefix=prefix)
        history.add_messages([Note(content="buy"), Event(content="began"), samples.Custom(content="x")])
        note, event, custom = history.messages
        assert messages_from_dict([json.loads(one) for one in raw.lrange(f"{prefix}s", 0, -1)[::-1]]) == [
            note,
            event,
            custom,
        ]
        assert (note.type, note.content, note.model_extra) == ("human", "buy", {"priority": 5})
        assert (event.type, getattr(event, "role", None), event.content) == ("chat", "event", "began")
        assert custom.content == "x"


@given(samples.messages)
def test_json_is_what_langchain_writes(message: lc.BaseMessage) -> None:
    """Any message is written as LangChain writes it, or refused, and both readers read the same message from it."""
    try:
        element = json.dumps(messages_to_dict([message])[0]).encode()
    except (TypeError, ValueError):
        with pytest.raises(chatmem.EncodingError):
            json_messages.encode(message, 3)
        return
    assert json_messages.encode(message, 3) == element
    (old,) = messages_from_dict([json.loads(element)])
    assert samples.same(record.decode(element).message.model_dump(), old.model_dump())


@given(samples.text)
def test_recent_calls_share_the_lists_slot(key: str) -> None:
    """A list and the key of its recent calls are in one slot of a cluster, whatever braces the list's key has."""
    name = key.encode("utf-8", "replace") or b"x"
    assert key_slot(recent_calls_key(name)) == key_slot(name)


@pytest.mark.parametrize("key", ["a", "{a}b", "a}b", "{}a", "a{b", "}{", "{a", "x{y}{z}"])
def test_recent_calls_of_keys_with_braces(key: str) -> None:
    """Keys with unusual braces."""
    assert key_slot(recent_calls_key(key.encode())) == key_slot(key.encode())


class TestCommunity:
    """langchain-community's classes."""

    def test_attributes(self, url: str, raw: Any, prefix: str) -> None:
        """Arguments and attributes are the old class'."""
        history = langchain_community.RedisChatMessageHistory(session_id=prefix, url=url, ttl=300)
        assert (history.session_id, history.key_prefix, history.ttl) == (prefix, "message_store:", 300)
        assert history.key == f"message_store:{prefix}"
        history.add_user_message("x")
        assert history.redis_client.llen(history.key) == 1
        assert langchain_community.RedisChatMessageHistory("a", url).redis_client is history.redis_client

    def test_upstash_attributes(self, rest: RestServer, raw: Any, prefix: str) -> None:
        """Arguments and attributes are the old class', and so is the refusal of a missing token."""
        history = langchain_community.UpstashRedisChatMessageHistory(session_id=prefix, url=rest.url, token=TOKEN)
        history.add_user_message("x")
        assert history.redis_client.llen(f"message_store:{prefix}") == 1
        with pytest.raises(ValueError, match="UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN"):
            langchain_community.UpstashRedisChatMessageHistory("a", rest.url)

    @both
    async def test_a_node_of_a_cluster(self, running: Cluster, prefix: str, kind: str) -> None:
        """A `redis://` URL may lead to a node of a cluster, as it might with the old class."""
        url = running.url.replace("redis+cluster", "redis") + f"?client_name={kind}"  # which is closed for good
        for number in range(6):  # on all three masters
            names = Names(langchain_community.RedisChatMessageHistory(f"{prefix}{number}", url, ttl=60), kind)
            await names.add(*TURN)
            assert await names.read() == list(TURN)
            await names.clear()
        await shared_connection_to(url).aclose()


class TestMemorystore:
    """Google's class, which takes a client."""

    @both
    async def test_a_cluster(self, running: Cluster, raw: Any, prefix: str, kind: str) -> None:
        """The client may be a cluster client, blocking or of redis.asyncio, that decodes replies or not."""
        port = running.nodes[0].port
        with redis.RedisCluster("127.0.0.1", port, decode_responses=True) as client:
            names = Names(memorystore.MemorystoreChatMessageHistory(client, prefix, ttl=60), kind)
            await names.add(*TURN)
            assert await names.read() == list(TURN)
            await names.clear()
            assert client.exists(prefix) == 0

    async def test_a_client_of_redis_asyncio(self, url: str, raw: Any, prefix: str) -> None:
        """A client of redis.asyncio serves the asynchronous methods; the synchronous ones raise ValueError."""
        async with redis.asyncio.Redis.from_url(url) as client:
            history = memorystore.MemorystoreChatMessageHistory(client, prefix)
            await history.aadd_messages(TURN)
            assert await history.aget_messages() == list(TURN)
            with pytest.raises(ValueError, match=r"redis\.Redis"):
                _ = history.messages


class TestLangchainRedis:
    """langchain-redis' class, over chatmem's own layout."""

    def test_attributes(self, url: str, raw: Any, prefix: str) -> None:
        """Arguments and attributes are the old class': prefix, TTL and index name."""
        history = langchain_redis.RedisChatMessageHistory(
            "user_123", url, key_prefix=prefix, ttl=3600, index_name="custom", overwrite_index=True
        )
        history.add_user_message("This is a message with custom configuration.")
        assert (history.session_id, history.id, history.key_prefix) == ("user_123", "user_123", prefix)
        assert (history.ttl, history.index_name, history.overwrite_index) == (3600, "custom", True)
        assert len(history) == 1
        assert 3590 < raw.ttl(f"{prefix}:{{user_123}}:m") <= 3600
        assert history.redis_client.exists(f"{prefix}:{{user_123}}:m")

    @both
    async def test_search(self, url: str, raw: Any, prefix: str, kind: str) -> None:
        """The search finds any of the words, in any case, in text blocks, too, and returns the best matches first."""
        history = langchain_redis.RedisChatMessageHistory("s", url, f"{prefix}:")
        other = langchain_redis.RedisChatMessageHistory("t", url, f"{prefix}:")
        other.add_user_message("artificial intelligence elsewhere")
        history.add_messages(
            [
                lc.HumanMessage("Tell me about artificial intelligence."),
                lc.AIMessage("Artificial Intelligence (AI) is a branch of computer science ... of intelligence."),
                lc.HumanMessage("Is a computer intelligent?"),
                lc.HumanMessage([{"type": "text", "text": "a SCIENCE picture"}, {"type": "image"}]),
            ]
        )

        async def search(*args: Any) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = await history.asearch_messages(*args)
            return found if kind == "async" else history.search_messages(*args)

        assert [found["type"] for found in await search("artificial intelligence")] == ["human", "ai"]
        assert [found["content"][0]["text"] for found in await search("picture")] == ["a SCIENCE picture"]
        assert [found["type"] for found in await search("science")] == ["human", "ai"]
        assert len(await search("computer science tell", 2)) == 2
        for nothing in ("", "absent", "comput", "*", None):
            assert await search(nothing) == []
        assert await history.acount() == len(history) == 4

    @both
    async def test_delete(self, url: str, raw: Any, prefix: str, kind: str) -> None:
        """`delete` removes all sessions under the prefix, and none under a similar prefix."""
        names = [f"{prefix}*", f"{prefix}x", f"{prefix}*:"]
        histories = [langchain_redis.RedisChatMessageHistory(s, url, name) for name in names for s in ("a", "b}{")]
        for history in histories:
            history.add_messages(TURN)
        if kind == "async":
            await histories[0].adelete()
        else:
            histories[0].delete()
        assert [len(history) for history in histories] == [0, 0, 2, 2, 2, 2]
        assert raw.keys(f"{prefix}\\*:{{*") == []

    @both
    async def test_a_given_client(self, url: str, raw: Any, prefix: str, kind: str) -> None:
        """Your client is used; one of redis.asyncio serves the asynchronous methods."""
        client: Any = redis.Redis.from_url(url) if kind == "sync" else redis.asyncio.Redis.from_url(url)
        history = langchain_redis.RedisChatMessageHistory("s", redis_client=client, key_prefix=prefix)
        names = Names(history, kind)
        await names.add(lc.HumanMessage("a", id="1"), lc.HumanMessage("a", id="1"))
        assert len(await names.read()) == 1
        assert history.redis_client is client
        if kind == "async":
            await history.adelete()
            await client.aclose()
        else:
            history.delete()
            client.close()
        assert raw.keys(f"{prefix}*") == []

    @both
    async def test_all_that_the_old_class_stored(self, url: str, raw: Any, prefix: str, kind: str) -> None:
        """Known ids and values that cannot be stored do not raise, since the old class ignored both."""
        names = Names(langchain_redis.RedisChatMessageHistory("s", url, key_prefix=prefix), kind)
        await names.add(lc.HumanMessage("a", id="1"), lc.HumanMessage("b", id="1"))
        await names.add(lc.HumanMessage("c", id="1"), lc.HumanMessage("b", id="1"))
        assert [message.content for message in await names.read()] == ["a", "b", "c"]
        for value in (*CARRIED, *REFUSED[:-1], threading.Lock()):
            await names.add(*holding(value))
        read = await names.read()
        assert len(read) == 3 + 6 * (len(CARRIED) + len(REFUSED))
        (first, *_) = read[-6:]
        assert isinstance(first, lc.ToolMessage)
        assert "lock" in first.artifact
        await names.clear()

    def test_options_of_redis_py(self, tmp_path: Path, prefix: str) -> None:
        """Keyword arguments reach redis-py, here a password."""
        from tests.servers import debian_binary

        with run_server(debian_binary(), "--requirepass", "s3cret") as url:
            with pytest.raises(chatmem.UnavailableError, match="refused"):
                langchain_redis.RedisChatMessageHistory("s", url).add_user_message("x")
            history = langchain_redis.RedisChatMessageHistory("s", url, password="s3cret", decode_responses=True)
            history.add_user_message("x")
            assert len(history.messages) == asyncio.run(history.acount()) == 1
        with pytest.raises(ValueError, match="password"):
            langchain_redis.RedisChatMessageHistory("s", "redis+cluster://localhost", password="x")

    @pytest.mark.parametrize(
        "arguments", [{"session_id": ""}, {"session_id": None}, {"session_id": "s", "key_prefix": "{"}]
    )
    def test_wrong_arguments(self, url: str, arguments: dict[str, Any]) -> None:
        """Wrong arguments raise ValueError when the history is made."""
        with pytest.raises(ValueError, match=r"session_id|prefix"):
            langchain_redis.RedisChatMessageHistory(redis_url=url, **arguments)


class TestConnections:
    """A process has one connection pool for each URL."""

    @both
    async def test_a_thousand_histories_share_a_pool(self, url: str, raw: Any, prefix: str, kind: str) -> None:
        """A thousand objects and calls use one connection."""
        with watched(url) as wire:
            for number in range(1000):
                cls: Any = (langchain_community, langchain_redis)[number % 2].RedisChatMessageHistory
                await Names(cls(f"{prefix}{number % 10}", wire.url), kind).read()
            assert wire.connections == 1
            await _close(wire)

    def test_new_event_loops(self, url: str, raw: Any, prefix: str) -> None:
        """Each event loop gets a client of its own, which is closed with the loop."""
        with watched(url) as wire:
            for number in range(1, 4):
                history = langchain_community.RedisChatMessageHistory("a", wire.url, prefix)
                asyncio.run(history.aadd_messages(TURN))
                assert len(asyncio.run(history.aget_messages())) == 2 * number
                assert wire.connections == 2 * number

    @pytest.mark.parametrize("query", ["", "?timeout=5"])
    def test_what_a_cluster_does_not_have(self, url: str, query: str) -> None:
        """A database other than 0, and an option of single servers: the list lies in that database."""
        database = url.removesuffix("/0") + "/6"
        history = langchain_community.RedisChatMessageHistory("a", database + query, ttl=60)
        history.add_user_message("hi")
        assert [message.content for message in history.messages] == ["hi"]
        with redis.Redis.from_url(database) as raw:
            assert raw.llen("message_store:a") == 1
        history.clear()

    def test_forked_workers(self, url: str, raw: Any, prefix: str) -> None:
        """A forked worker opens connections of its own, and its parent's stay usable."""
        history = langchain_community.RedisChatMessageHistory("a", url, prefix)
        history.add_messages(TURN)

        def work() -> None:
            for _ in range(20):
                history.add_messages(TURN)
                asyncio.run(history.aadd_messages(TURN))

        context = multiprocessing.get_context("fork")
        workers = [context.Process(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()
        for _ in range(20):
            history.add_messages(TURN)
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
        assert history.messages == [*TURN] * (1 + 3 * 40 + 20)
