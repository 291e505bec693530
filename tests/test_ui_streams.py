"""Answers as the AI SDK's and AG-UI's streams, read by their own npm packages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

import chatmem
from chatmem.model import AnswerStatus, Chunk, Entry, Page
from chatmem.ui import ag_ui, ai_sdk
from tests.scripted import Scripted, asking, weather
from tests.test_answer_streams import STREAMS as PROVIDERS
from tests.ui.answers import AGENT, answers, chunked, finished, following, piece
from tests.ui.node import Frontends

VERSIONS = pytest.mark.parametrize("version", [5, 6, 7])
with_frontends = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def body(events: AsyncIterator[str]) -> str:
    return "".join([event async for event in events])


async def ai_sdk_body(chunks: Sequence[Chunk]) -> str:
    return await body(ai_sdk.stream(following(chunks), answer_id="a"))


def events_in(sent: str) -> list[Any]:
    """Return the events of a body, without the mark of its end."""
    assert sent.endswith("data: [DONE]\n\n")
    return [json.loads(line.removeprefix("data: ")) for line in sent.split("\n\n")[:-2]]


def plain(message: Any) -> Any:
    """Return a `UIMessage` without what only streams add: ids of reasoning, and the raw text of inputs."""
    parts = [
        {key: value for key, value in part.items() if key != "rawInput" and (key, part["type"]) != ("id", "reasoning")}
        for part in message["parts"]
    ]
    return message | {"parts": parts}


def arguments_of(message: Any) -> list[Any]:
    """Return the calls of an AG-UI message: id, name and arguments, however they were written."""
    return [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in message.get("toolCalls", ())
    ]


class TestAISDK:
    @VERSIONS
    @pytest.mark.parametrize("size", [1, 3, 100])
    async def test_an_answer_from_its_beginning(self, frontends: Frontends, version: int, size: int) -> None:
        """It ends as what the stored messages show after a reload, however many parts come at once."""
        sent = await ai_sdk_body(chunked(AGENT, size))
        read = frontends.run("read", version=version, body=sent, headers=ai_sdk.HEADERS)
        assert read["errors"] == []
        assert [plain(read["last"])] == ai_sdk.from_messages(finished(AGENT))

    @VERSIONS
    async def test_a_reader_that_comes_late(self, frontends: Frontends, version: int) -> None:
        """The whole at once is the same message."""
        sent = await ai_sdk_body(chunked(AGENT, start=len(AGENT)))
        read = frontends.run("read", version=version, body=sent, headers=ai_sdk.HEADERS, resume=True)
        assert read["errors"] == []
        assert [plain(read["last"])] == ai_sdk.from_messages(finished(AGENT))
        assert read["requests"] == [{"url": "http://server/ai-sdk/chat/c/stream", "method": "GET"}]

    @VERSIONS
    @pytest.mark.parametrize("start", range(1, len(AGENT)))
    async def test_a_reader_that_begins_in_the_middle(self, frontends: Frontends, version: int, start: int) -> None:
        """The stream is valid, and each call whose result comes is there."""
        sent = await ai_sdk_body(chunked(AGENT, start=start))
        read = frontends.run("read", version=version, body=sent, headers=ai_sdk.HEADERS)
        assert read["errors"] == []
        assert read["types"][-1] == "finish"
        results = [part["toolCallId"] for part in read["last"]["parts"] if part.get("state", "").startswith("output")]
        assert sorted(results) == [call for call, at in (("c1", 8), ("c2", 9)) if start <= at]
        text = "".join(part["text"] for part in read["last"]["parts"] if part["type"] == "text")
        assert text.endswith("in Rome.")

    @VERSIONS
    @with_frontends
    @given(parts=answers(), size=st.integers(1, 6))
    async def test_any_answer(self, frontends: Frontends, version: int, parts: list[BaseMessage], size: int) -> None:
        """What was streamed is what is stored."""
        sent = await ai_sdk_body(chunked(parts, size))
        read = frontends.run("read", version=version, body=sent, headers=ai_sdk.HEADERS)
        assert read["errors"] == []
        assert [plain(read["last"])] == ai_sdk.from_messages(finished(parts))

    @VERSIONS
    @with_frontends
    @given(parts=answers(), data=st.data())
    async def test_any_answer_whose_end_was_not_sent(
        self, frontends: Frontends, version: int, parts: list[BaseMessage], data: st.DataObject
    ) -> None:
        """Wherever the parts stop, the finished messages bring the rest: the client has what is stored."""
        stop = data.draw(st.integers(0, len(parts)))
        sent = await ai_sdk_body(chunked(parts, data.draw(st.integers(1, 6)), stop=stop))
        read = frontends.run("read", version=version, body=sent, headers=ai_sdk.HEADERS)
        assert read["errors"] == []
        assert [plain(read["last"])] == ai_sdk.from_messages(finished(parts))

    @VERSIONS
    @with_frontends
    @given(parts=answers(), data=st.data())
    async def test_any_answer_from_anywhere(
        self, frontends: Frontends, version: int, parts: list[BaseMessage], data: st.DataObject
    ) -> None:
        """Cut off before its beginning, before its end, or both, a stream stays valid, and so does its message."""
        start = data.draw(st.integers(0, len(parts)))
        status: Any = data.draw(st.sampled_from(["complete", "stopped", "interrupted", "failed", None]))
        sent = await ai_sdk_body(chunked(parts, data.draw(st.integers(1, 4)), start, status))
        read = frontends.run("read", version=version, body=sent, headers=ai_sdk.HEADERS)
        assert len(read["errors"]) == (status in ("interrupted", "failed"))
        if read["last"] is not None:
            frontends.run("validate", version=version, messages=[read["last"]])

    @VERSIONS
    @pytest.mark.parametrize(
        ("status", "end", "errors"),
        [
            ("stopped", ["message-metadata", "abort"], []),
            ("failed", ["message-metadata", "error"], ["The answer failed. What came of it is kept."]),
            ("interrupted", ["message-metadata", "error"], ["The answer was interrupted. What came of it is kept."]),
        ],
    )
    async def test_other_ends(
        self, frontends: Frontends, version: int, status: AnswerStatus, end: list[str], errors: list[str]
    ) -> None:
        """The page keeps the text and can say why there is no more."""
        sent = await ai_sdk_body(chunked(AGENT, status=status))
        read = frontends.run("read", version=version, body=sent, headers=ai_sdk.HEADERS)
        assert (read["types"][-2:], read["errors"]) == (end, errors)
        assert [plain(read["last"])] == ai_sdk.from_messages(finished(AGENT, status))
        assert read["last"]["metadata"] == {"chatmem": {"status": status}}

    @VERSIONS
    async def test_arguments_that_are_no_json(self, frontends: Frontends, version: int) -> None:
        parts: list[BaseMessage] = [piece("a", name="f", id="c", args="nonsense", index=0)]
        read = frontends.run("read", version=version, body=await ai_sdk_body(chunked(parts)), headers={})
        (part,) = read["last"]["parts"][1:]
        assert (part["state"], part["errorText"]) == ("output-error", "The arguments of the call are not valid.")

    @VERSIONS
    async def test_values_that_would_break_a_page(self, frontends: Frontends, version: int) -> None:
        """Numbers that JSON lacks, half a character, and keys that look like an attack on the page."""
        args = '{"__proto__": {"x": 1}, "constructor": {"prototype": 1}, "big": 12345678901234567890, "nan": NaN}'
        parts: list[BaseMessage] = [
            piece("a", "bro\ud800ken"),
            piece("a", name="f", id="c", args=args, index=0),
            ToolMessage([{"type": "json", "json": {"__proto__": 1, "n": float("inf")}}], tool_call_id="c", id="a.1"),
        ]
        read = frontends.run("read", version=version, body=await ai_sdk_body(chunked(parts)), headers={})
        assert read["errors"] == []
        text, tool = plain(read["last"])["parts"][1:]
        assert text["text"] == "bro?ken"
        assert tool["input"] == {"big": "12345678901234567890", "nan": None}
        assert tool["output"] == [{"type": "json", "json": {"n": None}}]

    async def test_files_and_sources(self) -> None:
        """Each is an event of its own."""
        image = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png", "index": 0}
        cited = {"type": "citation", "url": "https://e.com", "title": "E"}
        text = {"type": "text", "text": "So.", "annotations": [cited], "index": 1}
        sent = events_in(await ai_sdk_body(chunked([piece("a", [image]), piece("a", [text])])))
        assert [event for event in sent if event["type"] in ("file", "source-url")] == [
            {"type": "file", "mediaType": "image/png", "url": "data:image/png;base64,iVBORw0KGgo="},
            {"type": "source-url", "sourceId": "https://e.com", "url": "https://e.com", "title": "E"},
        ]

    async def test_the_id_of_the_first_message(self) -> None:
        """It is the stream's id unless another is given."""
        sent = events_in(await body(ai_sdk.stream(following(chunked([piece("x", "hi")])))))
        assert sent[0] == {"type": "start", "messageId": "x"}

    async def test_a_first_part_that_shows_nothing(self) -> None:
        """Models begin with an empty part. A reader that misses all others still gets the whole."""
        chunks = [Chunk("1", [piece("a", "")]), Chunk("2", [AIMessage("Sunny.", id="a")], "complete")]
        assert [one["delta"] for one in events_in(await ai_sdk_body(chunks)) if "delta" in one] == ["Sunny."]

    async def test_calls_under_one_index(self) -> None:
        """Some providers give each call the same index: they are told apart by their ids."""
        parts: list[BaseMessage] = [piece("a", name="f", id=name, args=f'{{"n": "{name}"}}', index=0) for name in "xy"]
        ready = [one for one in events_in(await ai_sdk_body(chunked(parts))) if one["type"] == "tool-input-available"]
        assert [(one["toolCallId"], one["input"]) for one in ready] == [("x", {"n": "x"}), ("y", {"n": "y"})]

    @pytest.mark.parametrize("stop", [0, 1, 2, None])
    async def test_calls_without_ids(self, stop: int | None) -> None:
        """Front ends know calls by their ids, so each gets one."""
        parts: list[BaseMessage] = [piece("a", name="f", args=f'{{"n": {number}}}', index=number) for number in (0, 1)]
        parts.append(ToolMessage("one", tool_call_id="", id="a.1"))
        sent = events_in(await ai_sdk_body(chunked(parts, stop=stop)))
        ready = [one for one in sent if one["type"] == "tool-input-available"]
        assert [(one["toolCallId"], one["input"]) for one in ready] == [("call", {"n": 0}), ("call-2", {"n": 1})]
        assert [one["toolCallId"] for one in sent if one["type"] == "tool-output-available"] == ["call"]

    async def test_a_name_that_comes_behind_the_id(self) -> None:
        parts: list[BaseMessage] = [piece("a", id="c", args="", index=0), piece("a", name="f", args="{}", index=0)]
        sent = events_in(await ai_sdk_body(chunked(parts)))
        assert [one["toolCallId"] for one in sent if one["type"] == "tool-input-available"] == ["c"]

    async def test_an_answer_of_which_nothing_is_left(self) -> None:
        """Its producer died before anything was stored."""
        sent = events_in(await ai_sdk_body([Chunk("0-0", [], "interrupted")]))
        assert [one["type"] for one in sent] == ["start", "error"]

    async def test_two_messages_at_once(self) -> None:
        """Parts of two models' messages that alternate, as of nodes that run in parallel: no text is lost."""
        parts: list[BaseMessage] = [piece("a", "1"), piece("a.1", "A"), piece("a", "2"), piece("a.1", "B")]
        sent = events_in(await ai_sdk_body(chunked(parts)))
        assert [event["delta"] for event in sent if event["type"] == "text-delta"] == ["1", "A", "2", "B"]

    async def test_whole_messages(self) -> None:
        """A model that does not stream."""
        parts: list[BaseMessage] = [
            AIMessage("I look.", id="a", tool_calls=[{"name": "f", "args": {"x": 1}, "id": "c", "type": "tool_call"}]),
            ToolMessage("sun", tool_call_id="c", id="a.1"),
            AIMessage("Sunny.", id="a.2"),
        ]
        kinds = [event["type"] for event in events_in(await ai_sdk_body(chunked(parts)))]
        text, call = ["text-start", "text-delta", "text-end"], ["tool-input-start", "tool-input-delta"]
        assert kinds == [
            *("start", "start-step", *text, *call, "tool-input-available", "tool-output-available", "finish-step"),
            *("start-step", *text, "finish-step", "finish"),
        ]


class TestAGUI:
    async def run(self, frontends: Frontends, chunks: Sequence[Chunk] | None, **options: Any) -> Any:
        """Return what an `HttpAgent` with a question makes of a stream."""
        follow = None if chunks is None else following(chunks)
        sent = await body(ag_ui.stream(follow, "t", "r", **options))
        question = {"id": "q", "role": "user", "content": "?"}
        read = frontends.run("agent", body=sent, headers=ag_ui.HEADERS, messages=[question], threadId="t")
        assert (read["thrown"], read["warnings"]) == (None, [])
        return read

    @pytest.mark.parametrize("size", [1, 3, 100])
    @pytest.mark.parametrize("start", [0, len(AGENT)], ids=["live", "late"])
    async def test_an_answer(self, frontends: Frontends, size: int, start: int) -> None:
        """Live or at once, the client has the messages that are stored; events have no place for errors of tools."""
        read = await self.run(frontends, chunked(AGENT, size, start))
        expected = [
            {key: value for key, value in message.items() if key != "error"}
            for message in ag_ui.from_messages(finished(AGENT))
        ]
        assert read["messages"][1:] == expected
        assert (read["types"][0], read["types"][-1], read["errors"]) == ("RUN_STARTED", "RUN_FINISHED", [])

    @pytest.mark.parametrize("start", range(1, len(AGENT)))
    async def test_a_reader_that_begins_in_the_middle(self, frontends: Frontends, start: int) -> None:
        read = await self.run(frontends, chunked(AGENT, start=start))
        assert (read["types"][-1], read["errors"]) == ("RUN_FINISHED", [])
        assert read["messages"][-1]["content"].endswith("in Rome.") or read["messages"][-1]["role"] == "tool"

    @with_frontends
    @given(parts=answers(), data=st.data())
    async def test_any_answer(self, frontends: Frontends, parts: list[BaseMessage], data: st.DataObject) -> None:
        """From its beginning, what was streamed is what is stored; from anywhere else, the stream is valid."""
        start = data.draw(st.sampled_from([0, 0, 1, 3, len(parts)]))
        stop = data.draw(st.integers(start, len(parts)) | st.none())
        status: Any = data.draw(st.sampled_from(["complete", "stopped", "interrupted", "failed", None]))
        read = await self.run(frontends, chunked(parts, data.draw(st.integers(1, 4)), start, status, stop))
        assert len(read["errors"]) == (status not in ("complete", "stopped"))
        frontends.run("schemas", messages=read["messages"])
        if start == 0 and status is not None:
            shown = [message for message in ag_ui.from_messages(finished(parts)) if len(message) > 2]
            assert [one["id"] for one in read["messages"][1:]] == [one["id"] for one in shown]
            assert [one.get("content") for one in read["messages"][1:]] == [one.get("content") for one in shown]
            assert [arguments_of(one) for one in read["messages"][1:]] == [arguments_of(one) for one in shown]
            assert [one.get("toolCallId") for one in read["messages"][1:]] == [one.get("toolCallId") for one in shown]

    @pytest.mark.parametrize(
        ("status", "last"),
        [
            ("stopped", {"type": "RUN_FINISHED", "threadId": "t", "runId": "r", "outcome": {"type": "cancelled"}}),
            ("failed", {"type": "RUN_ERROR", "code": "failed"}),
            ("interrupted", {"type": "RUN_ERROR", "code": "interrupted"}),
            (None, {"type": "RUN_ERROR", "code": "incomplete"}),
        ],
    )
    async def test_other_ends(self, frontends: Frontends, status: AnswerStatus | None, last: dict[str, Any]) -> None:
        events = [one async for one in ag_ui.events(following(chunked(AGENT, status=status)), "t", "r")]
        assert last.items() <= events[-1].items()
        frontends.run("schemas", events=events)
        await self.run(frontends, chunked(AGENT, status=status))

    async def test_a_snapshot_first(self, frontends: Frontends) -> None:
        """A client that has read a part of the answer, then connects again, shows the answer once."""
        question = Entry(0, "q", None, HumanMessage("What is the weather?", id="q"))
        snapshot = ag_ui.snapshot(Page([question], next=None))
        follow = following(chunked(AGENT))
        sent = await body(ag_ui.stream(follow, "t", "r", snapshot=snapshot))
        partial = [{"id": "q", "role": "user", "content": "?"}, {"id": "a", "role": "assistant", "content": "Let me "}]
        read = frontends.run("agent", body=sent, headers=ag_ui.HEADERS, messages=partial, threadId="t")
        assert (read["thrown"], read["warnings"]) == (None, [])
        assert [one["id"] for one in read["messages"]] == ["q", "a-reasoning-1", "a", "a.1", "a.2", "a.3"]
        assert read["messages"][0]["content"] == "What is the weather?"
        assert read["messages"][2]["content"] == "Let me look."

    async def test_a_conversation_where_no_answer_runs(self, frontends: Frontends) -> None:
        """The messages alone, for a page that was just opened."""
        page = Page([Entry(0, "x", None, AIMessage("Welcome!", id="x"))], next=None)
        read = await self.run(frontends, None, snapshot=ag_ui.snapshot(page))
        assert read["types"] == ["RUN_STARTED", "MESSAGES_SNAPSHOT", "RUN_FINISHED"]
        assert [one["content"] for one in read["messages"]] == ["Welcome!"]


@pytest.fixture
async def history(url: str, prefix: str) -> AsyncIterator[chatmem.History]:
    async with chatmem.connect(url, prefix=prefix, ttl=600) as memory:
        yield memory.history("s")


class TestStoredAnswers:
    """From `History.answer` over `follow` to the front ends' packages."""

    @pytest.mark.parametrize("provider", PROVIDERS)
    async def test_what_providers_stream(self, history: chatmem.History, frontends: Frontends, provider: str) -> None:
        """Read live, late and from the store, it is the same in each front end."""
        bodies: list[str] = []

        async def read() -> None:
            bodies.append(await body(ai_sdk.stream(history.follow("a"), answer_id="a")))
            bodies.append(await body(ag_ui.stream(history.follow("a"), "t", "r")))

        async with anyio.create_task_group() as tasks, history.answer(HumanMessage("?", id="q"), id="a") as draft:
            tasks.start_soon(read)
            for part in PROVIDERS[provider]:
                await draft.write(part)
                await anyio.sleep(0.03)
        await read()
        stored = (await history.messages())[1:]
        for sent in bodies[::2]:
            for version in (5, 6, 7):
                seen = frontends.run("read", version=version, body=sent, headers=ai_sdk.HEADERS)
                assert (seen["errors"], [plain(seen["last"])]) == ([], ai_sdk.from_messages(stored))
        for sent in bodies[1::2]:
            seen = frontends.run("agent", body=sent, headers=ag_ui.HEADERS, messages=[], threadId="t")
            assert (seen["thrown"], seen["messages"]) == (None, ag_ui.from_messages(stored))

    async def test_an_agent(self, history: chatmem.History, frontends: Frontends) -> None:
        """What `create_agent` streams: a call, the tool's result, an answer."""
        agent = create_agent(Scripted(script=[asking("Lima"), AIMessage("Fine.")]), [weather])
        asked: Any = {"messages": [HumanMessage("How is Lima?")]}
        async with history.answer(id="a") as draft:
            async for part in agent.astream(asked, stream_mode="messages"):
                await draft.write(part)
        sent = await body(ai_sdk.stream(history.follow("a")))
        seen = frontends.run("read", version=7, body=sent, headers=ai_sdk.HEADERS)
        assert [plain(seen["last"])] == ai_sdk.from_messages(await history.messages())
        assert [part["type"] for part in seen["last"]["parts"]] == ["step-start", "tool-weather", "step-start", "text"]
        assert seen["last"]["parts"][1]["output"] == "fine in Lima"
