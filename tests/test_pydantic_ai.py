"""pydantic-ai's own agents with its test models: messages come back exactly, and frameworks read each other's."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import typing
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core import messages as lc
from langchain_core.messages.tool import invalid_tool_call
from pydantic_ai import Agent
from pydantic_ai import messages as pm
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage

import chatmem
from chatmem.core.window import Window
from chatmem.openai_agents import ChatmemSession
from chatmem.pydantic_ai import ModelMessageHistory, to_messages, to_model_messages
from tests import providers
from tests.conftest import Connect
from tests.coroutines import AsCoroutines
from tests.exchanges import halves
from tests.samples import maps, same, values
from tests.samples import text as texts

NOW = datetime(2026, 11, 21, 12, 0, 0, 123456, UTC)


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


def request(*parts: Any, **fields: Any) -> pm.ModelRequest:
    return pm.ModelRequest(list(parts), **fields)


def response(*parts: Any, **fields: Any) -> pm.ModelResponse:
    return pm.ModelResponse(list(parts), timestamp=NOW, **fields)


MODELS: list[pm.ModelMessage] = [
    request(
        pm.SystemPromptPart("be kind", dynamic_ref="rules"),
        pm.UserPromptPart("hi", timestamp=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))),
        timestamp=NOW,
        instructions="brief",
        run_id="run-1",
        conversation_id="c-1",
        metadata={"at": NOW, "raw": b"\xff", "tags": [None, 1.5]},
    ),
    request(
        pm.UserPromptPart(
            [
                "look",
                pm.TextContent("typed", metadata={"a": 1}),
                pm.ImageUrl("https://example.com/a.png", vendor_metadata={"detail": "low"}),
                pm.AudioUrl("https://example.com/a.mp3"),
                pm.VideoUrl("https://example.com/a.mp4", force_download=True),
                pm.DocumentUrl("https://example.com/a.pdf"),
                pm.BinaryImage(b"\x89PNG\x00\xff", media_type="image/png", identifier="mine"),
                pm.BinaryContent(b"%PDF", media_type="application/pdf", vendor_metadata={"pages": [1]}),
                pm.UploadedFile("file-1", "openai", media_type="text/plain"),
                pm.CachePoint(),
                "and this",
            ]
        )
    ),
    response(
        pm.ThinkingPart("hm", id="t-1", signature="Eu8=", provider_name="anthropic"),
        pm.TextPart("I look.", id="m-1", provider_name="openai", provider_details={"at": NOW, "raw": b"\x00"}),
        pm.ToolCallPart("weather", '{ "city":"Lima"}', "call-1"),
        pm.ToolCallPart("weather", {"city": "Rome", "raw": b"\xff"}, "call-2", id="fc-2", provider_name="openai"),
        pm.ToolCallPart("weather", None, "call-3"),
        pm.ToolCallPart("weather", "no json{", "call-4"),
        pm.NativeToolCallPart("web_search", {"q": "x"}, "call-5", provider_name="anthropic"),
        pm.NativeToolReturnPart("web_search", {"found": [1, None]}, "call-5", provider_name="anthropic"),
        pm.CompactionPart("so far", provider_name="anthropic"),
        pm.FilePart(pm.BinaryImage(b"\x89PNG", media_type="image/png")),
        pm.TextPart(""),
        usage=RequestUsage(input_tokens=5, output_tokens=7, cache_read_tokens=2, details={"reasoning_tokens": 3}),
        model_name="m",
        provider_name="openai",
        provider_details={"timestamp": NOW},
        provider_response_id="resp_1",
        finish_reason="tool_call",
        run_id="run-1",
    ),
    request(
        pm.ToolReturnPart("weather", "fine", "call-1", metadata={"source": b"\x01"}, timestamp=NOW),
        pm.ToolReturnPart("weather", {"sky": None, "when": NOW, "raw": b"\xff"}, "call-2", timestamp=NOW),
        pm.ToolReturnPart("weather", ["map:", pm.ImageUrl("https://example.com/m.png")], "call-3", timestamp=NOW),
        pm.ToolReturnPart("weather", "no such city", "call-4", outcome="failed", timestamp=NOW),
        run_id="run-1",
        timestamp=NOW,
    ),
    response(pm.TextPart("Fine.")),
    response(pm.ToolCallPart("f", {}, "call-6")),
    request(pm.ToolReturnPart("f", None, "call-6")),
    response(),
    request(),
    request(pm.UserPromptPart("")),
]


def parts_of(union: Any) -> Iterator[type]:
    return (typing.get_args(one)[0] for one in typing.get_args(typing.get_args(union)[0]))


class TestExact:
    async def test_on_every_server(self, connect: Connect) -> None:
        memory = connect()
        if isinstance(memory, AsCoroutines):
            pytest.skip("pydantic-ai's facade is asynchronous")
        history = ModelMessageHistory(memory, "s")
        assert await history.messages() == []
        await history.append(MODELS)
        found = await history.messages()
        assert found == MODELS
        assert [type(part) for one in found for part in one.parts] == [type(p) for one in MODELS for p in one.parts]
        await history.clear()
        assert await history.messages() == []

    @pytest.mark.parametrize("model", MODELS, ids=range(len(MODELS)))
    def test_each_alone(self, model: pm.ModelMessage) -> None:
        assert to_model_messages(to_messages([model])) == [model]

    def test_no_part_is_forgotten(self) -> None:
        """Every class of part that this version of pydantic-ai reads back comes back exactly."""
        seen = set()
        for union, make in ((pm.ModelRequestPart, request), (pm.ModelResponsePart, response)):
            for kind in parts_of(union):
                part = example(kind, "user" if make is request else "assistant")
                model = make(part)
                (found,) = to_model_messages(to_messages([model]))
                if kind.__name__ == "RetryPromptPart":  # deprecated: pydantic-ai reads it as its successor
                    assert [type(one).__name__ for one in found.parts] in (["RetryFeedbackPart"], ["RetryPromptPart"])
                else:
                    assert found == model, kind
                    assert type(found.parts[0]) is kind
                seen.add(kind.__name__)
        assert {"UserPromptPart", "ToolReturnPart", "TextPart", "ThinkingPart", "ToolCallPart", "FilePart"} <= seen

    @given(values, maps, texts, st.lists(texts | st.binary(max_size=9), max_size=4))
    def test_any_values(self, content: Any, kept: dict[str, Any], text: str, said: list[str | bytes]) -> None:
        """Messages with any content, tool results and provider details come back exactly."""
        items = [one if isinstance(one, str) else pm.BinaryContent(one, media_type="text/csv") for one in said]
        models: list[pm.ModelMessage] = [
            request(pm.UserPromptPart(items), metadata=kept, run_id="r"),
            response(pm.TextPart(text, provider_details=kept), pm.ThinkingPart(text), pm.TextPart(text)),
            response(pm.TextPart(text)),
            request(pm.ToolReturnPart("f", text, "1"), pm.ToolReturnPart("f", content, "2", metadata=kept)),
        ]
        found = to_model_messages(to_messages(models))
        read = pm.ModelMessagesTypeAdapter.validate_python(dumped(models))  # which makes text of keys that are bytes
        assert same(dumped(found), dumped(read))  # NaN is not equal to itself

    def test_a_program_s_own_types(self) -> None:
        """A tool's result with such values is read as the model was sent it, so the model is sent the same again."""

        class Sky(enum.Enum):
            CLEAR = "clear"

        class Report(pydantic.BaseModel):
            sky: Sky
            when: datetime

        @dataclasses.dataclass
        class City:
            name: str

        contents: list[Any] = [Report(sky=Sky.CLEAR, when=NOW), City("Lima"), Sky.CLEAR, Path("/tmp/x")]
        contents += [(1, 2), uuid.UUID(int=5), Decimal("1.10")]
        for content in contents:
            part = pm.ToolReturnPart("f", content, "1", timestamp=NOW)
            ((found,),) = (one.parts for one in to_model_messages(to_messages([request(part)])))
            assert type(found) is pm.ToolReturnPart
            assert found.model_response_str() == part.model_response_str()
            found.content = part.content
            assert found == part

    def test_what_cannot_be_kept(self) -> None:
        """A message that cannot be stored or read back is refused with its index, before anything is sent."""
        nobody: Any = pm.TextPart("said by nobody")
        endless: list[Any] = []
        endless.append(endless)
        deep: Any = "secret"
        for _ in range(200):
            deep = [deep]
        wrong = [nobody, *(pm.ToolReturnPart("f", content, "1") for content in (object(), endless, deep))]
        for part in wrong:
            with pytest.raises(chatmem.EncodingError) as caught:
                to_messages([MODELS[0], request(part, run_id="r")])
            assert caught.value.index == 1
            assert caught.value.__context__ is None
            assert "secret" not in str(caught.value)


def dumped(models: list[pm.ModelMessage]) -> Any:
    return pm.ModelMessagesTypeAdapter.dump_python(models, warnings=False, exclude={"__all__": {"usage"}})


def example(kind: type, speaker: str) -> Any:
    """Return a part of a class, with values for the fields that have no default."""
    given: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            given[field.name] = _examples(kind, speaker)[field.name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are deprecated, and may still lie in a program's hands
        return kind(**given)


def _examples(kind: type, speaker: str) -> dict[str, Any]:
    content: Any = "text"
    if kind.__name__ == "FilePart":
        content = pm.BinaryImage(b"\x89PNG", media_type="image/png")
    elif "Search" in kind.__name__:
        content = {"discovered_tools": []}
    elif "LoadCapability" in kind.__name__:
        content = {"instructions": "x"}
    found = {"content": content, "tool_name": "f", "speaker": speaker, "timestamp": NOW, "id": None}
    found |= {"settings": {"thinking": "high"}, "instructions": [pm.InstructionPart("brief")]}
    if hasattr(pm, "RetryInfo"):
        found["retry"] = pm.RetryInfo(cause="validation_error")
    return found


class TestSaysTheSame:
    async def test_langchain_reads_it(self, memory: chatmem.ChatMemory) -> None:
        await ModelMessageHistory(memory, "s").append(MODELS)
        read = await memory.history("s").messages()
        assert [(m.type, m.text) for m in read][:7] == [
            ("system", "be kind"),
            ("human", "hi"),
            ("human", "looktypedand this"),
            ("ai", "I look."),
            ("tool", "fine"),
            ("tool", '{"sky":null,"when":"2026-11-21T12:00:00.123456Z","raw":"_w=="}'),
            ("tool", "map:"),
        ]
        blocks = read[2].content
        assert isinstance(blocks, list)
        assert [block["type"] for block in blocks if isinstance(block, dict)][2:9] == [
            *("image", "audio", "video", "file", "image", "file", "file"),
        ]
        answer = read[3]
        assert isinstance(answer, lc.AIMessage)
        assert [(call["args"], call["id"]) for call in answer.tool_calls] == [
            ({"city": "Lima"}, "call-1"),
            ({"city": "Rome", "raw": b"\xff"}, "call-2"),
            ({}, "call-3"),
        ]
        assert [call["id"] for call in answer.invalid_tool_calls] == ["call-4"]
        assert answer.usage_metadata == {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}
        assert [m.status for m in read if isinstance(m, lc.ToolMessage)] == ["success"] * 3 + ["error", "success"]

    def test_a_file_lies_there_once(self) -> None:
        """A file's bytes are stored only in the block that LangChain reads."""
        (message,) = to_messages([request(pm.UserPromptPart([pm.BinaryContent(b"x" * 900, media_type="image/png")]))])
        assert str(message).count("eHh4" * 100) <= 1 * 3
        assert b"x" * 900 not in str(message).encode()

    async def test_an_edit_is_read(self, memory: chatmem.ChatMemory) -> None:
        """If the text of a stored message is changed, the rest of its ModelMessage stays."""
        history = ModelMessageHistory(memory, "s")
        await history.append([request(pm.UserPromptPart("secret", timestamp=NOW), run_id="r")])
        (entry,) = (await memory.history("s").page()).entries
        assert entry.message is not None
        await memory.history("s").replace(entry.seq, entry.message.model_copy(update={"content": "[removed]"}))
        assert await history.messages() == [request(pm.UserPromptPart("[removed]", timestamp=NOW), run_id="r")]

    async def test_an_edit_that_says_other_things(self, memory: chatmem.ChatMemory) -> None:
        """A message whose blocks were replaced by one text is read as a message of LangChain's."""
        history = ModelMessageHistory(memory, "s")
        await history.append(MODELS[1:3])
        for entry in (await memory.history("s").page()).entries:
            assert entry.message is not None
            edited = entry.message.model_copy(
                update={"content": "[removed]", "tool_calls": [], "invalid_tool_calls": []}
            )
            await memory.history("s").replace(entry.seq, edited)
        found: list[Any] = [part for one in await history.messages() for part in one.parts]
        assert [(type(part), part.content) for part in found] == [
            (pm.UserPromptPart, "[removed]"),
            (pm.TextPart, "[removed]"),
        ]

    async def test_half_a_request(self, memory: chatmem.ChatMemory) -> None:
        """If the first part of a request is removed, the others stay, and join no other request."""
        history = ModelMessageHistory(memory, "s")
        await history.append([MODELS[0], request(pm.UserPromptPart("more", timestamp=NOW))])
        (_, prompt, _) = reversed((await memory.history("s").page()).entries)
        await memory.history("s").delete(prompt.seq - 1)
        found = await history.messages()
        assert [[type(part).__name__ for part in one.parts] for one in found] == [["UserPromptPart"]] * 2


def remembering(messages: list[pm.ModelMessage], info: AgentInfo) -> pm.ModelResponse:
    """Answer with everything that users said, as a model that was sent it."""
    said = [p.content for m in messages for p in m.parts if isinstance(p, pm.UserPromptPart)]
    return pm.ModelResponse([pm.TextPart(" | ".join(map(str, said)))])


class TestAgents:
    async def test_turns(self, memory: chatmem.ChatMemory) -> None:
        """A run that calls every tool in parallel is stored exactly and once, and the next run gets it."""
        agent = Agent(TestModel(), system_prompt="be kind", instructions="brief")

        @agent.tool_plain
        def weather(city: str) -> dict[str, str]:
            return {city: "fine"}

        @agent.tool_plain
        def clock() -> datetime:
            return NOW

        everything: list[pm.ModelMessage] = []
        for text in ("Lima?", "Thanks"):
            history = ModelMessageHistory(memory, "s", user="alice")
            past = await history.messages()
            assert past == everything
            result = await agent.run(text, message_history=past)
            await history.append(result.new_messages())
            again = await history.append(result.all_messages())
            everything = result.all_messages()
            assert again.version == (await memory.history("s").info()).version
        assert await ModelMessageHistory(memory, "s").messages() == everything
        assert (await memory.sessions("alice")).sessions[0].count == len(to_messages(everything))

    async def test_a_run_stored_as_it_goes_on(self, memory: chatmem.ChatMemory) -> None:
        """Messages appended after each step are stored once, and an unfinished exchange is in no window."""
        agent = Agent(TestModel())

        @agent.tool_plain
        def weather(city: str) -> str:
            return "fine"

        history = ModelMessageHistory(memory, "s")
        async with agent.iter("Lima?") as run:
            async for _ in run:
                await history.append(run.new_messages())
                window = await memory.history("s").window()
                assert not halves(window)
        assert run.result is not None
        assert await history.messages() == run.result.all_messages()

    async def test_retries_and_output_tools(self, memory: chatmem.ChatMemory) -> None:
        """A run whose tool call is retried, and whose output is a tool call, comes back exactly."""

        class Answer(pydantic.BaseModel):
            sky: str

        asked: list[str] = ["{}", '{"city": "Lima"}']

        def model(messages: list[pm.ModelMessage], info: AgentInfo) -> pm.ModelResponse:
            if asked:
                return pm.ModelResponse([pm.ToolCallPart("weather", asked.pop(0))])
            return pm.ModelResponse([pm.ToolCallPart(info.output_tools[0].name, {"sky": "fine"})])

        agent = Agent(FunctionModel(model), output_type=Answer)

        @agent.tool_plain
        def weather(city: str) -> str:
            return "fine"

        result = await agent.run("Lima?")
        history = ModelMessageHistory(memory, "s")
        await history.append(result.new_messages())
        assert await history.messages() == result.all_messages()
        assert not halves(await memory.history("s").messages())
        assert await history.window() == result.all_messages()

    async def test_a_window(self, memory: chatmem.ChatMemory) -> None:
        """A window has whole turns, with the system prompt at the head, and the model is sent that."""
        agent = Agent(FunctionModel(remembering), system_prompt="be kind")
        history = ModelMessageHistory(memory, "s")
        for number in range(4):
            result = await agent.run(f"turn {number}", message_history=await history.window(turns=2))
            await history.append(result.new_messages())
        assert result.output == "turn 1 | turn 2 | turn 3"
        head = (await history.window(turns=1))[0]
        assert [type(part).__name__ for part in head.parts] == ["SystemPromptPart"]

    async def test_a_window_of_everything(self, memory: chatmem.ChatMemory) -> None:
        """Every kind of part can be counted, and windows contain whole exchanges."""
        history = ModelMessageHistory(memory, "s")
        await history.append(MODELS)
        for tokens in (10, 100, 1_000, 100_000):
            await history.window(tokens=tokens)
            left = halves(await memory.history("s").window(tokens=tokens))
            assert left in ([], ["call-4"])  # whose arguments are no JSON, so `halves` does not see the call

    async def test_an_append_again(self, memory: chatmem.ChatMemory) -> None:
        """Messages made by hand are stored once with a key, and on every append without one."""
        history = ModelMessageHistory(memory, "s")
        made = [request(pm.UserPromptPart("hi"))]
        for _ in range(2):
            await history.append(made, idempotency_key="turn-1")
        assert await history.messages() == made
        await history.append(made)
        assert await history.messages() == made * 2

    async def test_an_append_again_of_what_was_changed(self, memory: chatmem.ChatMemory) -> None:
        """A message that was redacted since counts as stored and stays redacted; new messages are stored."""
        history = ModelMessageHistory(memory, "s")
        run = [request(pm.UserPromptPart(text, timestamp=NOW), run_id="r") for text in ("my card is 4242", "Hi")]
        await history.append(run)
        (entry, *_) = (await memory.history("s").page(newest_first=False)).entries
        assert entry.message is not None
        await memory.history("s").replace(entry.seq, entry.message.model_copy(update={"content": "[removed]"}))
        more = response(pm.TextPart("Noted."))
        more.run_id = "r"
        done = await history.append([*run, more])
        assert (done.duplicates, done.last) == (2, 2)
        said = [message.text for message in await memory.history("s").messages()]
        assert said == ["[removed]", "Hi", "Noted."]

    async def test_equal_messages_of_a_run(self, memory: chatmem.ChatMemory) -> None:
        """If a gateway repeats an id, no message is lost, and a repeated append stores nothing twice."""
        history = ModelMessageHistory(memory, "s")
        call = pm.ModelResponse([pm.ToolCallPart("f", {}, "call_0")], timestamp=NOW, run_id="r")
        result = request(pm.ToolReturnPart("f", "done", "call_0", timestamp=NOW), run_id="r")
        asked: pm.ModelMessage = request(pm.UserPromptPart("Go", timestamp=NOW), run_id="r")
        run = [asked, call, result, call, result]
        await history.append(run[:3])
        await history.append(run)
        assert await history.messages() == run
        assert len(await history.window()) == len(run)


class TestUsers:
    async def test_another_user_s(self, memory: chatmem.ChatMemory) -> None:
        """Another user's session is neither read nor written; one without a user only with `claim`."""
        made = [request(pm.UserPromptPart("my card is 4242", timestamp=NOW), run_id="r")]
        await ModelMessageHistory(memory, "s", user="alice").append(made)
        bobs = ModelMessageHistory(memory, "s", user="bob")
        for call in (bobs.messages, bobs.window, bobs.clear, partial(bobs.append, made)):
            with pytest.raises(chatmem.NotFoundError):
                await call()
        assert await ModelMessageHistory(memory, "s", user="alice").messages() == made
        await ModelMessageHistory(memory, "nobody's").append(made)
        with pytest.raises(chatmem.NotFoundError):
            await ModelMessageHistory(memory, "nobody's", user="bob").messages()
        assert await ModelMessageHistory(memory, "nobody's", user="bob", claim=True).messages() == made


_ids = st.sampled_from(["call_0", "call_1", ""])
_said = st.sampled_from(["", "hi", " "])
_asking = st.one_of(
    _said.map(pm.UserPromptPart),
    _said.map(pm.SystemPromptPart),
    _said.map(lambda text: pm.UserPromptPart([text, pm.BinaryContent(b"x", media_type="image/png")])),
    _ids.map(lambda name: pm.ToolReturnPart("f", "done", name)),
    _ids.map(lambda name: pm.ToolReturnPart("f", "wrong", name, outcome="failed")),
)
_answering = st.one_of(
    _said.map(pm.TextPart),
    _said.map(lambda text: pm.ThinkingPart(text, signature="s", provider_name="anthropic")),
    st.builds(pm.ToolCallPart, st.just("f"), st.sampled_from(["{}", "{bad", '{"a": 1}']), _ids),
    _ids.map(lambda name: pm.NativeToolCallPart("web_search", {}, name)),
    st.just(pm.FilePart(pm.BinaryImage(b"x", media_type="image/png"))),
)
_logs = st.lists(
    st.lists(_asking, max_size=3).map(lambda parts: request(*parts, run_id="r"))
    | st.lists(_answering, max_size=3).map(lambda parts: response(*parts)),
    max_size=6,
)


@given(_logs)
def test_any_window_is_sendable(models: list[pm.ModelMessage]) -> None:
    """In any window, each tool call has one result, in the request after it, and each result has a call."""
    selection = Window(messages=None, turns=None, tokens=None, token_counter="approximate", start_on="human").select([])
    selection.take(to_messages(models))
    window = asyncio.run(selection.messages(partial(asyncio.sleep, 0)))
    providers.check(window)
    waiting: list[str] = []
    for model in to_model_messages(window):
        if isinstance(model, pm.ModelResponse):
            assert not waiting
            waiting = [part.tool_call_id for part in model.parts if isinstance(part, pm.ToolCallPart)]
            continue
        for part in model.parts:
            if getattr(part, "tool_name", None):
                waiting.remove(str(getattr(part, "tool_call_id", None)))
    assert not waiting


class TestOthers:
    """Sessions of one framework, read by another: the same content, or an error that names what cannot be read."""

    async def test_langchains(self, memory: chatmem.ChatMemory) -> None:
        history = memory.history("s")
        await history.append(
            lc.SystemMessage("be kind"),
            lc.HumanMessage(
                [
                    {"type": "text", "text": "see"},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                    {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"},
                    {"type": "file", "url": "https://example.com/a.pdf"},
                ]
            ),
            lc.AIMessage(
                [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "wait"}],
                tool_calls=[{"name": "f", "args": {"a": "é"}, "id": "1"}],
                invalid_tool_calls=[invalid_tool_call(name="g", args="{", id="2", error="no JSON")],
                usage_metadata={"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
            ),
            lc.ToolMessage("done", tool_call_id="1", artifact=b"\xff"),
            lc.ToolMessage([{"type": "text", "text": "failed"}], tool_call_id="2", name="g", status="error"),
            lc.AIMessage("ok"),
        )
        found = await ModelMessageHistory(memory, "s").messages()
        kinds: list[Any] = [one.parts for one in found]
        assert [part.content for part in kinds[0]] == ["be kind"]
        assert kinds[1][0].content == [
            "see",
            pm.ImageUrl("https://example.com/a.png"),
            pm.BinaryImage(b"\x89PNG\r\n\x1a\n", media_type="image/png"),
            pm.DocumentUrl("https://example.com/a.pdf"),
        ]
        assert kinds[2] == [
            pm.ThinkingPart("hm"),
            pm.TextPart("wait"),
            pm.ToolCallPart("f", {"a": "é"}, "1"),
            pm.ToolCallPart("g", "{", "2"),
        ]
        (done,), (failed,), (answer,) = kinds[3:]
        assert (done.tool_name, done.content, done.tool_call_id, done.metadata) == ("f", "done", "1", b"\xff")
        assert (failed.tool_name, failed.content, failed.outcome) == ("g", "failed", "failed")
        assert answer == pm.TextPart("ok")
        usage = found[2].usage if isinstance(found[2], pm.ModelResponse) else None
        assert usage == RequestUsage(input_tokens=3, output_tokens=4)

    async def test_an_agent_goes_on_with_langchains(self, memory: chatmem.ChatMemory) -> None:
        await memory.history("s").append("I am Alice.", ("ai", "Hello Alice."))
        history = ModelMessageHistory(memory, "s")
        result = await Agent(FunctionModel(remembering)).run("Who am I?", message_history=await history.window())
        assert result.output == "I am Alice. | Who am I?"
        await history.append(result.new_messages())
        assert [m.text for m in await memory.history("s").messages()] == [
            *("I am Alice.", "Hello Alice.", "Who am I?", "I am Alice. | Who am I?")
        ]

    @pytest.mark.parametrize(
        "wrong",
        [
            lc.ChatMessage(content="x", role="judge"),
            lc.FunctionMessage(content="x", name="f"),
            lc.ToolMessage("x", tool_call_id="of no call"),
            lc.ToolMessage([{"type": "image", "url": "u"}], tool_call_id="1", name="f"),
            lc.HumanMessage([{"type": "text", "text": "x", "annotations": [{"type": "citation"}]}]),
            lc.HumanMessage([{"type": "video", "file_id": "v"}]),
            lc.HumanMessage([{"type": "made-up", "x": 1}]),
            lc.AIMessage([{"type": "reasoning", "reasoning": "hm", "extras": {"signature": "Eu8="}}]),
            lc.AIMessage([{"type": "image", "url": "u"}]),
            lc.AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": None}]),
        ],
        ids=lambda message: type(message).__name__,
    )
    async def test_what_none_can_say(self, memory: chatmem.ChatMemory, wrong: lc.BaseMessage) -> None:
        await memory.history("s").append("hi", wrong)
        with pytest.raises(chatmem.UnsupportedError, match=r"ModelMessage"):
            await ModelMessageHistory(memory, "s").messages()

    async def test_openais(self, memory: chatmem.ChatMemory) -> None:
        session = ChatmemSession(memory, "s")
        await session.add_items(
            [
                {"role": "developer", "content": "be kind"},
                {"role": "user", "content": [{"type": "input_text", "text": "Lima?"}]},
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}', "id": "fc_1"},
                {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "not json"},
                {"type": "function_call_output", "call_id": "c1", "output": "fine"},
                {"type": "function_call_output", "call_id": "c2", "output": "bad arguments"},
                {
                    "type": "message",
                    "id": "msg_1",
                    "role": "assistant",
                    "status": "completed",
                    "content": [{"type": "output_text", "text": "Fine.", "annotations": [], "logprobs": []}],
                },
            ]
        )
        history = ModelMessageHistory(memory, "s")
        found: list[Any] = [part for one in await history.messages() for part in one.parts]
        assert [part.part_kind for part in found] == [
            *("system-prompt", "user-prompt", "tool-call", "tool-call", "tool-return", "tool-return", "text")
        ]
        assert [part.content for part in found if part.part_kind != "tool-call"] == [
            *("be kind", ["Lima?"], "fine", "bad arguments", "Fine.")
        ]
        assert [(part.args, part.tool_call_id) for part in found if part.part_kind == "tool-call"] == [
            ({"a": 1}, "c1"),
            ("not json", "c2"),
        ]
        await session.add_items([{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}])
        with pytest.raises(chatmem.UnsupportedError, match="reasoning"):
            await history.messages()

    async def test_read_as_openais(self, memory: chatmem.ChatMemory) -> None:
        history, session = ModelMessageHistory(memory, "s"), ChatmemSession(memory, "s")
        calls = [pm.ToolCallPart("f", '{"a": 1}', "1"), pm.ToolCallPart("f", "no json", "2")]
        await history.append(
            [
                request(pm.SystemPromptPart("be kind"), pm.UserPromptPart("Lima?")),
                response(pm.TextPart("wait"), *calls),
                request(pm.ToolReturnPart("f", {"sky": "fine"}, "1"), pm.ToolReturnPart("f", "bad", "2")),
                response(pm.TextPart("Fine."), pm.TextPart(" Bye.")),
            ]
        )
        assert await session.get_items() == [
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": "Lima?"},
            {"role": "assistant", "content": "wait"},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"a": 1}'},
            {"type": "function_call", "call_id": "2", "name": "f", "arguments": "no json"},
            {"type": "function_call_output", "call_id": "1", "output": '{"sky":"fine"}'},
            {"type": "function_call_output", "call_id": "2", "output": "bad"},
            {"role": "assistant", "content": "Fine. Bye."},
        ]

    @pytest.mark.parametrize(
        "wrong",
        [
            response(pm.ThinkingPart("hm", signature="Eu8="), pm.TextPart("so")),
            response(pm.NativeToolCallPart("web_search", {"q": "x"}, "1", provider_name="anthropic")),
            request(pm.UserPromptPart(["see", pm.ImageUrl("https://example.com/a.png")])),
            request(pm.ToolReturnPart("f", ["map:", pm.ImageUrl("https://example.com/m.png")], "1")),
        ],
        ids=lambda model: type(model.parts[0]).__name__,
    )
    async def test_what_no_item_says(self, memory: chatmem.ChatMemory, wrong: pm.ModelMessage) -> None:
        await ModelMessageHistory(memory, "s").append([wrong])
        with pytest.raises(chatmem.UnsupportedError, match="cannot be written as an item"):
            await ChatmemSession(memory, "s").get_items()

    async def test_both_kinds_in_one_session(self, memory: chatmem.ChatMemory) -> None:
        """Each framework reads its own messages exactly, and the content of the other's."""
        history, session = ModelMessageHistory(memory, "s"), ChatmemSession(memory, "s")
        item = {"type": "message", "role": "user", "content": "by the SDK"}
        model = request(pm.UserPromptPart("by pydantic-ai", timestamp=NOW), run_id="r")
        await session.add_items([item])
        await history.append([model])
        assert await session.get_items() == [item, {"role": "user", "content": "by pydantic-ai"}]
        first, second = await history.messages()
        assert second == model
        assert [part.content for part in first.parts if isinstance(part, pm.UserPromptPart)] == ["by the SDK"]
