"""Every example of the README runs, and prints what stands below it."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient

import chatmem.sync
from tests.pages import DOCS, ROOT, blocks_of, run
from tests.servers import free_port

README = ROOT / "README.md"
BLOCKS = blocks_of(README)
PRINTING = [block for block in BLOCKS if block.output]
(BACK_END,) = [block.code for block in BLOCKS if block.title]
(WHOLE_BACK_END,) = [block.code for block in blocks_of(DOCS / "fastapi.md") if block.title == "main.py"]


@pytest.fixture
def server(url: str) -> str:
    """An empty database of its own, since the examples use the default prefix."""
    database = url.removesuffix("/0") + "/7"
    with redis.Redis.from_url(database) as raw:
        raw.flushdb()
    return database


def test_there_are_four() -> None:
    """All blocks are found in the text: three print something, and one is a file."""
    assert README.read_text().count("```python") == len(BLOCKS) == len(PRINTING) + 1 == 4


@pytest.mark.parametrize("block", PRINTING, ids=range(len(PRINTING)))
def test_an_example_prints_what_it_says(server: str, tmp_path: Path, block: types.SimpleNamespace) -> None:
    """Run as a script of its own, on an empty server, it prints the text below it."""
    done = run([sys.executable, "-c", block.code], tmp_path, server)
    assert (done.stdout, done.returncode) == (block.output, 0), done.stderr


@contextmanager
def back_end(url: str, code: str = WHOLE_BACK_END) -> Iterator[TestClient]:
    """A back end of the documentation on a server, and alice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHATMEM_URL", url)
        module = types.ModuleType("example")
        exec(code, module.__dict__)
        with TestClient(module.app, headers={"x-user": "alice"}, raise_server_exceptions=False) as client:
            yield client


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_readmes_back_end(server: str) -> None:
    """Its two routes; another user gets none of the chat."""
    with back_end(server, BACK_END) as client:
        assert client.post("/chats/a", params={"text": "Hi"}).json() == "You sent 1 messages."
        assert client.post("/chats/a", params={"text": "Again"}).json() == "You sent 3 messages."
        entries = client.get("/chats/a").json()["entries"]
        assert [(entry["seq"], entry["message"]["type"]) for entry in entries] == [
            (3, "ai"),
            (2, "human"),
            (1, "ai"),
            (0, "human"),
        ]
        assert client.get("/chats/a", headers={"x-user": "bob"}).status_code == 404


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestFastAPI:
    """The back end of docs/fastapi.md."""

    def test_its_routes(self, server: str) -> None:
        """Talk, list, page, rename, regenerate, delete; all of it has a TTL."""
        with back_end(server) as client:
            answer = client.post("/chats/a", params={"text": "Hi"}).json()
            assert answer == {"seq": 1, "text": "I was sent 1 messages."}
            answer = client.post("/chats/a", params={"text": "Again"}).json()
            assert answer == {"seq": 3, "text": "I was sent 3 messages."}
            client.post("/chats/b", params={"text": "Other"})
            client.patch("/chats/a", params={"title": "First"})
            listed = client.get("/chats").json()
            assert [(one["session_id"], one["title"], one["count"]) for one in listed["sessions"]] == [
                ("b", None, 2),
                ("a", "First", 4),
            ]
            again = client.post("/chats/a/regenerate", params={"after": 2}).json()
            assert again == {"seq": 4, "text": "I was sent 3 messages."}
            page = client.get("/chats/a").json()
            assert [(one["seq"], one["message"]["type"]) for one in page["entries"]] == [
                (4, "ai"),
                (2, "human"),
                (1, "ai"),
                (0, "human"),
            ]
            assert page["next"] is None
            assert page["entries"][0]["siblings"] == {"index": 1, "branches": [0, 1]}
            with redis.Redis.from_url(server) as raw:
                assert all(raw.ttl(key) > 89 * 86_400 for key in raw.scan_iter())
                client.delete("/chats/a")
                client.delete("/chats/b")
                assert list(raw.scan_iter()) == []

    def test_versions_and_ratings(self, server: str) -> None:
        """An edited question has the old one as its sibling, a switch is the way back, and pages have ratings."""
        with back_end(server) as client:
            for text in ("Hi", "Lima?"):
                client.post("/chats/a", params={"text": text})
            edited = client.post("/chats/a", params={"text": "Rome?", "after": 1}).json()
            assert edited == {"seq": 5, "text": "I was sent 3 messages."}
            assert client.put("/chats/a/messages/5/rating", params={"rating": "up"}).status_code == 200
            answer, question, *_ = client.get("/chats/a").json()["entries"]
            assert answer["annotations"] == {"rating": "up"}
            assert (question["message"]["content"], question["siblings"]["index"]) == ("Rome?", 1)
            client.put("/chats/a/branch", params={"branch": question["siblings"]["branches"][0]})
            shown = [one["message"]["content"] for one in client.get("/chats/a").json()["entries"]]
            assert shown == ["I was sent 3 messages.", "Lima?", "I was sent 1 messages.", "Hi"]
            client.post("/chats/a", params={"text": "Hello", "after": -1})
            assert len(client.get("/chats/a").json()["entries"]) == 2
            client.put("/chats/a/messages/5/rating")
            client.put("/chats/a/branch", params={"branch": 1})
            assert not client.get("/chats/a").json()["entries"][0]["annotations"]
            for path in ("branch?branch=99", "messages/99/rating?rating=up"):
                assert client.put(f"/chats/a/{path}").status_code == 404

    @pytest.mark.parametrize("owner", ["alice", None])
    def test_what_is_anothers_or_nobodys(self, server: str, owner: str | None) -> None:
        """Each route says 404 and tells nothing; the session is as it was, and still its owner's."""
        with chatmem.sync.connect(server, ttl=600) as memory, back_end(server) as client:
            memory.history("a", user=owner).append("Secret plans", ("ai", "Noted"))
            before = memory.history("a").info()
            calls: list[tuple[str, str, dict[str, str | int]]] = [
                ("GET", "/chats/a", {}),
                ("GET", "/chats/a", {"before": 1}),
                ("POST", "/chats/a", {"text": "x"}),
                ("POST", "/chats/a", {"text": "x", "after": 0}),
                ("POST", "/chats/a/regenerate", {"after": 0}),
                ("PUT", "/chats/a/branch", {"branch": 0}),
                ("PUT", "/chats/a/messages/0/rating", {"rating": "up"}),
                ("PATCH", "/chats/a", {"title": "x"}),
                ("DELETE", "/chats/a", {}),
            ]
            for method, path, query in calls:
                answer = client.request(method, path, params=query, headers={"x-user": "bob"})
                assert (answer.status_code, answer.json()) == (404, {"detail": "NotFoundError"}), (method, path)
            assert client.get("/chats", headers={"x-user": "bob"}).json() == {"sessions": [], "next": None}
            after = memory.history("a").info()
            assert (after.version, after.count, after.user, after.title) == (before.version, 2, owner, None)

    def test_damaged_records(self, server: str) -> None:
        """The page has all the others, and says which cannot be read; the chat goes on."""
        with back_end(server) as client, redis.Redis.from_url(server) as raw:
            client.post("/chats/a", params={"text": "Hi"})
            for index in (0, 1):
                raw.lset("chatmem:{a}:m", index, b"%d:junk" % index)
            entries = client.get("/chats/a").raise_for_status().json()["entries"]
            assert [(one["seq"], one["error"]["type"]) for one in entries] == [
                (1, "CorruptRecordError"),
                (0, "CorruptRecordError"),
            ]
            assert client.post("/chats/a/regenerate", params={"after": 0}).status_code == 200
            assert client.post("/chats/a", params={"text": "Hi"}).status_code == 200

    def test_text_that_utf_8_cannot_carry(self, server: str) -> None:
        with chatmem.sync.connect(server, ttl=600) as memory, back_end(server) as client:
            memory.history("a", user="alice").append("\ud800")
            memory.history("a", user="alice").update(title="\ud800", metadata={"\ud800": 1})
            assert client.get("/chats/a").json()["entries"][0]["message"]["content"] == "?"
            assert client.get("/chats").json()["sessions"][0]["title"] == "?"

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            *(("GET", f"/chats?before={cursor}") for cursor in ("zzz", "%00", "%FF", "MTo=", "e30=", "1", "")),
            *(("GET", f"/chats/a?before={cursor}") for cursor in ("zzz", "-1", "1.5", "", "nan", "9" * 5000)),
            *(("POST", f"/chats/a/regenerate?after={cursor}") for cursor in ("zzz", "-1", "1e400")),
            *(("PUT", f"/chats/a/branch?branch={branch}") for branch in ("zzz", "-1", "")),
            *(("PUT", f"/chats/a/messages/0/rating?rating={rating}") for rating in ("", "1")),
            *(("POST", "/chats/a"), ("POST", "/chats/a?text=x&after=-2"), ("PATCH", "/chats/a")),
        ],
    )
    def test_wrong_arguments(self, server: str, method: str, path: str) -> None:
        with back_end(server) as client:
            answer = client.request(method, path)
            assert answer.status_code in ((200, 422) if path.endswith("=MTo=") else (422,))
            assert answer.status_code == 200 or answer.json()["detail"]

    def test_without_a_user(self, server: str) -> None:
        with back_end(server) as client:
            assert client.get("/chats/a", headers={"x-user": ""}).status_code == 422

    def test_without_a_server(self) -> None:
        """503, and when to try again."""
        with back_end(f"redis://127.0.0.1:{free_port()}") as client:
            for method, path in (
                ("GET", "/chats"),
                ("GET", "/chats/a"),
                ("POST", "/chats/a?text=x"),
                ("DELETE", "/chats/a"),
            ):
                answer = client.request(method, path)
                assert (answer.status_code, answer.json()) == (503, {"detail": "UnavailableError"})
                assert int(answer.headers["retry-after"]) > 0

    def test_its_schema(self, server: str) -> None:
        with back_end(server) as client:
            schemas = client.get("/openapi.json").json()["components"]["schemas"]
            assert {"Page", "Entry", "SessionPage", "SessionInfo"} <= set(schemas)


def test_ci_calls_the_readmes_test_command() -> None:
    """What CI runs is what the README tells a user to run."""
    (command,) = re.findall(r"^pip install -e .+$", README.read_text(), re.MULTILINE)
    assert command.replace("pip install", "pip install -q") in (ROOT / ".ci" / "run").read_text()


def test_the_first_lines() -> None:
    """The README opens with what it is, an example with its output, and what it does not do."""
    lines = README.read_text().splitlines()
    assert "```text" in lines[:30]
    assert any("It does not" in line for line in lines[:32])
    assert len(lines) <= 150
