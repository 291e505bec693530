"""The lines that a user types in `chatmem chat`, on a terminal with a line editor or through a pipe."""

from __future__ import annotations

import sys
from typing import Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import create_output

_LONGEST = 2**20
"""Characters of a line that comes through a pipe."""


class LineInput(Protocol):
    """Reads one line after the other."""

    def read(self, draft: str) -> str:
        """Return the next line.

        Args:
            draft: text to begin the line with, where the user can edit it.

        Raises:
            EOFError: there are no more lines.
        """

    def confirm(self, question: str) -> bool:
        """Ask a yes/no question; return whether the answer is yes."""


def open_input() -> LineInput:
    """Return the line editor if stdin is a terminal, else the lines of stdin."""
    return _LineEditor() if sys.stdin.isatty() else _Pipe()


class _LineEditor:
    """prompt_toolkit's editor. Ctrl-C discards a typed line; on an empty line Ctrl-C and Ctrl-D end the input."""

    def __init__(self) -> None:
        # if stdout is a pipe, the prompt goes to stderr
        output = None if sys.stdout.isatty() else create_output(always_prefer_tty=True)
        self._lines = PromptSession[str]("you> ", output=output, key_bindings=_keys())
        self._answers = PromptSession[str](output=output)

    def read(self, draft: str) -> str:
        """Let the user type a line."""
        try:
            return self._lines.prompt(default=draft).strip()
        except KeyboardInterrupt:
            raise EOFError from None

    def confirm(self, question: str) -> bool:
        """Ask; only `y` and `yes` confirm."""
        try:
            return self._answers.prompt(f"{question}? [y/N] ").strip().lower() in ("y", "yes")
        except (EOFError, KeyboardInterrupt):
            return False


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("c-c", eager=True)  # a prompt on a dumb terminal has a binding of its own
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.app.exit(result="", style="class:aborting")
        else:
            event.app.exit(exception=EOFError, style="class:exiting")

    return keys


class _Pipe:
    """The lines of stdin."""

    def read(self, draft: str) -> str:
        """Return the next line; nobody can edit a draft here."""
        line = sys.stdin.readline(_LONGEST + 1)
        if not line:
            raise EOFError
        if len(line) > _LONGEST:
            raise ValueError(
                f"a line of more than {_LONGEST:,} characters; to store conversations from files, use chatmem import"
            )
        return line.strip()

    def confirm(self, question: str) -> bool:
        """Confirm: a script says what it means."""
        return True
