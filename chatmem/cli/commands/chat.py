"""`chatmem chat`: a conversation in the terminal that continues where the last one ended."""

from __future__ import annotations

import contextlib
import re
import sys
import uuid
from collections.abc import Iterator

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    message_chunk_to_message,
)
from rich.text import Text

from chatmem.cli.line_input import open_input
from chatmem.cli.offline import OfflineModel
from chatmem.cli.terminal import ago, clean, console, content_of, one_line, plural
from chatmem.cli.wrapping import WordWrap, print_wrapped
from chatmem.errors import UnavailableError
from chatmem.sync import History

_SHOWN = 6
"""How many messages of a continued session are shown."""
_STORED_LATER = "will be stored with your next message, or when you leave"
_LEAVE = ("/quit", "/exit", "quit", "exit")
_COMMAND = re.compile(r"/\w*(\s|$)")
_HELP = (
    "/history shows the conversation, /clear erases it, /quit (also exit, quit, Ctrl-D) ends the chat. "
    "Ctrl-C discards the line you are typing, or stops an answer. The conversation is stored as you go."
)


class ModelError(ValueError):
    """A provider's model failed; the message is the provider's."""


@contextlib.contextmanager
def _provider_errors(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each provider raises its own errors, with no common base class
        raise ModelError(f"model {name}: {one_line(error) or type(error).__name__}") from error


def find_model(name: str | None) -> BaseChatModel:
    """Return LangChain's chat model of this name, or the offline model for None.

    Raises:
        ValueError: the model is not available; the message says what to install.
    """
    if name is None:
        return OfflineModel()
    try:
        from langchain.chat_models import init_chat_model  # noqa: PLC0415 - not one of our dependencies
    except ImportError:
        raise ValueError("--model needs LangChain: pip install langchain, and the provider's package") from None
    with _provider_errors(name):
        model: BaseChatModel = init_chat_model(name)
    return model


class Chat:
    """One run of the chat: reads lines, answers them, and stores both.

    On a terminal, a server that does not answer does not end the chat: the line comes back to be sent again, and an
    answer that could not be stored is stored with the next line.
    """

    def __init__(self, history: History, model: BaseChatModel, system: str | None = None) -> None:
        self._history = history
        self._model = model
        self._system = system
        self._out = console()
        self._err = console(stderr=True)
        self._terminal = sys.stdin.isatty()
        self._input = open_input()
        self._is_stored = False
        self._question: HumanMessage | None = None
        """The last question, until the server confirmed it. A retry keeps its id, so that it is stored once."""
        self._unsaved: list[BaseMessage] = []
        """An answer until the server confirmed it. It keeps its id, so that it is stored once."""

    def run(self) -> None:
        """Chat until the input ends.

        Raises:
            UnavailableError: the server did not answer when the chat began or ended, or input comes through a pipe.
        """
        count, updated = (info := self._history.info()).count, info.updated_at
        self._is_stored = count > 0
        if self._terminal:
            self._greet(count, ago(updated) if updated else "")
        draft = ""
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            while (line := self._input.read(draft)).lower() not in _LEAVE:
                draft = self._take_on_terminal(line) if self._terminal else self._take(line)
        if self._unsaved:
            self._history.append(*self._unsaved)
        if self._terminal:
            kept = f" Session {one_line(self._history.session_id)} is kept." if self._is_stored else ""
            self._note(f"Good-bye.{kept}")

    def _greet(self, count: int, last: str) -> None:
        session = one_line(self._history.session_id)
        if count == 0:
            self._note(f"session {session}: new. Type /help for help.")
            return
        self._note(f"session {session}: {plural(count, 'message')}, the last one {last}")
        self._show(self._history.messages(last=_SHOWN))

    def _show(self, messages: list[BaseMessage]) -> None:
        for message in messages:
            who = {"human": "you", "ai": "chatmem"}.get(message.type, message.type)
            self._note(f"{who}> {content_of(message)}")

    def _note(self, text: str) -> None:
        print_wrapped(self._out, Text(text, style="dim"))

    def _problem(self, text: str) -> None:
        print_wrapped(self._err, Text(text, style="red"))

    def _take_on_terminal(self, line: str) -> str:
        """Do what a line says; return the draft of the next line, which is this line if the server did not answer."""
        try:
            return self._take(line)
        except UnavailableError as error:
            self._problem(f"error: {one_line(error)}")
            self._note("Your line is kept: press Enter to send it again, or edit it first.")
            return line
        except KeyboardInterrupt:
            self._out.print()
            is_whole = bool(self._unsaved)
            self._note(f"Stopped. The answer {_STORED_LATER if is_whole else 'is not stored'}.")
            return ""

    def _take(self, line: str) -> str:
        """Do what a line says; return the draft of the next line, which is empty."""
        if line == "/help":
            self._note(_HELP)
        elif line == "/history":
            self._show(self._history.messages())
        elif line == "/clear":
            self._clear()
        elif _COMMAND.match(line):
            self._problem(
                f"no command {one_line(line.split(maxsplit=1)[0])}; there are /help, /history, /clear and /quit"
            )
        elif line:
            self._turn(line)
        return ""

    def _clear(self) -> None:
        if self._input.confirm("Erase this conversation"):
            self._history.clear()
            self._unsaved, self._is_stored = [], False
            self._note("Erased.")

    def _turn(self, line: str) -> None:
        """Store the question, then answer it. So the question is stored even if the model fails."""
        if self._question is None or self._question.content != line:
            self._question = HumanMessage(line, id=_new_id())
        self._history.append(*self._unsaved, *self._head(), self._question)
        self._unsaved, self._is_stored = [], True
        messages = self._history.window()
        self._question = None
        try:
            answer = self._answer(messages)
        except ModelError as error:
            if self._terminal:
                self._out.print()
            self._problem(f"error: {error}")
            return
        self._store_answer(answer)

    def _head(self) -> list[SystemMessage]:
        """Return the system prompt if the session is new or was cleared."""
        is_new = self._system and self._history.count() == 0
        return [SystemMessage(self._system, id=_new_id())] if is_new else []

    def _answer(self, messages: list[BaseMessage]) -> BaseMessage:
        """Print the answer as it arrives; return all of it, with its usage and other metadata."""
        shown = WordWrap(self._out)
        if self._terminal:
            shown.write(Text("chatmem> ", style="bold"))
        whole: AIMessageChunk | None = None
        with _provider_errors(type(self._model).__name__):
            for chunk in self._model.stream(messages):
                shown.write(Text(clean(chunk.text)))
                whole = chunk if whole is None else whole + chunk
            if whole is None:
                raise ValueError("the model gave no answer")
        self._out.print()
        answer = message_chunk_to_message(whole)
        answer.id = _new_id()
        return answer

    def _store_answer(self, answer: BaseMessage) -> None:
        self._unsaved = [answer]
        try:
            self._history.append(answer)
        except UnavailableError as error:
            if not self._terminal:
                raise
            self._problem(f"error: the answer is not stored yet: {one_line(error)}")
            self._note(f"It {_STORED_LATER}.")
        else:
            self._unsaved = []


def _new_id() -> str:
    return str(uuid.uuid4())
