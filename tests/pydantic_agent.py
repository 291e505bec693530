"""An offline agent of pydantic-ai, and turns with it that a conversation store keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pydantic_ai import Agent
from pydantic_ai import messages as pm
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationStore
from pydantic_ai.models.function import AgentInfo, FunctionModel

import chatmem
from chatmem.pydantic_ai import ChatmemConversationStore, ModelMessageHistory


def remembering(messages: list[pm.ModelMessage], info: AgentInfo) -> pm.ModelResponse:
    """Answer with everything that users said."""
    return pm.ModelResponse([pm.TextPart(" | ".join(said(messages)))])


async def streaming(messages: list[pm.ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
    for text in said(messages):
        yield f"{text}, "


AGENT = Agent(FunctionModel(remembering, stream_function=streaming), system_prompt="be kind")


def said(messages: list[pm.ModelMessage]) -> list[str]:
    return [str(part.content) for one in messages for part in one.parts if isinstance(part, pm.UserPromptPart)]


def prompt(text: str) -> pm.ModelMessage:
    return pm.ModelRequest([pm.UserPromptPart(text)])


async def turn(store: ConversationStore, text: str, name: str = "c", scope: str | None = None) -> list[str]:
    conversation = await store.load(name, scope=scope) or Conversation(conversation_id=name)
    result = await AGENT.run(text, conversation=conversation)
    return [one.id for one in await store.save(result, scope=scope)]


async def read(store: ConversationStore, name: str = "c") -> Conversation:
    found = await store.load(name)
    assert found is not None
    return found


async def check_view(memory: chatmem.ChatMemory, name: str) -> None:
    """The session's active branch shows the conversation, and each branch that it left is one of the session's."""
    store = ChatmemConversationStore(memory)
    conversation, record = await store.load(name), await store.read_record(name)
    if conversation is None or record is None:
        assert await memory.history(name).count() == 0
        return
    assert await ModelMessageHistory(memory, name).messages() == conversation.messages
    heads = {branch.head for branch in await memory.history(name).branches()}
    for tip in record.branches:
        entry = await memory.history(name).get(tip)
        assert entry is not None
        assert entry.seq in heads
