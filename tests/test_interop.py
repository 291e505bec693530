"""Old and new classes on one list, in both directions, as in a rolling deployment and its rollback."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from langchain_core import messages as lc
from langchain_core.messages import messages_from_dict, messages_to_dict

from chatmem.dropin import langchain_community as community
from chatmem.dropin.memorystore import MemorystoreChatMessageHistory
from tests import samples
from tests.peers import Peer
from tests.test_dropin import Names
from tests.upstash_server import TOKEN, RestServer, serving

LAYOUTS = [
    ("langchain_community", "RedisChatMessageHistory"),
    ("langchain_community", "UpstashRedisChatMessageHistory"),
    ("memorystore", "MemorystoreChatMessageHistory"),
    ("langchain_js", "UpstashRedisChatMessageHistory"),
    ("langchain_js", "RedisChatMessageHistory"),
    ("langchain_js", "ioredis.RedisChatMessageHistory"),
]


@pytest.fixture(scope="module")
def rest(url: str) -> Iterator[RestServer]:
    with serving(url) as server:
        yield server


@dataclass
class Both:
    """The old class in its own process and the new class here, on the same session."""

    peer: Peer
    name: str
    options: dict[str, Any]
    new: Any
    raw: Any
    key: str

    def old(self, op: str, messages: list[Any] | None = None) -> Any:
        return self.peer.call(self.name, self.options, op, messages)

    def read_old(self) -> list[lc.BaseMessage]:
        return messages_from_dict(self.old("read"))


@pytest.fixture(params=LAYOUTS, ids="-".join)
def both(request: pytest.FixtureRequest, url: str, rest: RestServer) -> Iterator[Both]:
    fixture, name = request.param
    session = f"test-{uuid.uuid4().hex[:12]}"
    javascript = fixture == "langchain_js"
    prefix = "" if javascript else "message_store:"
    with redis.Redis.from_url(url) as raw:
        if name.startswith("Upstash"):
            at = {"url": rest.url, "token": TOKEN}
            new: Any = community.UpstashRedisChatMessageHistory(session, **at, key_prefix=prefix, ttl=60)
        elif name.startswith("Memorystore"):
            at, prefix = {"url": url}, ""
            new = MemorystoreChatMessageHistory(raw, session, ttl=60)
        else:
            at = {"url": url}
            new = community.RedisChatMessageHistory(session, url, prefix, ttl=60)
        if javascript:
            own = at if name.startswith("ioredis") else {"config": at}
            options = {"sessionId": session, "sessionTTL": 300, **own}
        else:
            options = {"session_id": session, "ttl": 300, **at}
        yield Both(request.getfixturevalue(fixture), name, options, new, raw, prefix + session)
        raw.delete(prefix + session)


def turn(number: int) -> list[lc.BaseMessage]:
    """Return a turn with a tool call, and with characters that writers of JSON escape differently."""
    call: Any = {"name": "search", "args": {"q": "Zürich \U0001f600 \u2028"}, "id": f"c{number}", "type": "tool_call"}
    usage: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    return [
        lc.HumanMessage(f"naïve {number}", id=f"h{number}"),
        lc.AIMessage("", id=f"a{number}", tool_calls=[call], usage_metadata=usage),
        lc.ToolMessage('{"found": "日本"}', tool_call_id=f"c{number}", id=f"t{number}"),
        lc.AIMessage([{"type": "text", "text": "Here"}], id=f"b{number}", response_metadata={"model": "x"}),
        lc.SystemMessage('quote " backslash \\ newline \n tab \t'),
    ]


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_in_turns(both: Both, kind: str) -> None:
    """Both write in turns, and each reads everything in order and equal; the TTL is the last writer's."""
    new = Names(both.new, kind)
    wanted: list[lc.BaseMessage] = []
    for number in range(3):
        both.old("add", messages_to_dict(turn(2 * number)))
        assert 290 <= both.raw.ttl(both.key) <= 300
        await new.add(*turn(2 * number + 1))
        assert 50 <= both.raw.ttl(both.key) <= 60
        wanted += turn(2 * number) + turn(2 * number + 1)
        assert await new.read() == wanted
        assert plain(both.read_old()) == plain(wanted)
    both.old("clear")
    assert await new.read() == []
    await new.add(*turn(9))
    await new.clear()
    assert both.old("read") == []
    assert both.raw.keys(f"*{both.key}") == both.raw.keys(f"chatmem:recent:*{both.key}")


async def test_names_of_javascript(langchain_js: Peer, url: str, prefix: str) -> None:
    """A generic message of JavaScript is a ChatMessage here."""
    new = community.RedisChatMessageHistory(prefix, url, key_prefix="", ttl=60)
    options = {"sessionId": prefix, "url": url}
    generic = {"type": "generic", "data": {"content": "x", "role": "critic"}}
    langchain_js.call("ioredis.RedisChatMessageHistory", options, "add", [generic])
    assert await new.aget_messages() == [lc.ChatMessage(content="x", role="critic")]
    new.clear()


def plain(messages: list[lc.BaseMessage]) -> list[Any]:
    """Return the fields that all readers keep: langchain-core 0.3 has one more, and JavaScript omits empty ones."""
    return [
        {name: value for name, value in message.model_dump().items() if value and name not in ("example", "status")}
        for message in messages
    ]


async def test_what_new_code_writes_old_code_reads(both: Both) -> None:
    """The old class reads and continues real conversations that the new class wrote."""
    for name, messages in list(samples.conversations().items())[:5]:
        await both.new.aclear()
        await both.new.aadd_messages(messages)
        both.old("add_user", ["and now?"])
        assert plain(both.read_old()) == plain([*messages, lc.HumanMessage("and now?")]), name


async def test_what_old_code_wrote_new_code_reads(both: Both) -> None:
    """The new class reads real conversations that the old class wrote as the old one does."""
    for name, messages in list(samples.conversations().items())[:5]:
        both.old("clear")
        both.old("add", messages_to_dict(messages))
        await both.new.aadd_messages([lc.HumanMessage("and now?")])
        read = await both.new.aget_messages()
        assert plain(read) == plain([*messages, lc.HumanMessage("and now?")]), name
        assert plain(both.read_old()) == plain(read), name
