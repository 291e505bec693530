"""`chatmem.fastapi.router`: other users' chats, each error, and whether the OpenAPI says what is answered."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI, Request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from langchain_core.messages import AIMessage

import chatmem
from chatmem.fastapi import router
from tests.chat_client import ChatClient
from tests.conftest import client_of
from tests.fastapi_site import NO_CHAT, Site, echo, endless, opened, user_of
from tests.servers import free_port


@pytest.fixture
async def site(url: str, prefix: str) -> AsyncIterator[Site]:
    async with opened(url, prefix) as site:
        yield site


@pytest.fixture
async def alice(site: Site) -> ChatClient:
    return await site.client()


EVERY = [
    ("GET", "", None),
    ("PATCH", "", {"title": "x"}),
    ("DELETE", "", None),
    ("GET", "/messages", None),
    ("POST", "/messages", {"text": "x"}),
    ("POST", "/messages", {"text": "x", "after": -1, "id": str(uuid.uuid4())}),
    ("POST", "/regenerate", {"after": 0}),
    ("GET", "/branches", None),
    ("PUT", "/branch", {"branch": 0}),
    ("PUT", "/messages/0/annotations", {"rating": "up"}),
    ("GET", "/search?q=secret", None),
    ("GET", "/changes", None),
    ("GET", "/answers/{answer}", None),
    ("POST", "/answers/{answer}/stop", None),
]
"""All that can be done with a chat."""


class TestOthers:
    @pytest.mark.parametrize(("method", "end", "body"), EVERY)
    async def test_anothers_chat(self, site: Site, method: str, end: str, body: Any) -> None:
        """It is a 404 with the same words as one that never was, and nothing has changed."""
        alice = await site.client(endless)
        begun = await alice.new("Secret plans")
        chat, path = begun["session_id"], end.format(**begun)
        seen = await alice.json("GET", f"/chats/{chat}"), await alice.page(chat)
        bob = await site.client(user="bob")
        for session in (chat, str(uuid.uuid4())):
            answer = await bob.http.request(method, f"/chats/{session}{path}", json=body)
            assert (answer.status_code, answer.json()) == (404, NO_CHAT)
        now = await alice.json("GET", f"/chats/{chat}"), await alice.page(chat)
        assert now[0] | {"ttl": 0} == seen[0] | {"ttl": 0}
        assert now[1] == seen[1]
        assert await bob.titles() == []
        assert await bob.json("GET", "/search", params={"q": "secret"}) == []

    @pytest.mark.parametrize(("method", "end", "body"), EVERY)
    async def test_nobodys_session(self, site: Site, alice: ChatClient, method: str, end: str, body: Any) -> None:
        """A session without a user is nobody's to read, and nobody's to take."""
        session = str(uuid.uuid4())
        await site.memory.history(session).append("Secret plans", AIMessage("x", id="1"))
        path = end.format(answer="1")
        answer = await alice.http.request(method, f"/chats/{session}{path}", json=body)
        assert (answer.status_code, answer.json()) == (404, NO_CHAT)
        info = await site.memory.history(session).info()
        assert (info.count, info.version, info.user, info.title) == (2, 1, None, None)

    async def test_nobody(self, site: Site) -> None:
        """What the application's dependency says."""
        client = await site.client(user=None)
        for path in ("/chats", "/search?q=x", "/chats/x", "/changes"):
            answer = await client.http.get(path)
            assert (answer.status_code, answer.json()) == (401, {"detail": "Who are you?"})
        assert (await client.http.post("/chats", json={"text": "x"})).status_code == 401

    async def test_a_memory_that_is_none(self) -> None:
        app = FastAPI()
        app.include_router(router(lambda: None, user=user_of, model=echo))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://site") as http:
            with pytest.raises(ValueError, match="memory= must return a ChatMemory"):
                await http.get("/chats/x", headers={"x-user": "alice"})

    @pytest.mark.parametrize("name", [None, "", 7])
    async def test_a_user_that_is_none(self, site: Site, name: Any) -> None:
        """An application that names nobody by mistake opens no chat: that would be everybody's."""
        app = FastAPI()
        app.include_router(router(site.memory, user=lambda: name, model=echo))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://site") as http:
            with pytest.raises(ValueError, match="user= must return a non-empty string"):
                await http.get("/chats/x")


class TestErrors:
    async def test_when_redis_is_down(self) -> None:
        """503 with Retry-After, whatever is asked; the text names no address."""
        port = free_port()
        async with opened(f"redis://127.0.0.1:{port}", "x") as down:
            client = await down.client()
            for method, path, body in (
                ("GET", "/chats", None),
                ("GET", "/search?q=x", None),
                ("POST", "/chats", {"text": "x"}),
                *((method, f"/chats/x{end.format(answer=1)}", body) for method, end, body in EVERY),
            ):
                answer = await client.http.request(method, path, json=body)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                assert answer.json()["error"] == "UnavailableError"
                assert str(port) not in answer.text

    @pytest.mark.parametrize(("gone", "status"), [("m", 500), ("s", 200)])
    async def test_a_torn_chat(self, alice: ChatClient, url: str, prefix: str, gone: str, status: int) -> None:
        """500 with a text if it cannot be repaired. It can be deleted, and then nothing is left."""
        chat = await alice.started()
        with client_of(url) as raw:
            assert raw.delete(f"{prefix}:{{{chat}}}:{gone}") == 1
            for end in ("", "/messages"):
                answer = await alice.http.get(f"/chats/{chat}{end}")
                assert answer.status_code == status
                assert answer.json().get("error") == ("TornSessionError" if status == 500 else None)
            assert (await alice.http.delete(f"/chats/{chat}")).status_code == 204
            assert raw.keys(f"{prefix}:*{chat}*") == []

    async def test_what_cannot_be_read(self, alice: ChatClient, url: str, prefix: str) -> None:
        """A record that is damaged costs that record alone."""
        chat = await alice.started()
        with client_of(url) as raw:
            element: Any = raw.lindex(f"{prefix}:{{{chat}}}:m", 0)
            raw.lset(f"{prefix}:{{{chat}}}:m", 0, element[:-3])
        entries = (await alice.page(chat))["entries"]
        assert [one["error"] and one["error"]["type"] for one in entries] == [None, "CorruptRecordError"]

    async def test_what_is_too_large(self, url: str, prefix: str) -> None:
        """A text, a message for the memory's own limit, a body; nothing is stored."""
        async with opened(url, prefix, max_message_bytes=1000) as small:
            client = await small.client()
            for text, status in (("x" * 100_001, 422), ("x" * 2000, 413), ("x" * 4_000_000, 413)):
                answer = await client.http.post("/chats", json={"text": text})
                assert answer.status_code == status
                assert set(answer.json()) == {"detail", "error", "answer"}
            assert await client.titles() == []

    @pytest.mark.parametrize(
        "body",
        [
            *("", "{", "[]", "null", '{"text": ""}', '{"text": " \\n "}', '{"text": NaN}', '{"text": "\\ud800"}'),
            *('{"text": "x", "more": 1}', '{"text": "x", "id": "1"}', '{"text": "x", "title": ""}'),
        ],
    )
    async def test_malformed_bodies(self, alice: ChatClient, body: str) -> None:
        """422, in words."""
        answer = await alice.http.post("/chats", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["error"]) == (422, "RequestValidationError")
        assert "body" in answer.json()["detail"]
        assert await alice.titles() == []

    @pytest.mark.parametrize(
        "body",
        [
            *(b'{"text": "\xff"}', b"\xfe", '{"text": "x"}'.encode("utf-16")[1:], b"[" * 100_000, b"9" * 5_000),
            *(b'{"text": ' + b'{"a":' * 100_000, b"\x00", b"\x1f\x8b\x08\x00"),
        ],
        ids=range(8),
    )
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            *(("POST", "/chats"), ("PATCH", "/chats/{}"), ("POST", "/chats/{}/messages"), ("PUT", "/chats/{}/branch")),
            *(("PUT", "/chats/{}/messages/0/annotations"), ("POST", "/ai-sdk/chat"), ("POST", "/ag-ui")),
        ],
    )
    async def test_bodies_that_are_no_json(self, alice: ChatClient, method: str, path: str, body: bytes) -> None:
        """Bytes that are no text, numbers and brackets without end: the same 422, in any content type."""
        path = path.format(await alice.started())
        for kind in ("application/json", "application/merge-patch+json", "text/plain", "multipart/form-data", None):
            headers = {} if kind is None else {"content-type": kind}
            answer = await alice.http.request(method, path, content=body, headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (422, "RequestValidationError"), answer.text
            assert "body" in answer.json()["detail"]

    @pytest.mark.parametrize(
        "path",
        [
            *("/chats?before=junk", "/chats?limit=0", "/chats?limit=101", "/chats?order=x", "/search?q=", "/search"),
            *("/search?q=%21", "/chats/{}/messages?before=-1", "/chats/{}/messages?before=1&after=1"),
            *("/chats/{}/changes?after=-1", "/changes?after=junk"),
        ],
    )
    async def test_malformed_queries(self, alice: ChatClient, path: str) -> None:
        answer = await alice.http.get(path.format(await alice.started()))
        assert (answer.status_code, answer.json()["error"]) == (422, "RequestValidationError")

    async def test_an_application_with_handlers_of_its_own(self, site: Site) -> None:
        """They are not asked: what the router answers is what its OpenAPI says."""
        app = FastAPI()

        @app.exception_handler(chatmem.ChatMemError)
        @app.exception_handler(422)
        def handle(request: Request, error: Exception) -> None:
            raise AssertionError

        app.include_router(router(site.memory, user=user_of, model=echo), prefix="/api")
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://site/api") as http:
            headers = {"x-user": "alice"}
            assert (await http.get("/chats/x", headers=headers)).json() == NO_CHAT
            assert (await http.get("/chats?limit=0", headers=headers)).status_code == 422


def schema_of_site() -> Any:
    """Return the OpenAPI of an application with the router."""
    app = FastAPI()
    app.include_router(router(chatmem.connect("redis://localhost"), user=user_of, model=echo))
    return app.openapi()


OPENAPI = schema_of_site()
OPERATIONS = [(path, method) for path, item in OPENAPI["paths"].items() for method in item]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def problems_of(path: str, method: str) -> dict[str, Any]:
    responses: dict[str, Any] = OPENAPI["paths"][path][method]["responses"]
    return {status: one for status, one in responses.items() if int(status) >= 400}


class TestOpenAPI:
    @pytest.mark.parametrize(("path", "method"), OPERATIONS)
    def test_errors(self, path: str, method: str) -> None:
        """Each route names all that it may answer, and in which shape."""
        problems = problems_of(path, method)
        assert set(problems) == {"404", "409", "413", "422", "500", "503"}
        shapes = [one["content"]["application/json"]["schema"] for one in problems.values()]
        assert shapes == [{"$ref": "#/components/schemas/ChatProblem"}] * 6

    def test_results(self) -> None:
        """chatmem's own types."""
        found = {}
        for path, method in OPERATIONS:
            for status, one in OPENAPI["paths"][path][method]["responses"].items():
                if int(status) < 400 and "content" in one:
                    (content,) = one["content"].values()
                    kind = content.get("schema", {})
                    found[method, path] = kind.get("$ref", kind.get("items", {}).get("$ref", "")).rpartition("/")[2]
        assert {kind for kind in found.values() if kind} >= {
            *("Begun", "Branch", "Change", "Chunk", "Match", "Page", "SessionChange", "SessionInfo", "SessionPage"),
            *("Stopped", "Switched"),
        }
        assert found["get", "/chats/{session_id}/messages"] == "Page"
        assert found["get", "/chats/{session_id}/answers/{answer}"] == "Chunk"

    @settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
    @given(data=st.data())
    async def test_whatever_is_sent(self, fuzzed: Fuzzed, data: st.DataObject) -> None:
        """Each answer has a status that the schema names, and its shape."""
        path, method = data.draw(st.sampled_from([one for one in OPERATIONS if not one[0].endswith("changes")]))
        operation = OPENAPI["paths"][path][method]
        known = {"session_id": fuzzed.chat, "answer": fuzzed.answer, "seq": "1"}
        queries: dict[str, str] = {}
        for one in operation.get("parameters", []):
            junk = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8) | st.integers().map(str)
            value = data.draw(junk | st.just(known.get(one["name"], "1")))
            if one["in"] == "path":
                path = path.replace(f"{{{one['name']}}}", quote(value, safe=""))
            elif one["in"] == "query" and (one["required"] or data.draw(st.booleans())):
                queries[one["name"]] = value
        body = None
        if "requestBody" in operation:
            body = data.draw(bodies_of(operation["requestBody"]["content"]["application/json"]["schema"]) | JSON)
        answer = await fuzzed.client.http.request(
            method,
            path,
            params=queries,
            content=None if body is None else json.dumps(body),
            headers={"content-type": "application/json"},
        )
        if answer.status_code in (307, 404, 405) and "error" not in answer.text:  # another path, such as an empty one
            return
        assert str(answer.status_code) in operation["responses"], answer.text
        content = operation["responses"].get(str(answer.status_code), {}).get("content", {})
        if "application/json" in content:
            shape = content["application/json"]["schema"]
            found = json.loads(answer.content, parse_constant=pytest.fail)
            Draft202012Validator({**shape, "components": OPENAPI["components"]}).validate(found)


class Fuzzed:
    """A chat of a user, for requests that make little sense."""

    def __init__(self, client: ChatClient, begun: Any) -> None:
        self.client = client
        self.chat, self.answer = begun["session_id"], begun["answer"]


@pytest.fixture
async def fuzzed(alice: ChatClient) -> Fuzzed:
    begun = await alice.new()
    await alice.end(begun)
    return Fuzzed(alice, begun)


def bodies_of(schema: Any) -> st.SearchStrategy[Any]:
    """Return objects with the properties of a schema, some of them with values that fit."""
    while "$ref" in schema:
        schema = OPENAPI["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    fitting = st.sampled_from(["Hi", str(uuid.uuid4()), 0, 1, -1, True, None, ["a"], {"a": 1}, {"a": None}])
    return st.fixed_dictionaries({}, optional=dict.fromkeys(schema.get("properties", ["rating"]), fitting | JSON))
