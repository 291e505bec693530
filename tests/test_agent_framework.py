"""Microsoft's own agents with an offline client: messages come back exactly, and others read the same conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

pytest.importorskip(
    "agent_framework", reason="agent-framework-core is not installed: pip install 'chatmem-redis[agent-framework]'"
)

from agent_framework import Agent, AgentResponse, AgentSession, Content, Message, SessionContext, tool
from hypothesis import given
from hypothesis import strategies as st
from langchain_core import messages as lc

import chatmem
from chatmem.agent_framework import ChatmemHistoryProvider
from chatmem.agent_framework.reading import from_messages
from chatmem.agent_framework.writing import to_messages
from chatmem.core.window import Window
from tests import providers
from tests.faults import Schedule, failing
from tests.framework_client import OfflineClient, calling, said, scripted

PNG = "data:image/png;base64,iVBORw0KGgo="
CALL = Content.from_function_call("c1", "weather", arguments='{"city":  "Lima"}')
MESSAGES = [
    Message("user", ["hi"]),
    Message("user", [""]),
    Message("user", []),
    Message("system", ["be kind"], additional_properties={"x": [1, None]}),
    Message(
        "user",
        [
            "see",
            Content.from_uri(PNG, media_type="image/png", additional_properties={"detail": "low"}),
            Content.from_uri("https://x.org/a.pdf", media_type="application/pdf"),
            "and this",
        ],
        author_name="Alice",
        message_id="u1",
    ),
    Message(
        "assistant",
        [
            Content.from_text_reasoning(text="hm", protected_data="sealed", id="rs_1"),
            Content.from_text("Wait."),
            CALL,
            Content.from_function_call("c2", "weather", arguments={"city": "Rome"}),
            Content.from_function_call("c3", "weather", arguments="{bad"),
            Content.from_function_call("c4", "search", arguments="{}", hosted=True, server_name="s"),
            Content.from_usage({"input_token_count": 3}),
        ],
        message_id="a1",
        author_name="helper",
    ),
    Message(
        "tool",
        [
            Content.from_function_result("c1", result="fine"),
            Content.from_function_result("c2", result={"sky": "grey"}),
            Content.from_function_result("c3", result="bad arguments", exception="ValueError"),
        ],
    ),
    Message("tool", [Content.from_function_result("c1", result=[Content.from_uri(PNG, media_type="image/png")])]),
    Message("tool", [Content.from_function_result("c1", result=None)], message_id="t1"),
    Message("assistant", [Content.from_function_approval_request("r1", CALL)]),
    Message("user", [Content.from_function_approval_request("r1", CALL).to_function_approval_response(approved=True)]),
    Message("assistant", [Content.from_error(message="overloaded", error_code="429")]),
    Message("assistant", [Content.from_hosted_file("f1"), "text", Content.from_text_reasoning(protected_data="x")]),
    Message("tool", ["a text of a tool"]),
    Message("judge", ["another role"]),
    Message("user", [Content("uri", uri="", media_type="image/png")]),
]


def dumps(messages: list[Message]) -> list[dict[str, Any]]:
    return [message.to_dict() for message in messages]


def as_read(messages: list[Message]) -> list[dict[str, Any]]:
    """Return what the framework reads of its own dumps."""
    return dumps([Message.from_dict(message.to_dict()) for message in messages])


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


@pytest.fixture
def provider(memory: chatmem.ChatMemory) -> ChatmemHistoryProvider:
    return ChatmemHistoryProvider(memory)


async def texts(memory: chatmem.ChatMemory, name: str = "s") -> list[tuple[str, str]]:
    return [(message.type, message.text) for message in await memory.history(name).messages()]


class TestMessages:
    async def test_they_come_back_exactly(self, provider: ChatmemHistoryProvider) -> None:
        """All contents, in one call or several."""
        await provider.save_messages("s", MESSAGES)
        assert dumps(await provider.get_messages("s")) == as_read(MESSAGES)
        for message in MESSAGES:
            await provider.save_messages("one by one", [message])
        assert dumps(await provider.get_messages("one by one")) == as_read(MESSAGES)

    async def test_what_others_read(self, memory: chatmem.ChatMemory, provider: ChatmemHistoryProvider) -> None:
        """Text, files, reasoning, calls and results are LangChain's own, and are stored once."""
        await provider.save_messages("s", MESSAGES[3:7])
        system, human, answer, *results = await memory.history("s").messages()
        assert (system.type, system.content) == ("system", "be kind")
        assert [block["type"] for block in human.content_blocks] == ["text", "image", "file", "text"]
        assert isinstance(answer, lc.AIMessage)
        assert answer.text == "Wait."
        assert [(call["id"], call["args"]) for call in answer.tool_calls] == [
            ("c1", {"city": "Lima"}),
            ("c2", {"city": "Rome"}),
        ]
        assert [call["id"] for call in answer.invalid_tool_calls] == ["c3"]
        assert [(one.tool_call_id, one.text, one.status) for one in results if isinstance(one, lc.ToolMessage)] == [
            ("c1", "fine", "success"),
            ("c2", '{"sky": "grey"}', "success"),
            ("c3", "bad arguments", "error"),
        ]
        for text in ("Wait.", "iVBOR", "hm"):
            assert text not in str([one.additional_kwargs for one in (human, answer)])
        for one in results:
            assert one.text not in str(one.additional_kwargs)

    async def test_a_message_that_is_changed(
        self, memory: chatmem.ChatMemory, provider: ChatmemHistoryProvider
    ) -> None:
        """If a message is redacted, so is the framework's."""
        await provider.save_messages("s", MESSAGES)
        history = memory.history("s")
        for message in await history.messages():
            await history.replace(str(message.id), message.model_copy(update={"content": "[redacted]"}))
        contents = [content for one in await provider.get_messages("s") for content in one.contents]
        read = " ".join(f"{one.text} {one.result} {one.uri} {one.items and one.items[0].text}" for one in contents)
        for text in ("hi", "be kind", "see", "Wait.", "hm", "fine", "grey", "bad arguments", "iVBOR", "x.org"):
            assert text not in read
        assert read.count("[redacted]") > len(MESSAGES)

    async def test_a_session_of_langchain(self, memory: chatmem.ChatMemory, provider: ChatmemHistoryProvider) -> None:
        """Text, files, calls and results are read; anything else is an error that names the class."""
        history = memory.history("s")
        calls = [{"name": "f", "args": {"a": "é"}, "id": "1"}]
        image = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
        await history.append(
            lc.SystemMessage("be kind"),
            lc.HumanMessage([{"type": "text", "text": "hi"}, image, {"type": "image", "url": "https://x/y"}]),
            lc.AIMessage([{"type": "reasoning", "reasoning": "hm"}, "wait"], tool_calls=calls),
            lc.ToolMessage("done", tool_call_id="1", status="error"),
        )
        read = await provider.get_messages("s")
        assert [(one.role, [content.type for content in one.contents]) for one in read] == [
            ("system", ["text"]),
            ("user", ["text", "data", "uri"]),
            ("assistant", ["text_reasoning", "text", "function_call"]),
            ("tool", ["function_result"]),
        ]
        assert read[1].contents[1].uri == PNG
        assert (read[2].contents[2].call_id, read[2].contents[2].parse_arguments()) == ("1", {"a": "é"})
        assert (read[3].contents[0].result, bool(read[3].contents[0].exception)) == ("done", True)
        await provider.save_messages("s", [Message("user", ["Thanks"])])
        assert (await provider.get_messages("s"))[-1].text == "Thanks"
        await history.append(lc.ChatMessage(content="x", role="judge"))
        with pytest.raises(chatmem.UnsupportedError, match="ChatMessage"):
            await provider.get_messages("s")

    async def test_sessions_of_other_adapters(self, memory: chatmem.ChatMemory) -> None:
        """Text, calls and results that one framework wrote are read by the others."""
        from pydantic_ai.messages import (
            ModelRequest,
            ModelResponse,
            TextPart,
            ToolCallPart,
            ToolReturnPart,
            UserPromptPart,
        )

        from chatmem.chatkit import ChatmemStore
        from chatmem.openai_agents import ChatmemSession
        from chatmem.pydantic_ai import ModelMessageHistory

        provider = ChatmemHistoryProvider(memory)
        await provider.save_messages("framework", [MESSAGES[0], Message("assistant", [CALL]), MESSAGES[6]])
        await ChatmemSession(memory, "openai").add_items(
            [
                {"role": "user", "content": "hi"},
                {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Lima"}'},
                {"type": "function_call_output", "call_id": "c1", "output": "fine"},
            ]
        )
        await ModelMessageHistory(memory, "pydantic").append(
            [
                ModelRequest([UserPromptPart("hi")]),
                ModelResponse([TextPart("Wait."), ToolCallPart("weather", {"city": "Lima"}, "c1")]),
                ModelRequest([ToolReturnPart("weather", "fine", "c1")]),
            ]
        )
        for name in ("openai", "pydantic"):
            read = await provider.get_messages(name)
            assert [one.role for one in read] == ["user", "assistant", "tool"]
            assert read[1].contents[-1].parse_arguments() == {"city": "Lima"}
            assert (read[2].contents[0].call_id, read[2].contents[0].result) == ("c1", "fine")
        items = await ChatmemSession(memory, "framework").get_items()
        assert [one.get("type", one.get("role")) for one in items] == [
            "user",
            "function_call",
            *["function_call_output"] * 3,
        ]
        read_by_pydantic = await ModelMessageHistory(memory, "framework").window()
        assert [part.part_kind for one in read_by_pydantic for part in one.parts][:3] == [
            "user-prompt",
            "tool-call",
            "tool-return",
        ]
        await provider.save_messages("text", [MESSAGES[0], Message("assistant", ["hello"])], state={"user": "alice"})
        page = await ChatmemStore[str](memory, lambda user: user).load_thread_items("text", None, 9, "asc", "alice")
        assert [one.type for one in page.data] == ["user_message", "assistant_message"]

    async def test_a_result_whose_message_is_gone(self, memory: chatmem.ChatMemory) -> None:
        """Results are read without the first of them, and without their call."""
        provider, history = ChatmemHistoryProvider(memory), memory.history("s")
        await provider.save_messages("s", [MESSAGES[6]])
        await history.delete(0)
        (left,) = await provider.get_messages("s")
        assert (left.role, [one.call_id for one in left.contents]) == ("tool", ["c2", "c3"])

    @given(st.lists(st.sampled_from(MESSAGES), max_size=8))
    def test_any_window_is_sendable(self, messages: list[Message]) -> None:
        """A window of any messages, in any order, can be sent to a model."""
        window = Window(messages=None, turns=None, tokens=None, token_counter="approximate", start_on="human")
        selection = window.select([])
        made = [one for message in messages for one in to_messages(message)]
        selection.take(made)
        providers.check(asyncio.run(selection.messages(partial(asyncio.sleep, 0))))
        assert dumps(from_messages(made)) == as_read(messages)


@tool
def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"fine in {city}"


def agent_of(memory: chatmem.ChatMemory, client: OfflineClient, *, tools: Any = weather, **options: Any) -> Agent[Any]:
    return Agent(client, tools=[tools], context_providers=[ChatmemHistoryProvider(memory)], **options)


async def run(agent: Agent[Any], text: str, session: AgentSession, *, streamed: bool = False) -> str:
    if not streamed:
        return (await agent.run(text, session=session)).text
    return "".join([update.text async for update in agent.run(text, session=session, stream=True)])


class TestRuns:
    @pytest.mark.parametrize("streamed", [False, True])
    @pytest.mark.parametrize("by_call", [False, True])
    async def test_parallel_calls(self, memory: chatmem.ChatMemory, streamed: bool, by_call: bool) -> None:
        """The next run, of another process, is sent all of a run, streamed or not, stored at its end or by call."""
        script = scripted(calling(c1="Lima", c2="Rome"), said("Fine."), said("Bye."))
        client = OfflineClient(script)
        for question, answer in (("Lima?", "Fine."), ("Thanks", "Bye.")):
            agent = agent_of(memory, client, require_per_service_call_history_persistence=by_call)
            assert await run(agent, question, AgentSession(session_id="s"), streamed=streamed) == answer
        turn = [("human", "Lima?"), ("ai", ""), ("tool", "fine in Lima"), ("tool", "fine in Rome"), ("ai", "Fine.")]
        assert await texts(memory) == [*turn, ("human", "Thanks"), ("ai", "Bye.")]
        assert [message.role for message in client.seen[-1]] == ["user", "assistant", "tool", "assistant", "user"]

    async def test_several_threads(self, memory: chatmem.ChatMemory) -> None:
        """Sessions of one agent that run at once do not mix."""
        agent = agent_of(memory, OfflineClient(lambda messages: said(f"{len(messages)} {messages[-1].text}")))
        sessions = [agent.create_session(session_id=f"s{number}") for number in range(8)]
        for text in ("one", "two"):
            await asyncio.gather(*(run(agent, f"{text} {one.session_id}", one) for one in sessions))
        for one in sessions:
            name = one.session_id
            assert [text for _, text in await texts(memory, name)] == [
                f"one {name}",
                f"1 one {name}",
                f"two {name}",
                f"3 two {name}",
            ]

    async def test_a_call_that_a_person_approves(self, memory: chatmem.ChatMemory) -> None:
        """The approval comes in another process, which has the state of the `AgentSession`; the tool runs once."""
        asking = tool(lambda city: f"fine in {city}", name="weather", approval_mode="always_require")
        client = OfflineClient(scripted(calling(c1="Lima"), said("Fine."), said("Bye.")))
        session = AgentSession(session_id="s")
        first = await agent_of(memory, client, tools=asking).run("Lima?", session=session)
        (request,) = first.user_input_requests
        session = AgentSession.from_dict(session.to_dict())
        answer = Message("user", [request.to_function_approval_response(approved=True)])
        done = await agent_of(memory, client, tools=asking).run(answer, session=session)
        assert done.text == "Fine."
        await run(agent_of(memory, client, tools=asking), "Thanks", AgentSession(session_id="s"))
        sent = [content for message in client.seen[-1] for content in message.contents]
        assert [one.type for one in sent].count("function_call") == 1
        assert [one.result for one in sent if one.type == "function_result"] == ["fine in Lima"]

    async def test_a_call_that_was_never_answered(self, memory: chatmem.ChatMemory) -> None:
        """It is stored, but not sent to a model, unless the run is given its result."""
        provider, client = ChatmemHistoryProvider(memory), OfflineClient(lambda messages: said("ok"))
        await provider.save_messages(
            "s", [Message("user", ["Lima?"]), Message("assistant", ["Wait.", *calling(c1="Lima")])]
        )
        assert [one.type for one in (await provider.get_messages("s"))[1].contents] == ["text", "function_call"]
        result = Message("tool", [Content.from_function_result("c1", result="fine")])
        await agent_of(memory, client).run([result], session=AgentSession(session_id="s"))
        assert "function_call" in [content.type for message in client.seen[-1] for content in message.contents]
        await memory.history("s").truncate(after=1)
        await run(agent_of(memory, client), "Hi", AgentSession(session_id="s"))
        assert [message.text for message in client.seen[-1]] == ["Lima?", "Wait.", "Hi"]
        assert "function_call" not in [content.type for message in client.seen[-1] for content in message.contents]

    async def test_what_is_stored(self, memory: chatmem.ChatMemory) -> None:
        """The flags of the framework's providers work, as for an audit that is not loaded."""
        outputs = ChatmemHistoryProvider(memory, "outputs", store_inputs=False, load_messages=False)
        agent = Agent(OfflineClient(lambda messages: said(f"{len(messages)}")), context_providers=[outputs])
        for _ in range(2):
            await agent.run("Hi", session=AgentSession(session_id="s"))
        assert await texts(memory) == [("ai", "1"), ("ai", "1")]

    async def test_a_retention(self, url: str, prefix: str) -> None:
        """The memory's `max_messages` removes the oldest messages, tool exchanges as a whole."""
        async with chatmem.connect(url, prefix=prefix, ttl=60, max_messages=3) as memory:
            script = scripted(calling(c1="Lima"), said("Fine."), said("Bye."), said("Bye bye."))
            client = OfflineClient(script)
            for text in ("Lima?", "Thanks", "Bye"):
                await run(agent_of(memory, client), text, AgentSession(session_id="s"))
            assert await texts(memory) == [("ai", "Bye."), ("human", "Bye"), ("ai", "Bye bye.")]


class TestProvider:
    """What the framework's tests check of its Redis provider."""

    async def test_nothing_to_store(self, memory: chatmem.ChatMemory, provider: ChatmemHistoryProvider) -> None:
        assert await provider.get_messages("s") == []
        await provider.save_messages("s", [])
        assert await memory.history("s").count() == 0

    async def test_hooks(self, memory: chatmem.ChatMemory) -> None:
        """`before_run` puts the history in the context, `after_run` stores input and response."""
        provider, session = ChatmemHistoryProvider(memory, "mem"), AgentSession(session_id="s")
        await provider.save_messages("s", [Message("user", ["old"])])
        context = SessionContext(input_messages=[Message("user", ["new"])], session_id="s")
        agent: Any = None
        await provider.before_run(agent=agent, session=session, context=context, state={})
        assert [one.text for one in context.context_messages["mem"]] == ["old"]
        context._response = AgentResponse(messages=[Message("assistant", ["hello"])])
        await provider.after_run(agent=agent, session=session, context=context, state={})
        assert await texts(memory) == [("human", "old"), ("human", "new"), ("ai", "hello")]

    async def test_clear(self, memory: chatmem.ChatMemory, provider: ChatmemHistoryProvider) -> None:
        await provider.save_messages("s", MESSAGES)
        await provider.clear("s")
        assert await provider.get_messages("s") == []

    async def test_no_session(self, provider: ChatmemHistoryProvider) -> None:
        """Conversations without an id would mix, so that is an error."""
        for call in (provider.get_messages(None), provider.save_messages(None, MESSAGES), provider.clear("")):
            with pytest.raises(ValueError, match="must be a non-empty string"):
                await call

    async def test_users(self, memory: chatmem.ChatMemory) -> None:
        """The user is the run's, or else the provider's; another user's session is neither read nor changed."""
        client = OfflineClient(lambda messages: said(f"{len(messages)}"))
        agent, session = agent_of(memory, client), AgentSession(session_id="s")
        session.state["chatmem"] = {"user": "alice"}
        assert await run(agent, "Hi", session) == "1"
        session = AgentSession.from_dict(session.to_dict())
        assert await run(agent, "Hi", session) == "3"
        assert [one.session_id for one in (await memory.sessions("alice")).sessions] == ["s"]
        session.state["chatmem"]["user"] = "bob"
        with pytest.raises(chatmem.NotFoundError):
            await run(agent, "Hi", session)
        for user, state in (("bob", None), ("alice", {"user": "bob"}), ("bob", {"user": None})):
            provider = ChatmemHistoryProvider(memory, user=user)
            for call in (
                provider.get_messages("s", state=state),
                provider.save_messages("s", MESSAGES, state=state),
                provider.clear("s", state=state),
            ):
                with pytest.raises(chatmem.NotFoundError):
                    await call
        assert len(await ChatmemHistoryProvider(memory, user="alice").get_messages("s")) == 4


class TestReplays:
    """Clients may send the whole conversation with each run."""

    @staticmethod
    def turn(*texts: str, ids: bool) -> list[Message]:
        return [
            Message("user" if number % 2 == 0 else "assistant", [text], message_id=f"{number}" if ids else None)
            for number, text in enumerate(texts)
        ]

    @pytest.mark.parametrize("ids", [False, True])
    async def test_a_whole_conversation(self, memory: chatmem.ChatMemory, ids: bool) -> None:
        """Only what is new is stored, also if retention removed the beginning."""
        provider, said = ChatmemHistoryProvider(memory), ["a", "b", "c", "d", "e", "f"]
        for end in (2, 4, 6):
            await provider.save_messages("s", self.turn(*said[:end], ids=ids))
        assert [text for _, text in await texts(memory)] == said
        await memory.history("s").delete(0)
        await provider.save_messages("s", self.turn(*said, "g", "h", ids=ids))
        assert [text for _, text in await texts(memory)] == [*said[1:], "g", "h"]

    @pytest.mark.parametrize("ids", [False, True])
    async def test_a_long_conversation(self, memory: chatmem.ChatMemory, ids: bool) -> None:
        """It is stored once, though it is longer than a page."""
        provider, said = ChatmemHistoryProvider(memory), [str(number) for number in range(2300)]
        for end in (1100, 2100, 2300):
            await provider.save_messages("s", self.turn(*said[:end], ids=ids))
            assert await memory.history("s").count() == end
        assert [text for _, text in await texts(memory)] == said

    async def test_the_same_words_again(self, memory: chatmem.ChatMemory) -> None:
        """A turn without ids that equals the one before it is a turn of its own; one with ids is not."""
        provider, turn = ChatmemHistoryProvider(memory), self.turn("ok", "ok", ids=False)
        for _ in range(3):
            await provider.save_messages("s", turn)
            await provider.save_messages("by ids", self.turn("ok", "ok", ids=True))
        assert len(await texts(memory)) == 6
        assert len(await texts(memory, "by ids")) == 2
        await provider.save_messages("s", [turn[0], *self.turn("x", "fine", ids=False)[1:]])
        assert len(await texts(memory)) == 8

    @pytest.mark.parametrize("with_inputs", [False, True])
    async def test_ids_that_are_numbered_anew(self, memory: chatmem.ChatMemory, with_inputs: bool) -> None:
        """A gateway gives each response the same ids: what says something else is another message."""
        provider, question = ChatmemHistoryProvider(memory), [Message("user", ["Go on"])] * with_inputs
        answers = [
            [Message("assistant", [text], message_id="msg_1"), Message("assistant", ["ok"], message_id="msg_1")]
            for text in ("one", "two", "three")
        ]
        called = [Message("assistant", calling(c1=city), message_id="msg_1") for city in ("Lima", "Rome")]
        for answer in (*answers, *([one] for one in called)):
            await provider.save_messages("s", [*question, *answer])
        found = [message.contents[0] for message in await provider.get_messages("s") if message.role == "assistant"]
        assert [one.text for one in found[:6]] == ["one", "ok", "two", "ok", "three", "ok"]
        assert [one.parse_arguments() for one in found[6:]] == [{"city": "Lima"}, {"city": "Rome"}]

    async def test_two_clients_that_replay_at_once(self, memory: chatmem.ChatMemory, url: str, prefix: str) -> None:
        """The conversation is stored once, whoever is first."""
        said = [f"{number}" for number in range(20)]
        async with chatmem.connect(url, prefix=prefix, ttl=60) as other:
            providers = [ChatmemHistoryProvider(one) for one in (memory, other)]
            for end in range(2, 21, 2):
                await asyncio.gather(*(one.save_messages("s", self.turn(*said[:end], ids=True)) for one in providers))
        assert [text for _, text in await texts(memory)] == said


class TestWritersAndFaults:
    async def test_two_writers_at_once(self, memory: chatmem.ChatMemory, url: str, prefix: str) -> None:
        """Every turn of both is stored once and in one piece, each writer's in its order."""
        async with chatmem.connect(url, prefix=prefix, ttl=60) as other:

            async def write(who: str, memory: chatmem.ChatMemory) -> None:
                provider = ChatmemHistoryProvider(memory)
                for number in range(25):
                    turn = [Message("user", [f"{who}{number}"]), Message("assistant", [f"re {who}{number}"])]
                    await provider.save_messages("s", turn)

            await asyncio.gather(write("a", memory), write("b", other))
        found = [text for _, text in await texts(memory)]
        assert len(found) == 100
        assert found[1::2] == [f"re {text}" for text in found[::2]]
        for who in ("a", "b"):
            assert [text for text in found if text.startswith(who)] == [f"{who}{number}" for number in range(25)]

    @pytest.mark.parametrize("name", ["m", None])
    async def test_faults(self, url: str, prefix: str, name: str | None) -> None:
        """Behind a network that fails at every third command, a caller who repeats what failed has all of it once."""
        schedule, where, count = Schedule(5, 100), urlsplit(url), 0
        with failing(lambda: (str(where.hostname), int(where.port or 0)), schedule, patience=0.1) as proxy:
            behind = f"redis://127.0.0.1:{proxy.port}/0?socket_timeout=0.1&socket_connect_timeout=0.1"
            async with chatmem.connect(behind, prefix=prefix, ttl=60) as memory:
                provider = ChatmemHistoryProvider(memory)
                while not schedule.is_over:
                    turn = [
                        Message("user", ["ok"]),
                        Message("assistant", ["fine"], message_id=name and f"{name}{count}"),
                    ]
                    await until_done(partial(provider.save_messages, "s", turn))
                    proxy.settle()
                    count += 1
        async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
            read = await ChatmemHistoryProvider(memory).get_messages("s")
        assert [one.text for one in read] == ["ok", "fine"] * count
        assert [one.message_id for one in read[1::2]] == [name and f"{name}{number}" for number in range(count)]

    async def test_a_call_whose_answer_was_lost(self, url: str, prefix: str) -> None:
        """A retry after an error stores the messages once; a later call with equal messages stores them again."""
        schedule = Schedule(0, 1000, share=1, weights={"cut after": 1})
        schedule.rests = True
        where, turn = urlsplit(url), [Message("user", ["ok"]), Message("assistant", ["fine"])]
        with failing(lambda: (str(where.hostname), int(where.port or 0)), schedule, patience=1) as proxy:
            async with chatmem.connect(f"redis://127.0.0.1:{proxy.port}", prefix=prefix, ttl=60) as memory:
                provider = ChatmemHistoryProvider(memory)
                schedule.rests = False
                with pytest.raises(chatmem.UnavailableError):
                    await provider.save_messages("s", turn)
                schedule.rests = True
                await provider.save_messages("s", turn)
                assert len(await provider.get_messages("s")) == 2
                await provider.save_messages("s", turn)
                assert len(await provider.get_messages("s")) == 4


async def until_done(call: Callable[[], Awaitable[None]]) -> None:
    """Repeat a call until it succeeds."""
    while True:
        with suppress(chatmem.UnavailableError):
            return await call()


async def test_encryption(url: str, prefix: str) -> None:
    """Nothing that was said can be read without the key."""
    ring = chatmem.KeyRing({"k": b"k" * 32})
    async with chatmem.connect(url, prefix=prefix, ttl=60, encryption=ring) as memory:
        client = OfflineClient(scripted(calling(c="secret city"), said("secret answer"), said("secret answer")))
        for _ in range(2):
            await run(agent_of(memory, client), "secret question", AgentSession(session_id="s"))
        read = await ChatmemHistoryProvider(memory).get_messages("s")
        assert len(read) == 6
        await ChatmemHistoryProvider(memory).save_messages("all", MESSAGES)
        assert dumps(await ChatmemHistoryProvider(memory).get_messages("all")) == as_read(MESSAGES)
    with redis.Redis.from_url(url) as raw:
        kept = b"".join(raw.dump(key) or b"" for key in raw.scan_iter(f"{prefix}*"))
    assert kept
    assert b"secret" not in kept
