"""What chatmem returns, as FastAPI response models: an OpenAPI schema, and JSON that fits it, whatever is stored."""

from __future__ import annotations

import enum
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, is_dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Generic, TypeVar

import pydantic
import pytest
import redis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from jsonschema import Draft202012Validator
from langchain_core import messages as lc
from langchain_core.documents import Document
from pydantic import TypeAdapter

import chatmem
from chatmem.core.jsonable import jsonable
from tests import samples

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Starlette's TestClient

RESULTS = [
    one for one in (getattr(chatmem, name) for name in chatmem.__all__) if isinstance(one, type) and is_dataclass(one)
]
ERRORS = [one for one in vars(chatmem).values() if isinstance(one, type) and issubclass(one, chatmem.ChatMemError)]
Item = TypeVar("Item")


class Envelope(pydantic.BaseModel, Generic[Item]):
    """A model of one's own around a result."""

    data: Item


def entry(message: lc.BaseMessage | None, error: chatmem.CorruptRecordError | None = None) -> chatmem.Entry:
    name = message.id if message else None
    return chatmem.Entry(0, name, datetime(2026, 1, 1, tzinfo=UTC), message, error)


def answered(kind: Any, value: Any) -> Any:
    """Return what a client gets of an endpoint that says it returns this kind, once it fits the schema."""
    app = FastAPI()

    async def endpoint() -> Any:
        return value

    endpoint.__annotations__["return"] = kind
    app.get("/")(endpoint)
    app.get("/model", response_model=kind)(endpoint)
    with TestClient(app) as client:
        schema = client.get("/openapi.json").json()
        answer = client.get("/").raise_for_status()
        assert client.get("/model").content == answer.content
    shape = schema["paths"]["/"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    found = json.loads(answer.content, parse_constant=pytest.fail)
    Draft202012Validator({**shape, "components": schema.get("components")}).validate(found)
    return found


def test_they_are_all_here() -> None:
    names = {"Appended", "Edited", "Entry", "Match", "Page", "SessionInfo", "SessionPage"}
    assert {one.__name__ for one in RESULTS} >= names


AROUND: dict[str, Any] = {
    "alone": lambda kind: kind,
    "optional": lambda kind: kind | None,
    "list": lambda kind: list[kind],  # type: ignore[valid-type]
    "dict": lambda kind: dict[str, kind],  # type: ignore[valid-type]
    "model": lambda kind: Envelope[kind],  # type: ignore[valid-type]
}


@pytest.mark.parametrize("kind", RESULTS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("around", AROUND)
def test_each_has_a_schema(kind: Any, around: str) -> None:
    """Alone and inside what applications put around it, as a response and as a body."""
    app = FastAPI()

    async def endpoint(body: Any) -> Any: ...

    endpoint.__annotations__ |= {"return": AROUND[around](kind), "body": AROUND[around](kind)}
    app.post("/")(endpoint)
    assert "schemas" in app.openapi()["components"]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_errors(kind: type[chatmem.ChatMemError]) -> None:
    """Their names and texts, without the key; what was written is read back."""
    error = kind("it is so", session="s", key="chatmem:{s}:m")
    assert answered(list[kind], [error]) == [{"type": kind.__name__, "message": "it is so"}]  # type: ignore[valid-type]
    adapter = TypeAdapter(kind)
    read = adapter.validate_json(adapter.dump_json(error))
    assert (type(read), str(read)) == (kind, "it is so")
    assert adapter.validate_python(error) is error
    assert adapter.dump_python(error) is error


@pytest.mark.parametrize("name", samples.kinds())
def test_every_kind_of_message(name: str) -> None:
    """All fields of the message's own class, as pydantic dumps them, and no more."""
    message = samples.kinds()[name]
    found = answered(chatmem.Page, chatmem.Page([entry(message)], None))
    (shown,) = found["entries"]
    assert shown["message"] == jsonable(message.model_dump())
    assert shown["error"] is None
    if name not in ("bytes artifact", "lone surrogate", "NaN"):  # which JSON cannot carry
        assert shown["message"] == message.model_dump(mode="json")


def test_what_json_cannot_carry() -> None:
    """It is replaced, and costs no answer."""

    class Colour(enum.Enum):
        RED = ("\ud800", b"\xff")

    @dataclass
    class Point:
        x: float
        colour: Colour

    artifact = {
        "\ud800": float("nan"),
        (1, "\udfff"): [b"\xff", float("-inf"), 2**80, {3}],
        "objects": [Point(0.5, Colour.RED), Document("\ud800", metadata={"n": float("inf")}), PurePosixPath("a/b")],
        "error": LookupError("no such city"),
    }
    message = lc.ToolMessage("x", tool_call_id="1", artifact=artifact)
    found = answered(chatmem.Entry, entry(message))["message"]["artifact"]
    point, document, path = found.pop("objects")
    assert found == {"?": None, "[1, '?']": ["/w==", None, 2**80, [3]], "error": "no such city"}
    assert (point, path) == ({"x": 0.5, "colour": ["?", "/w=="]}, "a/b")
    assert (document["page_content"], document["metadata"]) == ("?", {"n": None})


@pytest.mark.parametrize("depth", [100, 400, 900])
def test_what_is_nested_deep(depth: int) -> None:
    value: Any = "end"
    for _ in range(depth):
        value = [value]
    found = answered(chatmem.Page, chatmem.Page([entry(lc.HumanMessage("x", additional_kwargs={"deep": value}))], None))
    deep = found["entries"][0]["message"]["additional_kwargs"]["deep"]
    while isinstance(deep, list):
        (deep,) = deep
    assert deep == ("end" if depth == 100 else "...")


def test_fields_that_a_class_keeps_to_itself() -> None:
    """What pydantic is told to leave out, or hides, is not sent."""

    class Secretive(lc.HumanMessage):
        token: str = pydantic.Field("t0ken", exclude=True)
        key: pydantic.SecretStr = pydantic.SecretStr("s3cret")

    found = answered(chatmem.Entry, entry(Secretive.model_validate({"content": "x"})))["message"]
    assert "token" not in found
    assert found["key"] == "**********"


def test_texts_that_utf_8_cannot_carry() -> None:
    """In ids, titles, users and metadata too; NaN in metadata."""
    metadata: dict[str, Any] = {"\ud800": ["\ud800", float("nan")]}
    info = chatmem.SessionInfo("s\ud800", 1, 1, None, None, 1.5, "u\ud800", "t\ud800", metadata)
    (found,) = answered(chatmem.SessionPage, chatmem.SessionPage([info], "next"))["sessions"]
    assert [found[name] for name in ("session_id", "user", "title", "metadata")] == [
        *("s?", "u?", "t?"),
        {"?": ["?", None]},
    ]
    match = chatmem.Match("s\ud800", entry(lc.HumanMessage("a\ud800", id="i\ud800")), "a\ud800", ((0, 1),), 1.0)
    (found,) = answered(list[chatmem.Match], [match])
    assert (found["session_id"], found["text"], found["entry"]["id"], found["spans"]) == ("s?", "a?", "i?", [[0, 1]])


@given(message=samples.messages)
def test_any_message(message: lc.BaseMessage) -> None:
    """Whatever a message holds, its JSON is UTF-8 and strict, and fits its schema."""
    written = ADAPTER.dump_json(entry(message))
    found = json.loads(written.decode(), parse_constant=pytest.fail)
    VALIDATOR.validate(found)
    assert found["message"]["type"] == message.type


ADAPTER = TypeAdapter(chatmem.Entry)
VALIDATOR = Draft202012Validator(ADAPTER.json_schema(mode="serialization"))


@pytest.mark.parametrize("name", samples.kinds())
def test_a_client_of_python_reads_it_back(name: str) -> None:
    """With the same class: the message's own, or that which it derives from."""
    message = samples.kinds()[name]
    page = chatmem.Page([entry(message), entry(None, chatmem.CorruptRecordError("it is cut short"))], 3)
    adapter = TypeAdapter(chatmem.Page)
    assert adapter.validate_python(page) == page
    read, damaged = adapter.validate_json(adapter.dump_json(page)).entries
    assert read.message is not None
    assert (read.message.type, read.id) == (message.type, message.id)
    if type(message) in (lc.HumanMessage, lc.AIMessage, lc.ToolMessage) and name not in (
        "bytes artifact",
        "lone surrogate",
        "NaN",
    ):
        assert read.message == message
    assert str(damaged.error) == "it is cut short"


def test_in_python_values_stay_as_they_are() -> None:
    message = samples.Custom(content="\ud800", mood="great", additional_kwargs={"b": b"\xff"})
    (found,) = TypeAdapter(chatmem.Page).dump_python(chatmem.Page([entry(message)], None))["entries"]
    assert found["message"] == message.model_dump()


class TestStored:
    """Through a server: a page with every kind, a record that was damaged, and what `response_model_*` leaves out."""

    @pytest.fixture
    def client(self, url: str, prefix: str) -> Iterator[TestClient]:
        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            async with chatmem.connect(url, prefix=prefix, ttl=60) as app.state.memory:
                history = app.state.memory.history("all", user="alice")
                await history.append(*samples.kinds().values())
                await history.update(title="bro\ud800ken", metadata={"\ud800": ["\ud800"]})
                yield

        app = FastAPI(lifespan=lifespan)

        @app.get("/page")
        async def page() -> chatmem.Page:
            return await app.state.memory.history("all").page(newest_first=False)  # type: ignore[no-any-return]

        @app.get("/short", response_model_exclude={"entries": {"__all__": {"message", "error"}}})
        async def short() -> chatmem.Page:
            return await app.state.memory.history("all").page(limit=1)  # type: ignore[no-any-return]

        @app.get("/search")
        async def search(query: str) -> list[chatmem.Match]:
            return await app.state.memory.search("alice", query)  # type: ignore[no-any-return]

        @app.get("/sessions")
        async def sessions() -> chatmem.SessionPage:
            return await app.state.memory.sessions("alice")  # type: ignore[no-any-return]

        with TestClient(app) as client:
            yield client

    def test_a_page_of_all_kinds(self, client: TestClient, url: str, prefix: str) -> None:
        expected = [jsonable(message) for message in samples.kinds().values()]
        with redis.Redis.from_url(url) as raw:
            raw.lset(f"{prefix}:{{all}}:m", 3, b"3:\x01junk")
        entries = client.get("/page").raise_for_status().json()["entries"]
        damaged = entries.pop(3)
        del expected[3]
        shown = [dict(one["message"], mood="great") if one["seq"] == 16 else one["message"] for one in entries]
        assert shown == expected
        assert damaged["message"] is None
        assert damaged["error"]["type"] == "CorruptRecordError"
        assert prefix not in damaged["error"]["message"]

    def test_lists_and_matches(self, client: TestClient) -> None:
        (session,) = client.get("/sessions").raise_for_status().json()["sessions"]
        assert (session["title"], session["metadata"]) == ("bro?ken", {"?": ["?"]})
        (match,) = client.get("/search", params={"query": "moderator OR hello"}).raise_for_status().json()
        assert match["entry"]["message"]["role"] == "moderator"

    def test_what_a_route_leaves_out(self, client: TestClient) -> None:
        (only,) = client.get("/short").raise_for_status().json()["entries"]
        assert sorted(only) == ["annotations", "created_at", "id", "seq", "siblings"]
