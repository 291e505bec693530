"""`chatmem chat`: a conversation in the terminal that goes on where it was."""

from __future__ import annotations

import contextlib
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

from chatmem.cli.offline import OfflineModel
from chatmem.cli.terminal import ago, clean, console, content_of, one_line
from chatmem.sync import History

_LONGEST = 2**20
"""characters of a line that comes from no terminal"""
_SHOWN = 6
_HELP = "/history shows the conversation, /clear removes it, /quit or Ctrl-D ends this chat. The history is kept."


def find_model(name: str | None) -> BaseChatModel:
    """Return LangChain's chat model of that name, or the offline one.

    Raises:
        ValueError: the model is not to be had; it says what to install.
    """
    if name is None:
        return OfflineModel()
    try:
        from langchain.chat_models import init_chat_model  # noqa: PLC0415 - not one of our dependencies
    except ImportError:
        raise ValueError("a model needs LangChain: pip install langchain, and the provider's package") from None
    with _provider_errors(name):
        model: BaseChatModel = init_chat_model(name)
    return model


class ModelError(ValueError):
    """A provider's model failed; the text is the provider's."""


@contextlib.contextmanager
def _provider_errors(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each provider raises errors of its own, with no common root
        raise ModelError(f"model {name}: {one_line(error) or type(error).__name__}") from error


class Chat:
    """One run of the chat: reads lines, answers, stores both."""

    def __init__(self, history: History, model: BaseChatModel, system: str | None = None) -> None:
        self._history = history
        self._model = model
        self._system = system
        self._out = console()
        self._err = console(stderr=True)
        self._terminal = sys.stdin.isatty()

    def run(self) -> None:
        """Talk until the input ends."""
        info = self._history.info()
        if self._terminal:
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401, PLC0415 - importing it is what gives `input` its line editing
            self._show_where_we_were(info.count, ago(info.updated_at) if info.updated_at else "")
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            while (line := self._read()) != "/quit":
                self._take(line)
        if self._terminal:
            self._out.print(f"\nGood-bye. session {clean(self._history.session_id)} is kept.", style="dim")

    def _show_where_we_were(self, count: int, last: str) -> None:
        session = clean(self._history.session_id)
        if count == 0:
            self._out.print(f"session {session}: new. /help for help.", style="dim")
            return
        self._out.print(
            f"session {session}: {count} message{'' if count == 1 else 's'}, the last one {last}", style="dim"
        )
        self._show(self._history.messages(last=_SHOWN))

    def _show(self, messages: list[BaseMessage]) -> None:
        for message in messages:
            who = {"human": "you", "ai": "chatmem"}.get(message.type, message.type)
            self._out.print(f"{who}> {content_of(message)}", style="dim", soft_wrap=True)

    def _read(self) -> str:
        if self._terminal:
            return input("you> ").strip()
        line = sys.stdin.readline(_LONGEST + 1)
        if not line:
            raise EOFError
        if len(line) > _LONGEST:
            raise ValueError(
                f"a line of more than {_LONGEST:,} characters: chatmem import takes conversations from files"
            )
        return line.strip()

    def _take(self, line: str) -> None:
        if line == "/help":
            self._out.print(_HELP, style="dim")
        elif line == "/history":
            self._show(self._history.messages())
        elif line == "/clear":
            if not self._terminal or input("Remove this conversation? [y/N] ").strip().lower() == "y":
                self._history.clear()
                self._out.print("Removed.", style="dim")
        elif line:
            self._turn(line)

    def _turn(self, line: str) -> None:
        """Store the question at once, so that it is kept whatever becomes of the answer."""
        self._history.append(*self._head(), HumanMessage(line, id=_new_id()))
        if self._terminal:
            self._out.print("chatmem> ", end="", style="bold")
        try:
            answer = self._answer(self._history.window())
        except ModelError as error:
            if self._terminal:
                self._out.print()
            self._err.print(f"error: {error}", style="red", soft_wrap=True)
            return
        self._history.append(answer)

    def _head(self) -> list[SystemMessage]:
        """Return the system prompt where the session is new, or was cleared a moment ago."""
        new = self._system and self._history.count() == 0
        return [SystemMessage(self._system, id=_new_id())] if new else []

    def _answer(self, messages: list[BaseMessage]) -> BaseMessage:
        """Print the answer as it comes; return the whole of it, with its usage and what else the model says of it."""
        whole: AIMessageChunk | None = None
        with _provider_errors(type(self._model).__name__):
            for chunk in self._model.stream(messages):
                self._out.print(clean(chunk.text), end="", soft_wrap=True)
                whole = chunk if whole is None else whole + chunk
            if whole is None:
                raise ValueError("it gave no answer")
        self._out.print()
        answer = message_chunk_to_message(whole)
        answer.id = _new_id()
        return answer


def _new_id() -> str:
    return str(uuid.uuid4())
