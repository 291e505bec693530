"""The command line, in this process and as a program, against a real server."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from langchain_core import messages as lc
from typer.testing import CliRunner

import chatmem.sync
from chatmem.cli import chat as chat_module
from chatmem.cli.app import app
from chatmem.cli.offline import OfflineModel, reply
from chatmem.keys import session_keys
from tests import samples
from tests.servers import free_port


@pytest.fixture
def server(url: str) -> Iterator[str]:
    """An empty database of its own, since the command line uses the default prefix."""
    database = url.removesuffix("/0") + "/8"
    yield database
    with redis.Redis.from_url(database) as raw:
        raw.flushdb()


@pytest.fixture
def memory(server: str) -> Iterator[chatmem.sync.ChatMemory]:
    with chatmem.sync.connect(server) as memory:
        yield memory


Run = Callable[..., Any]


@pytest.fixture
def run(server: str) -> Run:
    """Runs a command on the server, in this process."""

    def call(*arguments: str, text: str | None = None) -> Any:
        return CliRunner().invoke(app, arguments, input=text, env={"CHATMEM_URL": server, "COLUMNS": "200"})

    return call


def program(*arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `chatmem` as a program of its own."""
    command = [sys.executable, "-m", "chatmem.cli", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, env={**os.environ, **environment})


class TestChat:
    def test_it_remembers_across_runs(self, server: str) -> None:
        """Two programs, one after the other, are one conversation."""
        first = program("chat", "demo", text="Hi, my name is Alice\n", CHATMEM_URL=server)
        assert (first.returncode, first.stderr) == (0, "")
        second = program("chat", "demo", text="What's my name?\n", CHATMEM_URL=server)
        assert (second.stdout, second.returncode) == ("Your name is Alice.\n", 0)

    def test_on_the_embedded_server(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        """The README's first command: no server, no URL, and the history is there at the next run."""
        from tests.test_embedded import short_folder

        with short_folder() as folder:
            environment = {"XDG_DATA_HOME": str(folder), "HOME": str(folder)}
            program("chat", text="My name is Bob\n", **environment)
            assert program("chat", text="who am i?\n", **environment).stdout == "Your name is Bob.\n"

    def test_what_is_stored(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """Question and answer, each with an id; a system prompt once, at the head."""
        run("chat", "a", "--system", "be kind", text="hello\n\n")
        run("chat", "a", "--system", "be rude", text="hello\n")
        stored = memory.history("a").messages()
        assert [message.type for message in stored] == ["system", "human", "ai", "human", "ai"]
        assert stored[0].content == "be kind"
        assert len({message.id for message in stored} - {None}) == 5

    def test_its_commands(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """/help, /history, /clear and /quit are not messages."""
        result = run("chat", "a", text="/help\nhello\n/history\n/clear\nmy name is Zoe\n/quit\nnot read\n")
        assert result.exit_code == 0
        assert "Ctrl-D" in result.output
        assert "you> hello" in result.output
        assert [message.content for message in memory.history("a").messages()] == [
            "my name is Zoe",
            "Nice to meet you, Zoe. I will remember your name.",
        ]

    def test_a_model_that_fails(
        self, run: Run, memory: chatmem.sync.ChatMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its error is one line, the question is kept, and the chat goes on."""

        class Failing(OfflineModel):
            def _stream(self, messages: list[lc.BaseMessage], *args: Any, **kwargs: Any) -> Iterator[Any]:
                if messages[-1].content == "fail":
                    raise ConnectionResetError("the provider is gone")
                yield from super()._stream(messages, *args, **kwargs)

        monkeypatch.setattr(chat_module, "OfflineModel", Failing)
        result = run("chat", "a", text="fail\nhello\n")
        assert result.exit_code == 0
        assert "error: model Failing: the provider is gone" in result.output
        assert [message.type for message in memory.history("a").messages()] == ["human", "human", "ai"]

    def test_a_model_of_the_users_choice(
        self, run: Run, memory: chatmem.sync.ChatMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """--model is what LangChain's `init_chat_model` takes; the model sees the whole history."""
        asked: list[str] = []
        seen: list[int] = []

        class Counting(OfflineModel):
            def _stream(self, messages: list[lc.BaseMessage], *args: Any, **kwargs: Any) -> Iterator[Any]:
                seen.append(len(messages))
                yield from super()._stream(messages, *args, **kwargs)

        def init_chat_model(name: str) -> OfflineModel:
            asked.append(name)
            return Counting()

        monkeypatch.setattr("langchain.chat_models.init_chat_model", init_chat_model)
        assert run("chat", "a", "--model", "openai:gpt-4o", text="hello\nhello\n").exit_code == 0
        assert (asked, seen) == (["openai:gpt-4o"], [1, 3])
        assert memory.history("a").count() == 4

    @pytest.mark.parametrize("model", ["nobody:nothing", "anthropic:claude-x"])
    def test_a_model_that_is_not_to_be_had(self, run: Run, model: str) -> None:
        """A provider that does not exist or is not installed is one line, and not a traceback."""
        result = run("chat", "--model", model, text="hello\n")
        assert result.exit_code == 1
        assert result.output.startswith(f"error: model {model}: ")

    def test_a_terminal(self, server: str) -> None:
        """On a terminal it shows where you were, prompts, and says good-bye at Ctrl-D."""
        pexpect = pytest.importorskip("pexpect")
        environment = {**os.environ, "CHATMEM_URL": server, "TERM": "dumb", "COLUMNS": "100"}
        for expected in ("session s: new", r"session s: 2 messages, the last one \d+ seconds? ago"):
            command = [sys.executable, "-m", "chatmem.cli", "chat", "s"]
            terminal = pexpect.spawn(command[0], command[1:], env=environment, encoding="utf-8")
            terminal.expect(expected, timeout=20)
            terminal.expect("you> $")
            terminal.sendline("my name is Carol")
            terminal.expect("remember your name")
            terminal.expect("you> $")
            terminal.sendeof()
            terminal.expect("session s is kept")
            terminal.expect(pexpect.EOF)
            terminal.close()
            assert terminal.exitstatus == 0


class TestOfflineModel:
    """It recalls what the user said, from the whole history."""

    @pytest.mark.parametrize(
        ("said", "answer"),
        [
            (["Hi, my name is Alice", "What's my name?"], "Your name is Alice."),
            (["I'm Alice", "no, call me Bob", "what is my name"], "Your name is Bob."),
            (["i am Ann Lee.", "who am I?"], "Your name is Ann Lee."),
            (["my name is dave", "what's my name?"], "Your name is dave."),
            (["I'm fine", "I am hungry", "what's my name?"], "You have not told me your name yet."),
            (["I live in New York, sadly", "where do I live?"], "You live in New York."),
            (["My favourite colour is green.", "what is my favourite colour?"], "Your favourite colour is green."),
            (["what's my shoe size?"], "You have not told me what your shoe size is."),
            (["a", "b", "what did I say?"], "You have said 2 things before. The latest: “a”; “b”."),
            (["my name is Eve", "hello"], "Hello, Eve! We have met before."),
            ([], "Say something, and I will remember it."),
        ],
    )
    def test_what_it_recalls(self, said: list[str], answer: str) -> None:
        assert reply(said) == answer

    async def test_it_is_a_chat_model(self) -> None:
        """invoke, stream and astream give one answer."""
        model = OfflineModel()
        prompt = [lc.SystemMessage("x"), lc.HumanMessage("I'm Alice"), lc.AIMessage("hi"), lc.HumanMessage("who am I?")]
        assert model.invoke(prompt).content == "Your name is Alice."
        assert [chunk.content for chunk in model.stream(prompt)][:2] == ["Your ", "name "]
        assert "".join([str(chunk.content) async for chunk in model.astream(prompt)]) == "Your name is Alice."


class TestShow:
    def test_roles_times_and_tool_calls(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """Everything a reader wants to see of an agent's conversation."""
        calls = [{"name": "book", "args": {"flight": "HAT001"}, "id": "c1"}]
        memory.history("a").append(
            lc.SystemMessage("be kind"),
            lc.HumanMessage(
                [{"type": "text", "text": "this one"}, {"type": "image_url", "image_url": "x"}], name="ann"
            ),
            lc.AIMessage("", tool_calls=calls, id="m1"),
            lc.ToolMessage("two\nlines", tool_call_id="c1", status="error"),
        )
        lines = run("show", "a").output.splitlines()
        assert re.fullmatch(r" +0 \d{4}-\d\d-\d\d \d\d:\d\d:\d\d system", lines[0])
        assert lines[1] == "     be kind"
        assert lines[2].endswith("human ann")
        assert lines[3] == "     this one [image_url]"
        assert lines[4].endswith("ai id m1")
        assert lines[5] == '     -> book({"flight": "HAT001"})'
        assert lines[6].endswith("tool [error]")
        assert lines[7:] == ["     two", "     lines"]

    def test_last(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        memory.history("a").append(*map(str, range(400)))
        assert run("show", "a", "--last", "2").output.split()[-1] == "399"
        assert len(run("show", "a", "--last", "2").output.splitlines()) == 4
        assert run("show", "a", "--last", "0").exit_code == 2

    def test_json(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """One object a line, which LangChain reads again."""
        messages = [message for name, message in samples.kinds().items() if name != "custom subclass"]
        memory.history("a").append(*messages)
        rows = [json.loads(line) for line in run("show", "a", "--json").output.splitlines()]
        assert [row["seq"] for row in rows] == list(range(len(messages)))
        assert lc.messages_from_dict([rows[0]["message"]]) == messages[:1]

    def test_text_cannot_drive_the_terminal(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """Escape characters and markup in stored text are shown, not obeyed."""
        memory.history("a").append("\x1b[2Jgone\x07 [bold]x[/bold] \u202egnp.exe \ud800 \x9b31m")
        output = run("show", "a").output
        assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(output)
        assert "\\x1b[2Jgone\\x07 [bold]x[/bold] \\x202egnp.exe \\xd800" in output

    def test_an_unreadable_record(self, run: Run, memory: chatmem.sync.ChatMemory, server: str) -> None:
        """It is a line that says so."""
        memory.history("a").append("x", "y")
        with redis.Redis.from_url(server) as raw:
            raw.lset(session_keys("chatmem", "a").messages.decode(), 0, "damaged")
        lines = run("show", "a").output.splitlines()
        assert "unreadable" in lines[0]
        assert lines[-1].strip() == "y"

    def test_no_such_session(self, run: Run) -> None:
        result = run("show", "nobody")
        assert (result.exit_code, result.output) == (1, "error: no session 'nobody'\n")


class TestImport:
    def test_the_real_conversations(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """All 150 are stored, each equal; a second import stores nothing."""
        result = run("import", str(samples.DATA))
        assert (result.exit_code, result.output) == (0, "150 conversations, 4042 messages stored\n")
        for session, messages in samples.conversations().items():
            assert memory.history(session).messages() == messages
        again = run("import", str(samples.DATA))
        assert again.output == "0 conversations, 0 messages stored, 150 already there\n"

    def test_as_a_program_with_a_prefix(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """From standard input, with a prefix for the ids."""
        text = gzip.decompress(samples.DATA.read_bytes()).decode()
        done = program("import", "-", "--prefix-session", "tau-", text=text, CHATMEM_URL=server)
        assert (done.returncode, done.stdout, done.stderr) == (0, "150 conversations, 4042 messages stored\n", "")
        assert memory.history("tau-airline-28-0").count() > 0

    def test_bad_lines(self, run: Run, tmp_path: Path, memory: chatmem.sync.ChatMemory) -> None:
        """Each is named with its line and reason; the others are stored."""
        file = tmp_path / "some.jsonl"
        good = {"id": "good", "messages": [{"role": "user", "content": "hi"}]}
        bad: list[Any] = [
            "{",
            "[1]",
            '{"id": "x"}',
            '{"messages": [{"role": "user", "content": "x"}], "id": 5}',
            '{"id": "x", "messages": []}',
            '{"id": "x", "messages": [{"role": "wizard", "content": "x"}]}',
            '{"id": "x", "messages": [5]}',
        ]
        file.write_text("\n".join([*bad[:3], json.dumps(good), "", *bad[3:]]))
        result = run("import", str(file))
        assert result.exit_code == 1
        assert re.findall(r"^line (\d+): ", result.output, re.MULTILINE) == ["1", "2", "3", "6", "7", "8", "9"]
        assert result.output.endswith("1 conversations, 1 messages stored, 7 skipped\n")
        assert memory.history("good").count() == 1
        assert memory.history("x").count() == 0

    def test_a_session_that_holds_something_else(
        self, run: Run, tmp_path: Path, memory: chatmem.sync.ChatMemory
    ) -> None:
        """It is left alone, unless --append says otherwise."""
        file = tmp_path / "talk.json"
        file.write_text(json.dumps({"messages": [{"role": "user", "content": "hi"}]}))
        memory.history("talk").append("something else")
        result = run("import", str(file))
        assert result.exit_code == 1
        assert "session 'talk' holds something else" in result.output
        assert run("import", str(file), "--append").output == "1 conversations, 1 messages stored\n"
        assert run("import", str(file), "--append").output.endswith("1 already there\n")
        assert [message.content for message in memory.history("talk").messages()] == ["something else", "hi"]

    def test_a_json_array(self, run: Run, tmp_path: Path) -> None:
        file = tmp_path / "all.json"
        rows = [{"id": str(n), "messages": [{"role": "user", "content": "hi"}]} for n in range(3)]
        file.write_text(json.dumps(rows, indent=1))
        assert run("import", str(file)).output == "3 conversations, 3 messages stored\n"

    @pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
    def test_no_such_file(self, run: Run, name: str) -> None:
        result = run("import", name)
        assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
        assert result.output.startswith("error: ")


class TestMistakes:
    @pytest.mark.parametrize("command", [["chat"], ["show", "a"], ["import", str(samples.DATA)]])
    def test_a_server_that_is_not_there(self, command: list[str]) -> None:
        """One line on stderr, exit code 1, no traceback."""
        done = program(*command, text="hi\n", CHATMEM_URL=f"redis://:s3cret@127.0.0.1:{free_port()}/0")
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
        assert done.stderr.startswith("error: the server could not be reached")
        assert "s3cret" not in done.stderr

    def test_a_wrong_url(self) -> None:
        done = program("show", "a", "--url", "localhost")
        assert (done.returncode, done.stderr.splitlines()[0][:23]) == (1, "error: url must begin w")

    def test_a_missing_extra(self, tmp_path: Path) -> None:
        """Without typer it says what to install."""
        script = (
            "import importlib.util as u, sys\nu.find_spec = lambda name: None\nfrom chatmem.cli import main\nmain()"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (
            1,
            "error: the command line is not installed: pip install 'chatmem[cli]'\n",
        )

    def test_a_reader_that_leaves(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """`chatmem show | head` ends without a traceback."""
        memory.history("a").append(*("x" * 1000 for _ in range(2000)))
        command = f"{sys.executable} -m chatmem.cli show a | head -1"
        environment = {**os.environ, "CHATMEM_URL": server}
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environment)
        assert done.stderr == ""

    def test_version_and_help(self, run: Run) -> None:
        """They are there."""
        assert run("--version").output.startswith("chatmem ")
        assert {"chat", "show", "import"} <= set(run("--help").output.replace("│", " ").split())
