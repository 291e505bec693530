"""Every example of the README runs, and prints what stands below it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
SECTIONS = dict(section.split("\n", 1) for section in ("Top\n" + README).split("\n## "))
BLOCK = re.compile(r"```python\n(.+?)```(?:\n```text\n(.+?)```)?", re.DOTALL)
EXAMPLES = {title: found.groups() for title, text in SECTIONS.items() if (found := BLOCK.search(text))}
PRINTING = [title for title, (_, output) in EXAMPLES.items() if output]


@pytest.fixture
def server(url: str) -> str:
    """An empty database of its own, since the examples use the default prefix."""
    database = url.removesuffix("/0") + "/7"
    with redis.Redis.from_url(database) as raw:
        raw.flushdb()
    return database


def test_there_are_four() -> None:
    """The list of examples is found in the text."""
    assert list(EXAMPLES) == ["Top", "In FastAPI", "In an async LangChain runnable", "In a script"]


@pytest.mark.parametrize("title", PRINTING)
def test_an_example_prints_what_it_says(server: str, title: str) -> None:
    """Run as a script of its own, on an empty server, it prints the text below it."""
    code, output = EXAMPLES[title]
    environment = {**os.environ, "CHATMEM_URL": server}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (output, 0), done.stderr


@pytest.mark.parametrize("page", ["langchain", "langgraph", "openai-agents", "pydantic-ai"])
def test_the_pages_on_agents(server: str, page: str) -> None:
    """The example of each prints what stands below it, and once more goes on with the same conversation."""
    ((code, output),) = BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text())
    environment = {**os.environ, "CHATMEM_URL": server}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (output, 0), done.stderr
    again = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert again.stdout != output


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_fastapi_example(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Talk, list, page, rename, regenerate, delete; nobody sees another's chat, and all of it has a TTL."""
    monkeypatch.setenv("CHATMEM_URL", server)
    module = types.ModuleType("example")
    exec(EXAMPLES["In FastAPI"][0], module.__dict__)
    with TestClient(module.app, headers={"x-user": "alice"}) as client:
        assert client.post("/chats/a", params={"text": "Hi"}).json()["text"] == "You said 'Hi'; I see 1 messages."
        assert client.post("/chats/a", params={"text": "Again"}).json() == {
            "seq": 3,
            "text": "You said 'Again'; I see 3 messages.",
        }
        client.post("/chats/b", params={"text": "Other"})
        client.patch("/chats/a", params={"title": "First"})
        listed = client.get("/chats").json()
        assert [(one["session_id"], one["title"], one["count"]) for one in listed["sessions"]] == [
            ("b", None, 2),
            ("a", "First", 4),
        ]
        again = client.post("/chats/a/regenerate", params={"after": 2}).json()
        assert again == {"seq": 4, "text": "You said 'Again'; I see 3 messages."}
        page = client.get("/chats/a").json()
        assert [(seq, kind) for seq, kind, _ in page["messages"]] == [(4, "ai"), (2, "human"), (1, "ai"), (0, "human")]
        stranger = {"x-user": "bob"}
        assert client.get("/chats/a", headers=stranger).status_code == 404
        assert client.post("/chats/a", params={"text": "x"}, headers=stranger).status_code == 404
        assert client.get("/chats", headers=stranger).json() == {"sessions": [], "next": None}
        with redis.Redis.from_url(server) as raw:
            assert all(raw.ttl(key) > 89 * 86_400 for key in raw.scan_iter())
            client.delete("/chats/a")
            client.delete("/chats/b")
            assert list(raw.scan_iter()) == []


def test_the_page_on_conversations(server: str) -> None:
    """Its examples are one program, whose assertions hold."""
    text = (ROOT / "docs" / "conversations.md").read_text()
    program = "\n".join(re.findall(r"```python\n(.+?)```", text, re.DOTALL))
    environment = {**os.environ, "CHATMEM_URL": server}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "block", re.findall(r"```python\n(.+?)```", (ROOT / "docs" / "fastapi.md").read_text(), re.DOTALL)
)
def test_the_page_on_fastapi(block: str) -> None:
    """What it quotes is in the example, which has tests of its own."""
    assert any(block in file.read_text() for file in (ROOT / "examples" / "fastapi_chat").glob("*.py"))


def test_ci_calls_the_readmes_test_command() -> None:
    """What CI runs is what the README tells a user to run."""
    (command,) = re.findall(r"^pip install -e .+$", README, re.MULTILINE)
    assert command.replace("pip install", "pip install -q") in (ROOT / ".ci" / "run").read_text()


def test_the_first_lines() -> None:
    """The README opens with what it is, an example with its output, and what it does not do."""
    head = README.splitlines()[:30]
    assert "```text" in head
    assert any(line.startswith("What it does not do") for line in head)
    assert len(README.splitlines()) <= 190
