"""Random operations on pydantic-ai's conversation store, beside its own store in memory."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pydantic_ai.conversation_store", reason="pydantic-ai is older than 2.66")

from pydantic_ai import messages as pm
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.usage import RunUsage

import chatmem
from chatmem.pydantic_ai import ChatmemConversationStore
from tests.pydantic_agent import check_view
from tests.test_pydantic_ai import MODELS


class Twin:
    """Does the same with two stores, and compares what they say; ids are compared by where they were first seen."""

    def __init__(self, ours: ConversationStore, theirs: ConversationStore) -> None:
        self._stores = (ours, theirs)
        self._ids: tuple[dict[str, int], dict[str, int]] = ({}, {})

    async def do(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call a method of both. Entries are named by the numbers that `told` gives them."""
        answers = []
        for store, ids in zip(self._stores, self._ids, strict=True):
            names = {number: one for one, number in ids.items()}
            given = {key: names.get(value) if key == "from_entry" else value for key, value in options.items()}
            record = await store.read_record(str(given.pop("of", "")) or "-")
            if given.get("expected_revision") == "current":
                given["expected_revision"] = record.revision if record else None
            try:
                answers.append(self._told(await getattr(store, name)(*arguments, **given), ids))
            except UserError as error:
                answers.append(type(error).__name__)
        assert answers[0] == answers[1], (name, arguments, options)
        return answers[0]

    async def say(self, name: str, texts: list[str], scope: str | None, rewrite: int | None) -> None:
        """Append messages to a conversation, or rewrite it from a message on."""
        answers = []
        now = pm.ModelRequest([]).timestamp
        for store, ids in zip(self._stores, self._ids, strict=True):
            conversation = await store.load(name, limit=None) or Conversation(conversation_id=name)
            if rewrite is not None:
                del conversation.messages[rewrite:]
            new = [pm.ModelRequest([pm.UserPromptPart(one, timestamp=NOW)], timestamp=now) for one in texts]
            conversation.messages += new
            conversation.usage = RunUsage(requests=len(conversation.messages))
            try:
                answers.append(self._told(await store.save(conversation, scope=scope), ids))
            except UserError as error:
                answers.append(type(error).__name__)
        assert answers[0] == answers[1], (name, texts, scope, rewrite)

    def _told(self, value: Any, ids: dict[str, int]) -> Any:
        if isinstance(value, ConversationEntry):
            return (self._told(value.id, ids), self._told(value.parent_id, ids), value.message)
        if isinstance(value, ConversationRecord):
            shown = dataclasses.asdict(value)
            del shown["revision"], shown["updated_at"]
            named = {key: self._told(shown.pop(key), ids) for key in ("head_id", "forked_at", "branches")}
            return {**shown, **named}
        if isinstance(value, Conversation):
            return (value.messages, value.usage, value.new_message_index)
        if isinstance(value, list):
            return [self._told(one, ids) for one in value]
        return ids.setdefault(str(value), len(ids)) if isinstance(value, str) else value


NOW = MODELS[0].parts[1].timestamp  # type: ignore[union-attr]
_names = st.sampled_from("aaab")
_scopes = st.sampled_from([None, None, "alice", "bob"])
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("say"), _names, st.lists(st.sampled_from("xyz"), max_size=3), _scopes, st.none()),
        st.tuples(st.just("say"), _names, st.lists(st.sampled_from("xyz"), max_size=2), _scopes, st.integers(0, 4)),
        st.tuples(st.just("branch"), _names, st.integers(0, 5), _scopes),
        st.tuples(st.just("branch back"), _names, st.integers(0, 12), _scopes),
        st.tuples(st.just("fork"), _names, st.integers(0, 5), st.sampled_from("bfff")),
        st.tuples(st.just("delete"), _names | st.just("f"), _scopes),
        st.tuples(st.just("read"), _names | st.just("f"), st.integers(0, 4), _scopes),
    ),
    max_size=14,
)


async def take(twin: Twin, step: Any) -> None:
    match step:
        case ("say", name, texts, scope, rewrite):
            await twin.say(name, texts, scope, rewrite)
        case ("branch", name, at, scope):
            await twin.do("branch", name, at=at, of=name, expected_revision="current", scope=scope)
        case ("branch back", name, entry, scope):
            await twin.do("branch", name, from_entry=entry, of=name, expected_revision="current", scope=scope)
        case ("fork", name, at, new):
            await twin.do("fork", name, at=at, new_conversation_id=new)
        case ("delete", name, scope):
            await twin.do("delete", name, scope=scope)
        case ("read", name, limit, scope):
            await twin.do("load", name, limit=limit, scope=scope)
            await twin.do("load_entries", name, limit=limit, scope=scope)


@settings(max_examples=100)
@given(_steps)
def test_it_does_what_the_framework_s_own_store_does(url: str, steps: list[Any]) -> None:
    """After any operations, conversations, entries and records are those of pydantic-ai's store in memory."""

    async def compare() -> None:
        async with chatmem.connect(url, prefix=f"test-{next(_numbers)}", ttl=60) as memory:
            twin = Twin(ChatmemConversationStore(memory), InMemoryConversationStore())
            for step in [("say", "a", ["x", "y", "z"], None, None), *steps]:
                await take(twin, step)
                await check_view(memory, step[1])
            for name in "abf":
                await twin.do("load_entries", name)
                await twin.do("read_record", name)
            for scope in ("alice", "bob"):
                await twin.do("list_conversations", scope=scope)

    asyncio.run(compare())


_numbers = iter(range(10**6))
