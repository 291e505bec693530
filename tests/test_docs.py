"""Every Python block of the documentation runs and prints what stands below it; see `pages`."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient
from typer.main import get_command

import chatmem.sync
from chatmem.cli.app import app
from tests.pages import DOCS, ROOT, blocks_of, run, run_program, write_files

PAGES = {str(page.relative_to(DOCS)): page for page in sorted(DOCS.rglob("*.md"))}
TEXTS = {**{name: page.read_text() for name, page in PAGES.items()}, "README.md": (ROOT / "README.md").read_text()}
PROGRAMS = [name for name, page in PAGES.items() if any(not block.title for block in blocks_of(page))]
FILES = [name for name, page in PAGES.items() if any(block.title for block in blocks_of(page))]
BESIDE = {"testing.md": "fastapi.md"}
"""Pages whose files are to lie beside those of another page."""
TESTED = {"backend.py", "main.py", "streaming.py", "agent_app.py", "serve.py", "offline_model.py"}
"""Files of docs/fastapi.md that tests of the repository run: here, and in `test_readme`."""
_COMMAND = r"^(?:\$ |.*&& )?chatmem ([a-z]+)\b([^\n|]*)"
AGENTS = [
    "agent-framework.md",
    "chatkit.md",
    "claude-agents.md",
    "google-adk.md",
    "langchain.md",
    "langgraph.md",
    "llama-index.md",
    "openai-agents.md",
    "pydantic-ai.md",
]
NEEDED = {
    "claude-agents.md": "claude_agent_sdk",
    "google-adk.md": "google.adk",
    "llama-index.md": "llama_index",
    "pydantic-ai.md": "pydantic_ai.conversation_store",
}
"""Pages whose examples need a large package that only `nox -s adapters` installs, or a later one than the lowest."""


@pytest.fixture
def server(url: str) -> str:
    """An empty database, since the examples use the default prefix."""
    database = url.removesuffix("/0") + "/7"
    with redis.Redis.from_url(database) as raw:
        raw.flushdb()
    return database


def skip_without_package(name: str) -> None:
    """Skip a test of a page whose package is not installed."""
    if name in NEEDED:
        pytest.importorskip(NEEDED[name], reason=f"it needs {NEEDED[name]}: nox -s adapters")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_page_is_one_program(server: str, tmp_path: Path, name: str) -> None:
    """The blocks without a title, one after another: no error, and the output is the one that the page shows."""
    expected = [block.output for block in blocks_of(PAGES[name]) if not block.title]
    printed = run_program(PAGES[name], tmp_path, server)
    assert len(printed) == len(expected)
    for block, output in zip(expected, printed, strict=True):
        assert output == (block or ""), name


@pytest.mark.parametrize("name", FILES)
def test_the_files_of_a_page(server: str, tmp_path: Path, name: str) -> None:
    """Each file prints what the page shows, or is used by the page's tests, which pass."""
    skip_without_package(name)
    files = write_files(PAGES[name], tmp_path)
    if name in BESIDE:
        write_files(PAGES[BESIDE[name]], tmp_path)
    for block in files:
        if block.output:
            done = run([sys.executable, str(block.title)], tmp_path, server)
            assert (done.stdout, done.returncode) == (block.output, 0), done.stderr
    tests = [block for block in files if str(block.title).startswith("test_")]
    if tests:
        done = run(
            [sys.executable, "-m", "pytest", "-q", "-p", "pytest_chatmem", "-p", "no:cacheprovider", "."],
            tmp_path,
            server,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert {str(block.title) for block in files if not block.output and block not in tests} <= TESTED


@pytest.mark.parametrize("module", ["streaming", "serve"])
def test_the_applications_of_the_page_on_fastapi(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """A question is answered, streamed or by an agent, and both are stored."""
    write_files(DOCS / "fastapi.md", tmp_path)
    monkeypatch.setenv("CHATMEM_URL", server)
    monkeypatch.syspath_prepend(tmp_path)
    application = importlib.import_module(module).app
    with TestClient(application, headers={"x-user": "alice"}) as client:
        chat, route = "a", "/chats/a"
        if module == "serve":
            chat = client.post("/chats", params={"title": "A"}).json()["session_id"]
            route = f"/chats/{chat}/stream"
        answer = client.post(route, params={"text": "Hi"})
    assert answer.text == {"streaming": "Lima is foggy today.", "serve": "Hello!"}[module]
    with chatmem.sync.connect(server) as memory:
        messages = memory.history(chat, user="alice").messages()
        assert [message.text for message in messages] == ["Hi", answer.text]


def test_the_back_end_in_one_line(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chat begins, its answer is followed to its end, and both are stored."""
    write_files(DOCS / "fastapi.md", tmp_path)
    monkeypatch.setenv("CHATMEM_URL", server)
    monkeypatch.syspath_prepend(tmp_path)
    with TestClient(importlib.import_module("backend").app, headers={"x-user": "alice"}) as client:
        begun = client.post("/api/chats", json={"text": "Hi"}).json()
        followed = client.get(f"/api/chats/{begun['session_id']}/answers/{begun['answer']}")
        assert '"status":"complete"' in followed.text
        entries = client.get(f"/api/chats/{begun['session_id']}/messages").json()["entries"]
    assert [entry["message"]["content"] for entry in entries] == ["Lima is foggy today.", "Hi"]


@pytest.mark.parametrize("name", AGENTS)
def test_the_pages_on_agents(server: str, tmp_path: Path, name: str) -> None:
    """Each script of such a page, run once more, goes on with the same conversation."""
    skip_without_package(name)
    blocks = [block for block in write_files(PAGES[name], tmp_path) if block.output]
    assert blocks
    for block in blocks:
        command = [sys.executable, str(block.title)]
        first, again = run(command, tmp_path, server), run(command, tmp_path, server)
        assert (first.returncode, again.returncode) == (0, 0), again.stderr
        assert first.stdout == block.output != again.stdout


def test_every_block_of_code_has_a_language() -> None:
    """So that none is left out here; and Python comes in no other spelling."""
    for name, text in TEXTS.items():
        kinds = re.findall(r"^ *```(.*)$", text, re.MULTILINE)[::2]
        known = {"python", "sh", "console", "text", "lua", "js"}
        assert {kind.split()[0] if kind else "" for kind in kinds} <= known, name


def test_commands_and_options_exist() -> None:
    """Each `chatmem COMMAND --option` in a block for the shell."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    found = 0
    for name, text in TEXTS.items():
        for block in re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            for command, rest in re.findall(_COMMAND, block, re.MULTILINE):
                assert command in commands, (name, command)
                known = {option for parameter in commands[command].params for option in parameter.opts}
                assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= known | {"--help"}, (name, command, rest)
                found += 1
    assert found > 10


def test_what_pip_installs() -> None:
    """On PyPI `chatmem` is somebody else's package: no page installs that."""
    for name, text in TEXTS.items():
        assert not re.search(r"pip install [^\n`]*\bchatmem(?![-\w])(?!\s+(demo|chat)\b)", text), name


def test_links_outside_of_the_site() -> None:
    """Files and headings that the pages beside docs/ link to exist; MkDocs checks those inside."""
    for page in (
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "benchmarks/README.md",
        "examples/fastapi_chat/README.md",
    ):
        text = (ROOT / page).read_text()
        links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", text)
        for path, anchor in ((path, anchor) for path, anchor in links if "://" not in path):
            file = (ROOT / page).parent / path if path else ROOT / page
            assert file.exists(), (page, path)
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE) if anchor else []
            slugs = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert not anchor or anchor in slugs, (page, path, anchor)


def test_files_that_pages_name_exist() -> None:
    """Modules and tests of the repository, which move."""
    for page in (*PAGES.values(), *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY"))):
        for path in re.findall(r"\b(?:chatmem|tests|docs|benchmarks|examples)/[\w/-]+\.\w+", page.read_text()):
            assert (ROOT / path).exists(), (page.name, path)
