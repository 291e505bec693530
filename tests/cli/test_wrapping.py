"""What commands print on terminals of 40, 80 and 130 columns: no word, and so no id, is broken."""

from __future__ import annotations

import io
import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core import messages as lc
from rich.console import Console
from rich.text import Text

import chatmem.sync
from chatmem.cli.wrapping import WordWrap, print_wrapped
from tests.cli.program import program, shown

IDS = [str(uuid.UUID(int=n * 2**100 + n)) for n in (5, 6, 7)]
URL = "https://example.com/" + "long/" * 30


@pytest.fixture
def filled(server: str) -> str:
    """Three sessions with ids of 36 characters, and messages longer than a line."""
    with chatmem.sync.connect(server, ttl=7 * 86_400) as memory:
        for session, user in zip(IDS, ("alice", "bob", None), strict=True):
            history = memory.history(session, user=user)
            call = {"name": "refund", "args": {"flight": "HAT001", "reason": "cancelled by the airline"}, "id": "c"}
            history.append(
                lc.HumanMessage(f"I want a refund for my flight HAT001: {URL} says that I get one", id=IDS[0]),
                lc.AIMessage("Certainly:\n\n  - it is on its way, and will arrive within a week\n", tool_calls=[call]),
            )
            history.update(title="A refund of the flight which was cancelled yesterday")
    return server


@pytest.mark.parametrize("columns", [40, 80, 130])
def test_sessions(filled: str, columns: int) -> None:
    """Each id is whole, and nothing of the table is lost."""
    lines = shown("sessions", columns=columns, CHATMEM_URL=filled)
    assert [line for line in lines if line in IDS] == IDS[::-1]
    assert max(map(len, lines)) <= columns
    text = " ".join(" ".join(lines).split())
    assert len(re.findall(r"2 messages, written \d+ seconds? ago, expires in 6 days", text)) == 3
    assert "user alice, title: A refund of the flight which was cancelled yesterday" in text


def test_sessions_on_a_wide_terminal(filled: str) -> None:
    """There they are a table, as in a pipe."""
    lines = shown("sessions", columns=200, CHATMEM_URL=filled)
    assert lines[0].split() == ["session", "user", "title", "messages", "written", "expires", "in"]
    assert [line.split()[0] for line in lines[2:]] == IDS[::-1]


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("command", [("show", IDS[0]), ("search", "refund", "--limit", "1"), ("doctor",)])
def test_no_word_is_broken(filled: str, command: tuple[str, ...], columns: int) -> None:
    """The words are those that a pipe gets; only a word that is too wide for the terminal passes its margin."""
    lines = shown(*command, columns=columns, CHATMEM_URL=filled)
    piped = program(*command, CHATMEM_URL=filled)
    numbers = re.compile(r"\d+\.\d+|ahead|behind")
    assert numbers.sub("", " ".join(lines)).split() == numbers.sub("", piped.stdout).split()
    assert all(len(line) <= columns or len(line.split()) == 1 for line in lines)


def test_stats(filled: str) -> None:
    """The ids of the largest sessions are whole on a narrow terminal."""
    lines = shown("stats", columns=40, CHATMEM_URL=filled)
    assert sorted(line.split()[-1] for line in lines if line.split()[-1] in IDS) == IDS


def screen(written: str) -> str:
    """Return what a terminal shows, which understands the two sequences that move a word."""
    lines = [""]
    for part in re.split(r"(\x1b\[\d+G\x1b\[0K|\n)", written):
        if part == "\n":
            lines.append("")
        elif part.startswith("\x1b"):
            lines[-1] = lines[-1][: int(part[2 : part.index("G")]) - 1]
        else:
            lines[-1] += part
    return "\n".join(lines)


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, color_system=None, width=20, highlight=False)


def written(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    return screen(out.file.getvalue())


@given(st.lists(st.text("ab \n", max_size=12)), st.integers(0, 5))
def test_text_that_arrives_in_pieces(pieces: list[str], indent: int) -> None:
    """However it is cut, it looks as if it had come at once, and holds all words in order."""
    in_pieces, at_once = terminal(), terminal()
    wrap = WordWrap(in_pieces, indent)
    for piece in pieces:
        wrap.write(Text(piece))
    in_pieces.print()
    print_wrapped(at_once, Text("".join(pieces)), indent)
    assert written(in_pieces) == written(at_once)
    assert written(at_once).split() == "".join(pieces).split()
    assert all(len(line) <= 20 or " " not in line.strip() for line in written(at_once).split("\n"))
