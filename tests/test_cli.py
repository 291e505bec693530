"""The command line, in this process and as a program, against a real server."""

from __future__ import annotations

import base64
import gzip
import json
import math
import os
import re
import secrets
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from langchain_core import messages as lc
from langchain_core.outputs import ChatGenerationChunk
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

    def test_the_system_prompt_after_a_clear(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """A session that was cleared is new again: the prompt is at its head."""
        run("chat", "a", "--system", "be kind", text="hello\n/clear\nhello\n")
        assert [message.type for message in memory.history("a").messages()] == ["system", "human", "ai"]

    def test_text_is_shown_as_it_is(self, run: Run) -> None:
        """Markup, emoji codes and escape characters in a message are no orders."""
        output = run("chat", "a", text="[bold]x :smile: \x1b[2J\n/history\n").output
        assert "you> [bold]x :smile: \\x1b[2J" in output
        assert "\x1b" not in output

    def test_what_a_model_says_of_its_answer_is_kept(
        self, run: Run, memory: chatmem.sync.ChatMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Usage and content blocks are stored with the text, under an id of our own."""
        usage: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}

        class Thinking(OfflineModel):
            def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
                for block in (
                    {"type": "reasoning", "reasoning": "hm", "index": 0},
                    {"type": "text", "text": "so", "index": 1},
                ):
                    yield ChatGenerationChunk(message=lc.AIMessageChunk(content=[block], id="run"))
                yield ChatGenerationChunk(message=lc.AIMessageChunk(content=[], id="run", usage_metadata=usage))

        monkeypatch.setattr(chat_module, "OfflineModel", Thinking)
        assert run("chat", "a", text="hello\n").output == "so\n"
        answer = memory.history("a").messages()[-1]
        assert isinstance(answer, lc.AIMessage)
        assert (answer.usage_metadata, answer.text) == (usage, "so")
        assert answer.content_blocks[0]["type"] == "reasoning"
        assert str(uuid.UUID(answer.id)) == answer.id

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
        assert len(result.output.splitlines()) == 1

    @pytest.mark.parametrize(
        ("model", "missing", "install"),
        [
            ("openai:gpt-4o", "langchain_openai", "pip install (-U )?langchain-openai"),
            ("openai:gpt-4o", "langchain", "pip install langchain,"),
        ],
    )
    def test_what_to_install_for_a_model(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, model: str, missing: str, install: str
    ) -> None:
        """A package that is not there is named with its pip install."""
        pytest.importorskip("langchain")
        for name in [name for name in sys.modules if name.split(".")[0] == missing]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, missing, None)
        result = run("chat", "--model", model, text="hello\n")
        assert result.exit_code == 1
        assert re.search(install, result.output)

    def test_ctrl_c(self, server: str) -> None:
        """It ends the chat as Ctrl-D does."""
        pexpect = pytest.importorskip("pexpect")
        environment = {**os.environ, "CHATMEM_URL": server, "TERM": "dumb"}
        terminal = pexpect.spawn(
            sys.executable, ["-m", "chatmem.cli", "chat", "s"], env=environment, encoding="utf-8", timeout=20
        )
        terminal.expect("you> $")
        terminal.sendintr()
        terminal.expect("session s is kept")
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert terminal.exitstatus == 0

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


_NO_NAME = "You have not told me your name yet."
_GREEN = "Your favourite colour is green."


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
            (["I\u2019m Alice", "what\u2019s my name?"], "Your name is Alice."),
            (["my name is Élodie Durand", "do you know my name?"], "Your name is Élodie Durand."),
            (["I'm Óscar", "who am I?"], "Your name is Óscar."),
            (["My name is Alice. Call me Al.", "who am I?"], "Your name is Al."),
            (["My name is Bob. What's my name?"], "Your name is Bob."),
            (["I'm OK", "I AM ANGRY", "call me later", "I'm Alice's friend", "who am I?"], _NO_NAME),
            (["I live in Paris and my dog is Rex", "where do I live?"], "You live in Paris."),
            (["I live in Paris and my dog is Rex", "what's my dog?"], "Your dog is Rex."),
            (["My name is Al and my favourite colour is green", "what's my favourite colour?"], _GREEN),
            (["my email is a@b.com.", "what's my email?"], "Your email is a@b.com."),
            (["my dog's name is Rex", "what's my dog's name?"], "Your dog's name is Rex."),
            (["my shoes are red", "what are my shoes?"], "Your shoes are red."),
            (["my cat is Tom", "my cat is Tim", "what is my cat?"], "Your cat is Tim."),
            (["a", "what did we talk about?"], "You have said 1 thing before. The latest: “a”."),
        ],
    )
    def test_what_it_recalls(self, said: list[str], answer: str) -> None:
        """Each question is answered from what was said before it, the latest of it."""
        assert reply(said) == answer

    def test_it_says_once_what_it_is(self) -> None:
        """Where it has no answer it says that it is the small offline model, and later does not."""
        conversation: list[lc.BaseMessage] = []
        answers = []
        for line in ("I'm Alice", "It rains", "It rains"):
            conversation.append(lc.HumanMessage(line))
            conversation.append(OfflineModel().invoke(conversation))
            answers.append(str(conversation[-1].content))
        assert ["offline" in answer for answer in answers] == [False, True, False]
        assert answers[-1] == "Noted, Alice. That was your message number 3."

    @pytest.mark.parametrize(
        "text", ["I'm " * 20_000, "my " * 20_000, "I'm " + "A " * 20_000, "my x is" + " " * 20_000]
    )
    def test_long_lines(self, text: str) -> None:
        """No line makes the patterns take time that grows with its square."""
        start = time.process_time()
        for question in ("who am I?", "what is my zzz?", "where do I live?"):
            reply([text, question])
        assert time.process_time() - start < 3

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
        """The last messages only; none at all is a mistake."""
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
        assert [row["type"] for row in rows] == [message.type for message in messages]
        assert lc.messages_from_dict([rows[0]["message"]]) == messages[:1]

    def test_json_of_what_json_has_no_word_for(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """NaN, bytes and keys that are no strings come out as text, so that any JSON reader reads the line."""

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is no JSON")

        artifact = {(1, 2): math.nan, "bytes": b"x", "list": [math.inf]}
        memory.history("a").append(lc.ToolMessage("x", tool_call_id="c", artifact=artifact))
        row = json.loads(run("show", "a", "--json").output, parse_constant=refuse)
        assert row["message"]["data"]["artifact"] == {"(1, 2)": "nan", "bytes": "b'x'", "list": ["inf"]}

    def test_names_and_ids_forge_no_line(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """A line break in a name or an id does not begin a line of its own."""
        memory.history("a").append(lc.HumanMessage("x", id="i\n   9 2026-01-01 00:00:00 ai", name="n\rm"))
        lines = run("show", "a").output.splitlines()
        assert len(lines) == 2
        assert lines[0].endswith("human n m id i 9 2026-01-01 00:00:00 ai")

    def test_invalid_tool_calls_and_roles(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """A call that could not be parsed is shown too, and a free role by its own name."""
        call: Any = {"name": "book", "args": "{", "id": "c", "error": "no JSON", "type": "invalid_tool_call"}
        memory.history("a").append(
            lc.AIMessage("", invalid_tool_calls=[call]), lc.ChatMessage(content="hey", role="moderator")
        )
        lines = run("show", "a").output.splitlines()
        assert lines[1] == "     -> invalid: book({)"
        assert lines[2].endswith(" moderator")

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
        """It is an error, in one line."""
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
            '{"id": "x", "messages": ["hi"]}',
            '{"messages": [{"role": "user", "content": "no id"}]}',
            '{"id": "x", "messages": [{"role": "tool", "content": "x"}]}',
            '{"id": "x", "messages": [{"role": "user", "content": 5}]}',
            "[" * 100_000,
        ]
        file.write_text("\n".join([*bad[:3], json.dumps(good), "", *bad[3:]]))
        result = run("import", str(file))
        assert result.exit_code == 1
        assert re.findall(r"^line (\d+): ", result.output, re.MULTILINE) == [
            *("1", "2", "3", "6", "7", "8", "9", "10", "11", "12", "13", "14")
        ]
        assert "line 12: message 1 is not in OpenAI's format: it lacks 'tool_call_id'\n" in result.output
        assert len(result.output.splitlines()) == len(bad) + 1
        assert result.output.endswith("1 conversations, 1 messages stored, 12 skipped\n")
        assert memory.history("good").count() == 1
        assert memory.history("x").count() == 0

    def test_text_that_is_no_utf_8(self, run: Run, tmp_path: Path) -> None:
        """It costs its own line only, and a byte order mark costs none."""
        file = tmp_path / "some.jsonl"
        lines = [
            b'{"id": "%d", "messages": [{"role": "user", "content": "caf%s"}]}' % (n, b"\xe9"[:n]) for n in (0, 1, 0)
        ]
        file.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines))
        result = run("import", str(file))
        assert result.output.startswith("line 2: no JSON: 'utf-8' codec can't decode")
        assert result.output.endswith("1 conversations, 1 messages stored, 1 already there, 1 skipped\n")

    def test_line_ends_within_text(self, run: Run, tmp_path: Path, memory: chatmem.sync.ChatMemory) -> None:
        """JSON text may hold what Unicode calls a line's end; a line of JSONL ends at a newline only."""
        file = tmp_path / "some.jsonl"
        rows = [{"id": n, "messages": [{"role": "user", "content": "a\u2028b\x85c"}]} for n in "ab"]
        file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
        assert run("import", str(file)).output == "2 conversations, 2 messages stored\n"
        assert memory.history("b").messages()[0].content == "a\u2028b\x85c"

    def test_lines_without_ids_are_not_mixed_up(self, run: Run, tmp_path: Path) -> None:
        """Only a file's one conversation is named for the file: --append would make one of many."""
        file = tmp_path / "many.jsonl"
        file.write_text('{"messages": [{"role": "user", "content": "x"}]}\n' * 2)
        result = run("import", str(file), "--append")
        assert (result.exit_code, result.output.count('no "id"')) == (1, 2)

    @pytest.mark.parametrize("damage", ["cut off", "changed"])
    def test_damaged_gzip(self, run: Run, tmp_path: Path, damage: str) -> None:
        """One line says so."""
        data = bytearray(samples.DATA.read_bytes())
        if damage == "changed":
            data[40:60] = bytes(20)
        file = tmp_path / "some.jsonl.gz"
        file.write_bytes(data[:-100])
        result = run("import", str(file))
        assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
        assert "is damaged gzip" in result.output

    def test_an_assistant_that_only_calls_tools(
        self, run: Run, tmp_path: Path, memory: chatmem.sync.ChatMemory
    ) -> None:
        """OpenAI lets its content be absent."""
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        file = tmp_path / "tools.json"
        file.write_text(json.dumps({"messages": [{"role": "assistant", "tool_calls": [call]}]}))
        assert run("import", str(file)).exit_code == 0
        (message,) = memory.history("tools").messages()
        assert isinstance(message, lc.AIMessage)
        assert message.tool_calls[0]["name"] == "f"

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
        """A file may be one JSON array of conversations."""
        file = tmp_path / "all.json"
        rows = [{"id": str(n), "messages": [{"role": "user", "content": "hi"}]} for n in range(3)]
        file.write_text(json.dumps(rows, indent=1))
        assert run("import", str(file)).output == "3 conversations, 3 messages stored\n"

    @pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
    def test_no_such_file(self, run: Run, name: str) -> None:
        """A file that is not there, or is a folder, is one line."""
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
        """A URL that is none is one line, which says what is."""
        done = program("show", "a", "--url", "localhost")
        assert (done.returncode, done.stderr.splitlines()[0][:23]) == (1, "error: url must begin w")

    def test_a_missing_extra(self, tmp_path: Path) -> None:
        """Without typer it says what to install."""
        script = (
            "import importlib.util as u, sys\nu.find_spec = lambda name: None\nfrom chatmem.cli import main\nmain()"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (
            2,
            "chatmem's command line needs: pip install 'chatmem[cli]'\n",
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


class TestReencrypt:
    def test_keys_are_rotated(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """All sessions come under the newest key; without it they can be read no more; once more does nothing."""
        keys = {name: secrets.token_bytes(32) for name in ("old", "new")}
        texts = {name: f"{name}={base64.b64encode(key).decode()}" for name, key in keys.items()}
        memory.history("plain").append("a", "b")
        with chatmem.sync.connect(server, encryption=chatmem.KeyRing({"old": keys["old"]})) as old:
            old.history("sea}led").append("c")
        environment = {"CHATMEM_URL": server, "CHATMEM_KEYS": f"{texts['old']} {texts['new']}"}
        done = program("reencrypt", **environment)
        assert (done.stdout, done.returncode) == ("3 messages encrypted anew in 2 sessions, 0 unreadable\n", 0)
        assert program("reencrypt", **environment).stdout.startswith("0 messages")
        shown = program("show", "sea}led", "--json", CHATMEM_URL=server, CHATMEM_KEYS=texts["new"])
        assert json.loads(shown.stdout)["message"]["data"]["content"] == "c"
        blind = program("reencrypt", CHATMEM_URL=server, CHATMEM_KEYS=texts["old"])
        assert (blind.returncode, blind.stdout) == (1, "0 messages encrypted anew in 2 sessions, 3 unreadable\n")
        assert "encrypted with the key 'new', which is not given" in blind.stderr
        assert not any(text.partition("=")[2] in blind.stderr + blind.stdout for text in texts.values())

    def test_without_keys(self, run: Run) -> None:
        """It says how they are given."""
        done = run("reencrypt")
        assert (done.exit_code, "set CHATMEM_KEYS" in done.output) == (1, True)
