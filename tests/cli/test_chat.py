"""`chatmem chat`, and the offline model."""

from __future__ import annotations

import os
import re
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core import messages as lc
from langchain_core.outputs import ChatGenerationChunk

import chatmem.sync
from chatmem.cli.commands import chat as chat_module
from chatmem.cli.offline import OfflineModel, reply
from tests.cli.program import Run, program


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
