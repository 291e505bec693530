"""`chatmem import`."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from langchain_core import messages as lc

import chatmem.sync
from tests import samples
from tests.cli.program import Run, program


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
