"""Google's ADK with its own Runner and an offline model: events and state come back, once, whole and isolated."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem.openai_agents import ChatmemSession
from tests import providers
from tests.conftest import check_ttls, client_of
from tests.faults import Schedule, failing
from tests.killed import WAITING
from tests.test_kill import talking

pytest.importorskip("google.adk", reason="pip install google-adk (60 MB): nox -s adapters")

from google.adk.agents import LlmAgent
from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.session import Session
from google.genai import types

from chatmem.google_adk import ChatmemSessionService
from chatmem.google_adk.events import KEPT, to_event, to_messages
from chatmem.google_adk.log import SAVE_AFTER
from chatmem.google_adk.scopes import FOLD_AT, Scope

APP: Any = {"app_name": "shop", "user_id": "alice"}
S: Any = {**APP, "session_id": "s"}


def event(text: str | None = None, author: str = "user", *parts: types.Part, **more: Any) -> Event:
    role = "user" if author == "user" else "model"
    content = types.Content(role=role, parts=[*([types.Part(text=text)] if text is not None else []), *parts])
    return Event(author=author, invocation_id="i", content=content if content.parts else None, **more)


def delta(**values: Any) -> EventActions:
    return EventActions(state_delta={key.replace("__", ":"): value for key, value in values.items()})


def call(name: str, number: int) -> types.Part:
    return types.Part(function_call=types.FunctionCall(id=f"c{number}", name=name, args={"city": "Lima", "x": None}))


def result(name: str, number: int) -> types.Part:
    response = {"result": f"fine {number}", "more": [1, None]}
    return types.Part(function_response=types.FunctionResponse(id=f"c{number}", name=name, response=response))


BLOB = types.Part(inline_data=types.Blob(data=bytes(range(256)), mime_type="image/png"))
EVENTS: list[Event] = [
    event("Weather in Lima?"),
    event("Look", "user", BLOB, types.Part(file_data=types.FileData(file_uri="gs://a/b.pdf", mime_type="text/pdf"))),
    event(None, "helper", types.Part(text="hm", thought=True, thought_signature=b"\xff\xfe"), types.Part(text="So:")),
    event("Let me see.", "helper", call("weather", 1), call("weather", 2), long_running_tool_ids={"c2", "c1"}),
    event(None, "helper", result("weather", 1), result("weather", 2)),
    event(None, "helper", call("weather", 3)),
    event(None, "helper", result("weather", 3)),
    event(None, "helper", types.Part(function_call=types.FunctionCall(name="no_arguments"))),
    event(None, "helper", types.Part(executable_code=types.ExecutableCode(code="1", language=types.Language.PYTHON))),
    event("", "helper"),
    event(None, "system", actions=delta(key=None, big=2**80, nested={"a": None, "ü": [1.5, True]})),
    event(
        "Fine.",
        "helper",
        branch="a.b",
        turn_complete=True,
        error_code="E",
        usage_metadata=types.GenerateContentResponseUsageMetadata(prompt_token_count=3, total_token_count=5),
        grounding_metadata=types.GroundingMetadata(web_search_queries=["q"]),
        custom_metadata={"a": None},
    ),
]
IDS = [f"{number}" for number in range(len(EVENTS))]


class Offline(BaseLlm):
    """A model that calls its tool when told so, and else says what it was sent."""

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> AsyncGenerator[LlmResponse, None]:
        texts = [part.text for content in llm_request.contents for part in content.parts if part.text]
        last = llm_request.contents[-1].parts[-1]
        tool = last.text == "tool" and types.FunctionCall(name="remember", args={"city": "Lima"})
        part = types.Part(function_call=tool) if tool else types.Part(text=json.dumps(texts))
        yield LlmResponse(content=types.Content(role="model", parts=[part]))


def remember(city: str, tool_context: Any) -> str:
    """Remember a city."""
    tool_context.state["city"] = city
    tool_context.state["user:city"] = city
    tool_context.state["app:cities"] = [city]
    tool_context.state["temp:city"] = city
    return f"fine in {city}"


def runner(service: ChatmemSessionService, app: str = "shop") -> Runner:
    agent = LlmAgent(name="helper", model=Offline(model="offline"), tools=[remember], output_key="said")
    return Runner(agent=agent, app_name=app, session_service=service)


async def say(running: Runner, text: str, user: str = "alice", session: str = "s") -> str:
    message, last = types.Content(role="user", parts=[types.Part(text=text)]), ""
    async for one in running.run_async(user_id=user, session_id=session, new_message=message):
        if one.content and one.content.parts and one.content.parts[-1].text:
            last = one.content.parts[-1].text
    return last


@pytest.fixture
async def memory(url: str, prefix: str) -> AsyncIterator[chatmem.ChatMemory]:
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        yield memory


@pytest.fixture
async def service(memory: chatmem.ChatMemory) -> ChatmemSessionService:
    return ChatmemSessionService(memory)


async def stored(service: ChatmemSessionService, **options: Any) -> Session:
    session = await service.get_session(**S, **options)
    assert session is not None
    return session


async def insist(make: Callable[[], Awaitable[Any]]) -> Any:
    """Repeat a call until it succeeds."""
    for _ in range(50):
        try:
            return await make()
        except chatmem.UnavailableError:
            continue
    raise AssertionError("it never succeeded")


class TestOnEveryServer:
    async def test_the_runner(self, server_url: str, prefix: str, raw: redis.Redis) -> None:
        """Turns with a tool that changes the state of all scopes; every key has its TTL, and none is left."""
        async with chatmem.connect(server_url, prefix=prefix, ttl=600) as memory:
            service = ChatmemSessionService(memory)
            running = runner(service)
            await service.create_session(**S, state={"user:name": "Alice", "a": 1})
            assert json.loads(await say(running, "Hi")) == ["Hi"]
            assert json.loads(await say(running, "tool")) == ["Hi", '["Hi"]', "tool"]
            session = await stored(service)
            assert [one.author for one in session.events] == ["user", "helper", "user", "helper", "helper", "helper"]
            said = json.dumps(["Hi", '["Hi"]', "tool"])
            shared = {"user:city": "Lima", "user:name": "Alice", "app:cities": ["Lima"]}
            assert session.state == {"a": 1, "city": "Lima", "said": said, **shared}
            other = await service.create_session(**APP)
            assert other.state == shared
            listed = (await service.list_sessions(app_name="shop")).sessions
            assert [(one.id, one.state, one.events) for one in listed] == [
                ("s", session.state, []),
                (other.id, shared, []),
            ]
            assert await service.get_user_state(**APP) == {"city": "Lima", "name": "Alice"}
            await service.delete_session(**S)
            assert await service.get_session(**S) is None
            assert [one.id for one in (await service.list_sessions(**APP)).sessions] == [other.id]

    async def test_events_come_back(self, server_url: str, prefix: str, raw: redis.Redis) -> None:
        """Every kind of event, as ADK reads it from its own JSON, and None inside of dicts besides."""
        async with chatmem.connect(server_url, prefix=prefix, ttl=600) as memory:
            service = ChatmemSessionService(memory)
            session = await service.create_session(**S)
            for one in EVENTS:
                await service.append_event(session, one)
            again = await stored(service)
            assert again.events == EVENTS
            assert again == session

    async def test_encrypted(self, server_url: str, prefix: str, raw: redis.Redis) -> None:
        """Events, states and titles are encrypted, and read with the key only."""
        ring = chatmem.KeyRing({"k": b"k" * 32})
        async with chatmem.connect(server_url, prefix=prefix, ttl=600, encryption=ring) as memory:
            service = ChatmemSessionService(memory)
            session = await service.create_session(**S, state={"a": "Geheim"})
            for number in range(FOLD_AT + 1):
                values = {"a": f"Geheim {number}", "app__b": "Geheim", "user__c": "Geheim"}
                await service.append_event(session, event("Geheim", actions=delta(**values)))
            for key in raw.scan_iter(f"{prefix}*"):
                assert b"Geheim" not in (raw.dump(key) or b""), key
        async with chatmem.connect(server_url, prefix=prefix, ttl=600) as memory:
            found = await stored(ChatmemSessionService(memory))
            assert (found.events, found.state) == ([], {})
        async with chatmem.connect(server_url, prefix=prefix, ttl=600, encryption=ring) as memory:
            assert await stored(ChatmemSessionService(memory)) == session


class TestEvents:
    @pytest.mark.parametrize("number", range(len(EVENTS)), ids=IDS)
    def test_texts_are_stored_once(self, number: int) -> None:
        """The message keeps only what it does not express itself, and is the event again."""
        first, *others = to_messages(EVENTS[number])
        assert to_event(first) == EVENTS[number]
        assert [to_event(one) for one in others] == [None] * len(others)
        kept = json.dumps(first.additional_kwargs[KEPT], default=str)
        assert not any(text in kept for text in ("Weather in Lima", "Let me see", "AQIDBAUG", '"city"'))

    def test_what_others_see(self) -> None:
        messages = [message for one in EVENTS for message in to_messages(one)]
        assert [(one.type, str(one.text)) for one in messages] == [
            ("human", "Weather in Lima?"),
            ("human", "Look"),
            ("ai", "So:"),
            ("ai", "Let me see."),
            ("tool", '{"result": "fine 1", "more": [1, null]}'),
            ("tool", '{"result": "fine 2", "more": [1, null]}'),
            ("ai", ""),
            ("tool", '{"result": "fine 3", "more": [1, null]}'),
            ("ai", ""),
            ("ai", ""),
            ("ai", ""),
            ("ai", ""),
            ("ai", "Fine."),
        ]
        assert [block["type"] for block in messages[1].content_blocks] == ["text", "image", "file"]

    async def test_a_changed_message(self, service: ChatmemSessionService) -> None:
        """A text that was changed in chatmem is the event's text from then on."""
        session = await service.create_session(**S)
        await service.append_event(session, event("Hello", id="e"))
        history = service.history(**S)
        entry = await history.get("e")
        assert entry is not None
        assert entry.message is not None
        await history.replace("e", entry.message.model_copy(update={"content": "Bye"}))
        (read,) = (await stored(service)).events
        assert read == event("Bye", id="e", timestamp=read.timestamp)

    async def test_messages_of_other_frameworks(self, service: ChatmemSessionService) -> None:
        """Text, calls and results become events; anything else is refused by name."""
        await service.create_session(**S)
        history = service.history(**S)
        calls: Any = [{"name": "f", "args": {"a": 1}, "id": "c", "type": "tool_call"}]
        answer = lc.AIMessage("So", tool_calls=calls)
        await history.append(lc.HumanMessage("Hi"), answer, lc.ToolMessage("3", tool_call_id="c", name="f"))
        session = await stored(service)
        parts = [part for one in session.events for part in (one.content.parts if one.content else None) or []]
        assert [part.text for part in parts if part.text] == ["Hi", "So"]
        assert [part.function_call.args for part in parts if part.function_call] == [{"a": 1}]
        assert [part.function_response.response for part in parts if part.function_response] == [{"result": 3}]
        assert [one.author for one in session.events] == ["user", "model", "model"]
        await service.append_event(session, event("Go on"))
        await history.append(lc.SystemMessage("no event"))
        with pytest.raises(chatmem.UnsupportedError, match="SystemMessage"):
            await service.get_session(**S)

    async def test_others_read_it(self, memory: chatmem.ChatMemory, service: ChatmemSessionService) -> None:
        """A window of the session is what every provider accepts, and OpenAI's SDK reads texts, calls and results."""
        session = await service.create_session(**S)
        for one in (*EVENTS[:1], *EVENTS[3:7]):
            await service.append_event(session, one)
        history = service.history(**S)
        window = await history.window(messages=50)
        assert window[0].text == "Weather in Lima?"
        providers.check(window)
        items = await ChatmemSession(memory, history.session_id, user="adk:shop:alice").get_items()
        assert [one.get("type") for one in items].count("function_call_output") == 3

    async def test_an_event_that_cannot_be_read(
        self, service: ChatmemSessionService, url: str, prefix: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is left out with a warning, and costs no other event."""
        session = await service.create_session(**S)
        for text in ("one", "two"):
            await service.append_event(session, event(text, id=text))
        with client_of(url) as raw:
            raw.lset(f"{prefix}:{{{service.history(**S).session_id}}}:m", 1, b"1:\x01garbage")
        assert [one.id for one in (await stored(service)).events] == ["two"]
        assert "unreadable record" in caplog.text


class TestState:
    async def test_scopes(self, service: ChatmemSessionService) -> None:
        """Each user of an app has a state, each app one, and temporary values live in the object alone."""
        session = await service.create_session(**S, state={"temp:a": 1, "user:u": 1, "app:a": 1, "s": 1})
        assert session.state == {"s": 1, "user:u": 1, "app:a": 1}
        one = await service.append_event(session, event(actions=delta(temp__x=1, user__u=2, s=None)))
        assert one.actions.state_delta == {"user:u": 2, "s": None}
        assert session.state == {"s": None, "user:u": 2, "app:a": 1, "temp:x": 1}
        assert (await stored(service)).state == {"s": None, "user:u": 2, "app:a": 1}
        bob = await service.create_session(app_name="shop", user_id="bob")
        assert bob.state == {"app:a": 1}
        assert (await service.create_session(app_name="zoo", user_id="alice")).state == {}

    async def test_values_that_json_does_not_have(self, service: ChatmemSessionService) -> None:
        """They are stored as ADK itself writes them, and do not cost the event."""
        session = await service.create_session(**S, state={"call": len})
        await service.append_event(session, event("Hi", actions=delta(s={1}, app__f=len, user__nan=math.nan)))
        found = await stored(service)
        assert (found.state["s"], found.state["call"], found.state["app:f"]) == ([1], repr(len), repr(len))
        assert math.isnan(found.state["user:nan"])
        assert found.events[0].content == event("Hi").content

    async def test_values_that_cannot_be_stored(self, service: ChatmemSessionService) -> None:
        """Bytes that are no text, and a value that contains itself, are errors that say so; nothing is stored."""
        itself: list[Any] = []
        itself.append(itself)
        for wrong in (b"\xff", itself):
            with pytest.raises(chatmem.EncodingError, match=r"the state .* JSON"):
                await service.create_session(**S, state={"x": wrong})
            session = await service.create_session(**S)
            for changes in (delta(x=wrong), delta(user__x=wrong)):
                with pytest.raises(chatmem.EncodingError, match="JSON"):
                    await service.append_event(session, event("Hi", actions=changes))
            found = await stored(service)
            assert (found.events, found.state) == ([], {})
            await service.delete_session(**S)
        session = await service.create_session(**S)
        with pytest.raises(chatmem.EncodingError, match=r"the event .* JSON"):
            await service.append_event(session, event("Hi", custom_metadata={"x": itself}))

    @pytest.mark.parametrize("events", [SAVE_AFTER - 2, SAVE_AFTER, 3 * SAVE_AFTER])
    async def test_the_saved_state(self, service: ChatmemSessionService, events: int) -> None:
        """However many events there are, and whatever was saved, the state is what all of them make of it."""
        session = await service.create_session(**S, state={"first": 0})
        for number in range(events):
            await service.append_event(session, event(str(number), actions=delta(last=number, **{f"k{number}": 1})))
            if number % 5 == 0:
                assert (await stored(service)).state == session.state
        for config in (None, GetSessionConfig(num_recent_events=0), GetSessionConfig(num_recent_events=2)):
            assert (await stored(service, config=config)).state == session.state
        await service.history(**S).update(metadata={"mine": 1})  # which also removes what was saved
        assert (await stored(service, config=GetSessionConfig(num_recent_events=1))).state == session.state
        assert (await service.history(**S).info()).metadata["mine"] == 1

    async def test_a_saved_state_of_an_earlier_life(self, service: ChatmemSessionService) -> None:
        """A session that was deleted and created again has nothing of the old state."""
        session = await service.create_session(**S, state={"old": 1})
        for number in range(2 * SAVE_AFTER):
            await service.append_event(session, event(str(number)))
        assert (await stored(service)).state == {"old": 1}
        saved = (await service.history(**S).info()).metadata
        await service.delete_session(**S)
        session = await service.create_session(**S, state={"new": 1})
        for number in range(3 * SAVE_AFTER):
            await service.append_event(session, event(str(number)))
        await service.history(**S).update(metadata=saved)
        assert (await stored(service)).state == {"new": 1}

    async def test_many_changes_of_an_app(self, service: ChatmemSessionService, memory: chatmem.ChatMemory) -> None:
        """A reader folds them, so that the next has little to read; the last change of each key counts."""
        session = await service.create_session(**S)
        for number in range(2 * FOLD_AT):
            await service.append_event(session, event(actions=delta(app__n=number, **{f"app__k{number % 3}": number})))
        scope = memory.history("adk:shop")
        assert await scope.count() == 2 * FOLD_AT
        states = await asyncio.gather(*(stored(service) for _ in range(5)))
        assert all(one.state == session.state for one in states)
        assert await scope.count() == 1
        await service.append_event(session, event(actions=delta(app__n=-1)))
        assert (await stored(service)).state == session.state == {**states[0].state, "app:n": -1}


class TestWhatOtherProcessesLeave:
    """A process may die between the steps of an event that changes the state of the app or the user."""

    async def test_before_the_event(self, service: ChatmemSessionService, memory: chatmem.ChatMemory) -> None:
        """Its change does not count, and is removed once the session has gone on without it."""
        session = await service.create_session(**S, state={"app:a": 1})
        app = Scope(memory.core, "adk:shop", None, "shop")
        await app.prepare({"a": 2}, "never", service.history(**S).session_id, 1)
        assert (await stored(service)).state == {"app:a": 1}
        assert await memory.history("adk:shop").count() == 2
        await service.append_event(session, event("Hi"))
        assert (await stored(service)).state == {"app:a": 1}
        assert await memory.history("adk:shop").count() == 1

    async def test_after_the_event(self, service: ChatmemSessionService, memory: chatmem.ChatMemory) -> None:
        """Its change counts from the moment on at which the event is there, even if the session is deleted then."""
        await service.create_session(**S, state={"app:a": 1})
        history = service.history(**S)
        app = Scope(memory.core, "adk:shop", None, "shop")
        await app.prepare({"a": 2}, "e", history.session_id, 1)
        assert (await stored(service)).state == {"app:a": 1}
        await history.append(*to_messages(event("Hi", id="e", actions=delta(app__a=2))), expected_version=1)
        assert (await stored(service)).state == {"app:a": 2}
        await service.delete_session(**S)
        assert (await service.create_session(**S)).state == {"app:a": 2}

    async def test_deleted_before_anybody_read(
        self, service: ChatmemSessionService, memory: chatmem.ChatMemory
    ) -> None:
        await service.create_session(**S, state={"app:a": 1})
        history = service.history(**S)
        await Scope(memory.core, "adk:shop", None, "shop").prepare({"a": 2}, "e", history.session_id, 1)
        await history.append(*to_messages(event("Hi", id="e", actions=delta(app__a=2))), expected_version=1)
        await service.delete_session(**S)
        assert (await service.create_session(**S)).state == {"app:a": 2}

    async def test_a_session_that_lost_its_messages(
        self, service: ChatmemSessionService, memory: chatmem.ChatMemory, url: str, prefix: str
    ) -> None:
        """Nobody can tell whether the event was there, and that costs no other session its state."""
        await service.create_session(**S, state={"app:a": 1})
        history = service.history(**S)
        await Scope(memory.core, "adk:shop", None, "shop").prepare({"a": 2}, "e", history.session_id, 1)
        with client_of(url) as raw:
            raw.unlink(f"{prefix}:{{{history.session_id}}}:m")
        with pytest.raises(chatmem.TornSessionError):
            await service.get_session(**S)
        assert (await service.create_session(**APP)).state == {"app:a": 1}

    async def test_an_event_that_never_comes(
        self, service: ChatmemSessionService, memory: chatmem.ChatMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of a session that was never created, a change waits for an hour."""
        app = Scope(memory.core, "adk:shop", None, "shop")
        await app.prepare({"a": 2}, "e", "adk:shop:alice:none", 0)
        assert await app.state() == {}
        assert await memory.history("adk:shop").count() == 1
        later = time.time() + 3601
        monkeypatch.setattr(time, "time", lambda: later)
        assert await app.state() == {}
        assert await memory.history("adk:shop").count() == 0

    async def test_the_order_of_changes(self, service: ChatmemSessionService, memory: chatmem.ChatMemory) -> None:
        """A change that waits does not hold up later ones, and does not come behind them when its event is found."""
        first, other = await service.create_session(**S), await service.create_session(**APP)
        history = service.history(**S)
        await Scope(memory.core, "adk:shop", None, "shop").prepare({"a": 1, "b": 1}, "e", history.session_id, 1)
        for number in range(FOLD_AT + 2):
            await service.append_event(other, event(actions=delta(app__a=number)))
        assert (await stored(service)).state == {"app:a": FOLD_AT + 1}
        await history.append(*to_messages(event("Hi", id="e")), expected_version=1)
        assert (await stored(service)).state == {"app:a": FOLD_AT + 1, "app:b": 1}
        assert first.state == {}

    async def test_creations_that_failed(self, service: ChatmemSessionService) -> None:
        """Who creates a session that exists changes nothing, in no scope."""
        await service.create_session(**S, state={"app:a": 1, "user:u": 1, "s": 1})
        with pytest.raises(AlreadyExistsError):
            await service.create_session(**S, state={"app:a": 2, "user:u": 2, "s": 2})
        assert (await stored(service)).state == {"app:a": 1, "user:u": 1, "s": 1}


class TestWriters:
    async def test_two_at_once(self, service: ChatmemSessionService) -> None:
        """Of two objects that show the same session, one may append; the other is stale, and changes nothing."""
        await service.create_session(**S)
        for turn in range(5):
            sessions = [await stored(service) for _ in range(2)]
            values = [delta(app__a=f"{turn}{name}", user__u=f"{turn}{name}", s=f"{turn}{name}") for name in "xy"]
            appends = [
                service.append_event(one, event(f"{turn}", actions=actions))
                for one, actions in zip(sessions, values, strict=True)
            ]
            done = await asyncio.gather(*appends, return_exceptions=True)
            (error,) = [one for one in done if isinstance(one, BaseException)]
            assert isinstance(error, StaleSessionError)
            assert "modified in storage" in str(error)
            (kept,) = [one for one in done if isinstance(one, Event)]
            assert (await stored(service)).state == kept.actions.state_delta
        assert [one.content == event(f"{turn}").content for turn, one in enumerate((await stored(service)).events)] == [
            True
        ] * 5

    async def test_one_object_in_many_tasks(self, service: ChatmemSessionService) -> None:
        """Parallel agents share an object: all of their events are stored."""
        session = await service.create_session(**S)
        await asyncio.gather(*(service.append_event(session, event(str(number))) for number in range(20)))
        assert sorted(one.id for one in session.events) == sorted(one.id for one in (await stored(service)).events)
        assert len(session.events) == 20

    async def test_two_runners(self, service: ChatmemSessionService) -> None:
        """Sessions of one user in two tasks at once: nothing gets lost."""
        running = runner(service)
        for name in ("x", "y"):
            await service.create_session(**APP, session_id=name)
        turns = [say(running, "tool" if number % 2 else f"{number}", session="xy"[number % 2]) for number in (0, 1)]
        for _ in range(5):
            await asyncio.gather(*turns)
            turns = [say(running, "tool", session=name) for name in "xy"]
        await asyncio.gather(*turns)
        counts = [len((await service.get_session(**APP, session_id=name) or EMPTY).events) for name in "xy"]
        assert counts == [2 + 5 * 4, 6 * 4]

    async def test_deleted_meanwhile(self, service: ChatmemSessionService) -> None:
        session = await service.create_session(**S)
        await service.delete_session(**S)
        with pytest.raises(SessionNotFoundError):
            await service.append_event(session, event("Hi", actions=delta(app__a=1)))
        assert await service.get_session(**S) is None
        assert (await service.list_sessions(app_name="shop")).sessions == []
        assert (await service.create_session(**S)).state == {}

    async def test_an_object_that_came_as_json(self, service: ChatmemSessionService) -> None:
        """It carries no version, so its last event tells whether it is stale."""
        session = await service.create_session(**S)
        await service.append_event(session, event("one", timestamp=session.last_update_time + 1))
        old, new = (Session.model_validate_json(session.model_dump_json()) for _ in range(2))
        await service.append_event(new, event("two", timestamp=session.last_update_time + 2))
        with pytest.raises(StaleSessionError):
            await service.append_event(old, event("three"))
        with pytest.raises(SessionNotFoundError):
            await service.append_event(Session(id="none", **APP), event("one"))
        assert len((await stored(service)).events) == 2


class TestOnce:
    async def test_the_same_event_again(self, service: ChatmemSessionService) -> None:
        """As the same object, as a copy, and to an object that was read since: it is stored once."""
        session, one = await service.create_session(**S), event("Hi", actions=delta(n=1, app__n=1))
        for given in (one, one, one.model_copy(deep=True)):
            await service.append_event(session, given)
        assert session.events == [one]
        again = await stored(service)
        await service.append_event(again, one)
        assert again.events == (await stored(service)).events == [one]
        assert again.state == {"n": 1, "app:n": 1}
        await service.append_event(session, event("more"))

    async def test_another_event_with_the_same_id(self, service: ChatmemSessionService) -> None:
        session = await service.create_session(**S)
        await service.append_event(session, event("Hi", id="e"))
        with pytest.raises(chatmem.DuplicateIdError):
            await service.append_event(session, event("Bye", id="e"))
        assert len(session.events) == 1

    async def test_a_late_repeat_does_not_hide_what_others_wrote(self, url: str, prefix: str) -> None:
        """The answer to an append is lost, another process appends, and the first repeats its append: it is stale."""
        schedule = Schedule(0, 1000, share=1, weights={"cut after": 1})
        schedule.rests = True
        with failing(partial(address, url), schedule, patience=1) as proxy:
            async with (
                chatmem.connect(f"redis://127.0.0.1:{proxy.port}", prefix=prefix, ttl=60) as failing_memory,
                chatmem.connect(url, prefix=prefix, ttl=60) as memory,
            ):
                service, others = ChatmemSessionService(failing_memory), ChatmemSessionService(memory)
                session, one = await service.create_session(**S), event("Hi", actions=delta(s=1))
                schedule.rests = False
                with pytest.raises(chatmem.UnavailableError):
                    await service.append_event(session, one)
                schedule.rests = True
                await others.append_event(await stored(others), event("others"))
                await service.append_event(session, one)
                assert session.events == [one]
                with pytest.raises(StaleSessionError):
                    await service.append_event(session, event("more"))
                assert len((await stored(service)).events) == 2

    @pytest.mark.parametrize("seed", range(2))
    async def test_a_server_that_fails(self, url: str, prefix: str, seed: int) -> None:
        """Appends that are repeated until they succeed: no event is lost, none doubled, and the states fit."""
        schedule = Schedule(seed, 60)
        schedule.rests = True
        with failing(partial(address, url), schedule, patience=1) as proxy:
            where = f"redis://127.0.0.1:{proxy.port}?socket_timeout=1"
            async with chatmem.connect(where, prefix=prefix, ttl=60) as memory:
                service, wanted = ChatmemSessionService(memory), list[str]()
                session = await service.create_session(**S)
                schedule.rests = False
                while not schedule.is_over:
                    number = len(wanted)
                    values = {"n": number, f"k{number}": 1, "app__n": number, f"user__k{number}": number}
                    one = event(str(number), actions=delta(**values))
                    await insist(partial(service.append_event, session, one))
                    wanted.append(one.id)
                    if number % 4 == 0:
                        session = await insist(partial(stored, service))
                        assert [one.id for one in session.events] == wanted
                proxy.settle()
                found = await stored(service)
                assert [one.id for one in found.events] == wanted
                assert found.state == {
                    "n": len(wanted) - 1,
                    "app:n": len(wanted) - 1,
                    **{f"k{number}": 1 for number in range(len(wanted))},
                    **{f"user:k{number}": number for number in range(len(wanted))},
                }
        assert schedule.drawn.total() == 60


class TestReading:
    async def test_config(self, service: ChatmemSessionService) -> None:
        """The last events, those from a time on, or both; long sessions are read in slices."""
        session = await service.create_session(**S)
        start = session.last_update_time
        for number in range(300):
            await service.append_event(session, event(str(number), id=str(number), timestamp=start + number))
        for config, wanted in (
            (GetSessionConfig(num_recent_events=0), []),
            (GetSessionConfig(num_recent_events=3), [297, 298, 299]),
            (GetSessionConfig(num_recent_events=1000), [*range(300)]),
            (GetSessionConfig(after_timestamp=start + 10), [*range(10, 300)]),
            (GetSessionConfig(after_timestamp=start + 298), [298, 299]),
            (GetSessionConfig(after_timestamp=start + 400), []),
            (GetSessionConfig(after_timestamp=start + 298, num_recent_events=1), [299]),
            (GetSessionConfig(after_timestamp=start + 298, num_recent_events=9), [298, 299]),
            (None, [*range(300)]),
        ):
            found = await stored(service, config=config)
            assert [int(one.id) for one in found.events] == wanted
            assert found.last_update_time == start + 299

    async def test_an_append_to_part_of_a_session(self, service: ChatmemSessionService) -> None:
        """An object with the last events only is not stale."""
        session = await service.create_session(**S, state={"a": 1})
        for number in range(5):
            await service.append_event(session, event(str(number)))
        part = await stored(service, config=GetSessionConfig(num_recent_events=1))
        await service.append_event(part, event("more", actions=delta(b=1)))
        found = await stored(service)
        assert (len(found.events), found.state) == (6, {"a": 1, "b": 1})

    async def test_lists(self, service: ChatmemSessionService) -> None:
        """All of a user's, or of all users; the one with the oldest last event first; more than a page."""
        for number in range(120):
            await service.create_session(**APP, session_id=f"{number:03}", state={"n": number})
        await service.create_session(app_name="shop", user_id="bob", session_id="b")
        first = await service.get_session(**APP, session_id="000")
        assert first is not None
        await service.append_event(first, event("Hi"))
        mine = (await service.list_sessions(**APP)).sessions
        assert [one.id for one in mine] == [*(f"{number:03}" for number in range(1, 120)), "000"]
        assert all(one.state == {"n": int(one.id)} and one.events == [] for one in mine)
        everyone = (await service.list_sessions(app_name="shop")).sessions
        assert [(one.user_id, one.id) for one in everyone] == [
            *(("alice", f"{number:03}") for number in range(1, 120)),
            ("bob", "b"),
            ("alice", "000"),
        ]
        assert (await service.list_sessions(app_name="none")).sessions == []
        assert (await service.list_sessions(app_name="shop", user_id="none")).sessions == []

    async def test_names_with_any_characters(self, service: ChatmemSessionService) -> None:
        """Names that others might join to the same key: each is its own."""
        names = ["a", "a:b", "b", "%", "%3A", "a%3Ab", "{x}", "}", "", "a b", "ü", "\ud800", "*", "a\nb", "A"]
        triples = [(app, user, name) for app in names[:6] for user in names for name in names if name]
        for app, user, name in triples[:: len(triples) // 150]:
            made = await service.create_session(app_name=app, user_id=user, session_id=name, state={"n": [app, user]})
            await service.append_event(made, event(f"{app} {user} {name}".encode(errors="replace").decode()))
        for app, user, name in triples[:: len(triples) // 150]:
            found = await service.get_session(app_name=app, user_id=user, session_id=name)
            assert found is not None
            assert (found.app_name, found.user_id, found.id, found.state) == (app, user, name, {"n": [app, user]})
            assert len(found.events) == 1
        for app in names[:6]:
            listed = (await service.list_sessions(app_name=app)).sessions
            assert sorted((app, one.user_id, one.id) for one in listed) == sorted(
                one for one in triples[:: len(triples) // 150] if one[0] == app
            )


class TestCosts:
    async def test_an_append_does_not_grow_with_the_session(self, service: ChatmemSessionService, url: str) -> None:
        """The same commands, with the same bytes, for the first event and behind 500; and no SCAN anywhere."""
        with client_of(url) as raw:
            scanned = scans(raw)
            session, costs = await service.create_session(**S, state={f"k{n}": "x" * 1000 for n in range(20)}), []
            for number in count():
                before = traffic(raw)
                await service.append_event(session, event("x" * 100, actions=delta(n=1)))
                costs.append(traffic(raw) - before)
                if number == 500:
                    break
            await stored(service)
            await service.list_sessions(app_name="shop")
            assert max(costs[-50:]) < min(costs[5:55]) + 200
            assert max(costs[5:]) < 4000
            assert scans(raw) == scanned

    async def test_a_memory_that_forgets(self, url: str, prefix: str) -> None:
        async with chatmem.connect(url, prefix=prefix, ttl=60, max_messages=10) as memory:
            with pytest.raises(ValueError, match="max_messages"):
                ChatmemSessionService(memory)

    @pytest.mark.parametrize("refresh", ["write", "read", "never"])
    async def test_the_state_outlives_the_sessions(self, url: str, prefix: str, refresh: Any) -> None:
        """The keys of an app's and a user's state expire no earlier than any session that shares them."""
        with client_of(url) as raw:
            async with chatmem.connect(url, prefix=prefix, ttl=600, ttl_refresh=refresh) as memory:
                service = ChatmemSessionService(memory)
                session = await service.create_session(**S, state={"app:a": 1, "user:u": 1})
                for key in raw.scan_iter(f"{prefix}*"):
                    raw.pexpire(key, 300_000)
                await service.append_event(session, event("Hi"))
                await service.create_session(**APP, session_id="t")
                left = {key.decode().partition("{")[2]: raw.pttl(key) for key in raw.scan_iter(f"{prefix}:{{*")}
                sessions = max(left["adk:shop:alice:s}:s"], left["adk:shop:alice:t}:s"])
                assert min(left["adk:shop}:s"], left["adk:shop:alice}:s"]) > sessions - 1000 > 590_000
            check_ttls(raw, prefix)


def test_killed_and_started_again(url: str, prefix: str) -> None:
    """kill -9 between two turns and in the middle of one: the next process goes on from what was stored, once."""
    with talking("adk", url, prefix) as talk:
        assert json.loads(talk.say("I am Alice.")) == ["I am Alice."]
        assert json.loads(talk.say("I like tea.")) == ["I am Alice.", "I like tea."]
    with talking("adk", url, prefix) as talk:
        assert talk.say("wait") == WAITING
    past = ["I am Alice.", "I like tea.", "wait"]
    with talking("adk", url, prefix) as talk:
        assert json.loads(talk.say("Who am I?")) == [*past, "Who am I?"]
        assert json.loads(talk.say("And what do I like?")) == [*past, "Who am I?", "And what do I like?"]
    with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory:
        messages = memory.history("adk:shop:alice:s").messages()
    said = [message.text for message in messages if message.type == "human"]
    assert said == [*past, "Who am I?", "And what do I like?"]
    assert len({message.id for message in messages}) == len(messages)


EMPTY = Session(id="none", **APP)


def address(url: str) -> tuple[str, int]:
    where = urlsplit(url)
    return str(where.hostname), int(where.port or 0)


def scans(raw: redis.Redis) -> list[Any]:
    stats: Any = raw.info("commandstats")
    return [stats.get(f"cmdstat_{name}", {}).get("calls") for name in ("scan", "keys")]


def traffic(raw: redis.Redis) -> int:
    stats: Any = raw.info("stats")
    return int(stats["total_net_input_bytes"])
