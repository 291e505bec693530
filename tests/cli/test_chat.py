"""`chatmem chat`."""

from __future__ import annotations

import re
import shlex
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from langchain_core import messages as lc
from langchain_core.outputs import ChatGenerationChunk

import chatmem.sync
from chatmem.cli.commands import chat as chat_module
from chatmem.cli.offline import OfflineModel
from tests.cli.program import Run, on_terminal, program
from tests.servers import debian_binary, free_port, run_server


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
        pytest.importorskip("langchain")
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
        pytest.importorskip("langchain")
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

    @pytest.mark.parametrize("word", ["/quit", "/exit", "quit", "exit", "Exit"])
    def test_words_that_leave(self, run: Run, memory: chatmem.sync.ChatMemory, word: str) -> None:
        """They end the chat, and are not stored."""
        assert run("chat", "a", text=f"hello\n{word}\nnot read\n").exit_code == 0
        assert memory.history("a").count() == 2
        assert run("chat", "a", text=f"I want to {word}\n").exit_code == 0
        assert memory.history("a").count() == 4

    @pytest.mark.parametrize("line", ["/histor", "/", "/clear it", " /quit now"])
    def test_an_unknown_command(self, run: Run, memory: chatmem.sync.ChatMemory, line: str) -> None:
        """It says which commands there are, and neither the model nor the server sees it."""
        done = run("chat", "a", text=f"{line}\n/usr/bin/env is a path\n")
        name = line.split(maxsplit=1)[0]
        assert done.stderr == f"no command {name}; there are /help, /history, /clear and /quit\n"
        assert [message.content for message in memory.history("a").messages()][:1] == ["/usr/bin/env is a path"]
        assert memory.history("a").count() == 2


def chat(server: str, script: str = "", columns: int = 100) -> Any:
    """Start a chat on a terminal.

    Args:
        server: its URL.
        script: what is run before it.
        columns: the width of the terminal.
    """
    code = f"import sys\n{script}\nsys.argv = ['chatmem', 'chat', 's']\nfrom chatmem.cli import main\nmain()"
    environment = {"CHATMEM_URL": server, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    return on_terminal("exec " + shlex.join([sys.executable, "-c", code]), columns, **environment)


PROMPT = r"you>[^\r\n]*\x1b\[\?25h$"
"""It is there once the terminal is in raw mode, and shows its cursor."""


def plain(text: str) -> str:
    """Return text without escape sequences."""
    return re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", text)


def ended(terminal: Any) -> str:
    """Return what was printed last; the program must have ended well."""
    terminal.expect_exact([terminal.delimiter])
    terminal.close()
    assert terminal.exitstatus == 0
    return plain(terminal.before)


class TestTerminal:
    """The chat with a person in front of it."""

    def test_two_chats(self, server: str) -> None:
        """It shows where you were, prompts, and says good-bye at Ctrl-D."""
        for expected in ("session s: new", r"session s: 2 messages, the last one \d+ seconds? ago"):
            terminal = chat(server)
            terminal.expect(expected)
            terminal.expect(PROMPT)
            terminal.sendline("my name is Carol")
            terminal.expect("remember your name")
            terminal.expect(PROMPT)
            terminal.sendeof()
            assert "Session s is kept" in ended(terminal)

    def test_ctrl_c(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """It discards what was typed; on an empty line it ends the chat. Nothing is kept where nothing was written."""
        terminal = chat(server)
        terminal.expect(PROMPT)
        terminal.send("half a line")
        terminal.expect("half a line")
        terminal.sendintr()
        terminal.expect(PROMPT)
        terminal.sendintr()
        assert ended(terminal).split() == ["you>", "Good-bye."]
        assert memory.history("s").count() == 0

    def test_clear(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """It asks; afterwards nothing is kept."""
        memory.history("s").append("x")
        terminal = chat(server)
        for answer, count in (("n", 1), ("\x03", 1), ("y", 0)):
            terminal.expect(PROMPT)
            terminal.sendline("/clear")
            terminal.expect(r"Erase this conversation\? \[y/N\][^\r\n]*\x1b\[\?25h$")
            terminal.send(answer) if answer == "\x03" else terminal.sendline(answer)
            terminal.expect(PROMPT)
            assert memory.history("s").count() == count
            terminal.sendline("")
        terminal.sendline("exit")
        assert "kept" not in ended(terminal)

    def test_ctrl_c_stops_an_answer(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """The chat goes on; what there is of the answer is not stored."""
        script = (
            "import time\nfrom chatmem.cli import offline\nanswer = offline.OfflineModel._stream\n"
            "def slow(self, messages, *more, **options):\n"
            "    for chunk in answer(self, messages, *more, **options):\n"
            "        yield chunk\n        if messages[-1].content == 'wait': time.sleep(60)\n"
            "offline.OfflineModel._stream = slow"
        )
        terminal = chat(server, script)
        terminal.expect(PROMPT)
        terminal.sendline("wait")
        terminal.expect("chatmem>.* I$")
        terminal.sendintr()
        terminal.expect("Stopped. The answer is not stored.")
        terminal.expect(PROMPT)
        terminal.sendline("hello")
        terminal.expect("Hello!")
        terminal.expect(PROMPT)
        terminal.sendline("quit")
        ended(terminal)
        assert [message.type for message in memory.history("s").messages()] == ["human", "human", "ai"]

    @pytest.mark.parametrize("reached", [True, False])
    def test_ctrl_c_while_an_answer_is_stored(
        self, server: str, memory: chatmem.sync.ChatMemory, reached: bool
    ) -> None:
        """All of the answer was shown, so it is kept: stored once, whether or not the server has it already."""
        script = (
            "from chatmem.sync import History\nappend = History.append\n"
            "def interrupted(self, *messages, **options):\n"
            "    is_first = messages[-1].type == 'ai' and not hasattr(History, 'done')\n"
            f"    if not is_first or {reached}: done = append(self, *messages, **options)\n"
            "    if not is_first: return done\n"
            "    History.done = True\n"
            "    raise KeyboardInterrupt\n"
            "History.append = interrupted"
        )
        terminal = chat(server, script)
        terminal.expect(PROMPT)
        terminal.sendline("hello")
        terminal.expect("Stopped. The answer will be stored with your next message, or when you leave.")
        terminal.expect(PROMPT)
        terminal.sendline("hello again")
        terminal.expect("We have met before")
        terminal.expect(PROMPT)
        terminal.sendline("quit")
        ended(terminal)
        assert [message.type for message in memory.history("s").messages()] == ["human", "ai"] * 2

    def test_a_server_that_is_gone(self) -> None:
        """The line is kept for a retry, which stores it once, and the chat goes on."""
        port = free_port()
        with run_server(debian_binary(), port=port) as url:
            terminal = chat(url)
            terminal.expect("session s: new")
            terminal.expect(PROMPT)
        for line in ("my name is Zoe", ""):
            terminal.sendline(line)
            terminal.expect("error: the server could not be reached")
            terminal.expect("Your line is kept: press Enter to send it again")
            terminal.expect(PROMPT)
        with run_server(debian_binary(), port=port) as url, chatmem.sync.connect(url) as memory:
            terminal.sendline("")
            terminal.expect("Nice to meet you, Zoe")
            terminal.expect(PROMPT)
            terminal.sendline("/quit")
            assert "Session s is kept" in ended(terminal)
            assert [message.type for message in memory.history("s").messages()] == ["human", "ai"]

    @pytest.mark.parametrize("line", ["hello again", "quit"])
    def test_an_answer_that_cannot_be_stored(self, server: str, memory: chatmem.sync.ChatMemory, line: str) -> None:
        """It is stored before the next message, or at the end."""
        with redis.Redis.from_url(server) as raw:
            script = (
                f"import redis\nfrom chatmem.cli import offline\nanswer = offline.OfflineModel._stream\n"
                "def full(self, messages, *more, **options):\n"
                f"    if len(messages) == 1: redis.Redis.from_url({server!r}).config_set('maxmemory', 1)\n"
                "    yield from answer(self, messages, *more, **options)\n"
                "offline.OfflineModel._stream = full"
            )
            terminal = chat(server, script)
            terminal.expect(PROMPT)
            try:
                terminal.sendline("hello")
                terminal.expect("error: the answer is not stored yet")
                assert memory.history("s").count() == 1
            finally:
                raw.config_set("maxmemory", 0)
        terminal.expect(PROMPT)
        terminal.sendline(line)
        if line != "quit":
            terminal.expect("We have met before")
            terminal.expect(PROMPT)
            terminal.sendline("quit")
        ended(terminal)
        expected = ["human", "ai"] if line == "quit" else ["human", "ai"] * 2
        assert [message.type for message in memory.history("s").messages()] == expected

    def test_no_word_is_broken(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """An answer that arrives word by word fits a narrow terminal."""
        memory.history("s").append("my favourite colour is the green of a beech in early spring, I think")
        terminal = chat(server, columns=40)
        terminal.expect(PROMPT)
        terminal.sendline("what is my favourite colour?")
        terminal.expect(r"spring\.")
        lines = plain(terminal.before + terminal.after).split("\r\n")
        terminal.expect(PROMPT)
        start = next(number for number, line in enumerate(lines) if line.startswith("chatmem> "))
        assert lines[start : start + 2] == [
            "chatmem> Your favourite colour is the",
            "green of a beech in early spring.",
        ]
        terminal.sendeof()
        ended(terminal)
