"""Every example of the README runs, and prints what stands below it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_fastapi_example(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The application remembers what was said, and its sessions have a TTL."""
    monkeypatch.setenv("CHATMEM_URL", server)
    names: dict[str, object] = {}
    exec(EXAMPLES["In FastAPI"][0], names)
    with TestClient(names["app"]) as client:  # type: ignore[arg-type]
        answers = [client.post("/chat/alice", params={"text": text}).json()["answer"] for text in ("Hi", "Again")]
    assert answers == ["You said 'Hi', after 0 messages.", "You said 'Again', after 2 messages."]
    with redis.Redis.from_url(server) as raw:
        assert all(raw.ttl(key) > 6 * 86_400 for key in raw.scan_iter())


def test_ci_calls_the_readmes_test_command() -> None:
    """What CI runs is what the README tells a user to run."""
    (command,) = re.findall(r"^pip install -e .+$", README, re.MULTILINE)
    assert command.replace("pip install", "pip install -q") in (ROOT / ".ci" / "run").read_text()


def test_the_first_lines() -> None:
    """The README opens with what it is, an example with its output, and what it does not do."""
    head = README.splitlines()[:30]
    assert "```text" in head
    assert any(line.startswith("What it does not do") for line in head)
    assert len(README.splitlines()) <= 150
