"""`chatmem show`."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import redis
from langchain_core import messages as lc

import chatmem.sync
from chatmem.core.keys import session_keys
from tests import samples
from tests.cli.program import Run


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
