"""`chatmem import`."""

from __future__ import annotations

import gzip
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from langchain_core import messages as lc

import chatmem.sync
from tests import samples
from tests.cli.program import Run, program


class TestImport:
    def test_the_real_conversations(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """All 150 are stored, each equal; a second import stores nothing."""
        result = run("import", str(samples.DATA))
        assert (result.exit_code, result.output) == (0, "150 conversations, 4,042 messages stored\n")
        for session, messages in samples.conversations().items():
            assert memory.history(session).messages() == messages
        again = run("import", str(samples.DATA))
        assert again.output == "0 conversations, 0 messages stored, 150 already there\n"

    def test_as_a_program_with_a_prefix(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """From standard input, with a prefix for the ids."""
        text = gzip.decompress(samples.DATA.read_bytes()).decode()
        done = program("import", "-", "--prefix-session", "tau-", text=text, CHATMEM_URL=server)
        assert (done.returncode, done.stdout, done.stderr) == (0, "150 conversations, 4,042 messages stored\n", "")
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
        assert "line 12: message 1 is not in OpenAI's format: 'tool_call_id' is missing\n" in result.output
        assert len(result.output.splitlines()) == len(bad) + 1
        assert result.output.endswith("1 conversation, 1 message stored, 12 skipped\n")
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
        assert result.output.startswith("line 2: not JSON: 'utf-8' codec can't decode")
        assert result.output.endswith("1 conversation, 1 message stored, 1 already there, 1 skipped\n")

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
        assert (result.exit_code, result.output.count('"id" must be')) == (1, 2)

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
        assert "the gzip data is damaged" in result.output

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
        assert "session 'talk' holds other messages" in result.output
        assert run("import", str(file), "--append").output == "1 conversation, 1 message stored\n"
        assert run("import", str(file), "--append").output.endswith("1 already there\n")
        assert [message.content for message in memory.history("talk").messages()] == ["something else", "hi"]

    def test_a_json_array(self, run: Run, tmp_path: Path) -> None:
        """A file may be one JSON array of conversations."""
        file = tmp_path / "all.json"
        rows = [{"id": str(n), "messages": [{"role": "user", "content": "hi"}]} for n in range(3)]
        file.write_text(json.dumps(rows, indent=1))
        assert run("import", str(file)).output == "3 conversations, 3 messages stored\n"

    def test_arrays(self, run: Run, tmp_path: Path, memory: chatmem.sync.ChatMemory) -> None:
        """Of any layout, and over any borders of what is read at once."""
        rows = [{"id": str(n), "messages": [{"role": "user", "content": "é" * (n * 997)}]} for n in range(100)]
        for number, text in enumerate(
            (
                json.dumps(rows, ensure_ascii=False),
                json.dumps(rows, ensure_ascii=False, indent=2),
                "\n\ufeff [\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n\n",
                "[\n" + " , ".join(json.dumps(row) for row in rows) + "]",
            )
        ):
            file = tmp_path / f"{number}.json"
            file.write_text(text.removeprefix("\n"), encoding="utf-8")
            done = run("import", str(file), "--prefix-session", f"{number}-")
            assert done.output == "100 conversations, 100 messages stored\n"
            assert memory.history(f"{number}-99").messages() == [lc.HumanMessage("é" * (99 * 997))]
        file.write_text("[\n]\n")
        assert run("import", str(file)).output == "0 conversations, 0 messages stored\n"

    @pytest.mark.parametrize(
        ("end", "problem"),
        [
            ("", "the text ends inside an item"),
            ("]x", "text follows the end of the array"),
            (',\n{"id": 5', "Expecting ',' delimiter"),
            (" {}]", ", or ] expected"),
            (",\n\udcff]", "'utf-8' codec can't decode"),
            (",\n" + "[" * 200_000, "while decoding a JSON array"),  # at which recursion ends
            (",\n" + "1" * 5000 + "]", "Exceeds the limit"),
        ],
    )
    def test_a_damaged_array(
        self, run: Run, tmp_path: Path, memory: chatmem.sync.ChatMemory, end: str, problem: str
    ) -> None:
        """What stands before the damage is stored, and a line says behind which item it is."""
        file = tmp_path / "some.json"
        rows = [json.dumps({"id": n, "messages": [{"role": "user", "content": "x" * 70_000}]}) for n in "abc"]
        file.write_bytes(("[\n" + ",\n".join(rows) + end).encode("utf-8", "surrogateescape"))
        done = run("import", str(file))
        assert (done.exit_code, len(done.output.splitlines())) == (1, 1)
        assert "the array is damaged after item " in done.output
        assert problem in done.output or "ends inside" in done.output or "expected" in done.output
        assert memory.history("a").count() == memory.history("b").count() == 1

    def test_lines_that_begin_as_an_array(self, run: Run, tmp_path: Path, memory: chatmem.sync.ChatMemory) -> None:
        """A damaged first line costs itself alone, whatever it begins with."""
        good = json.dumps({"id": "good", "messages": [{"role": "user", "content": "hi"}]})
        file = tmp_path / "some.jsonl"
        for number, bad in enumerate(("[", "[1", "[[", '{"id": ', "[{}", "[\x00]")):
            file.write_text(f"{bad}\n{good}\n")
            done = run("import", str(file), "--prefix-session", f"{number}")
            assert done.output.startswith("line 1: not JSON")
            assert memory.history(f"{number}good").count() == 1

    @pytest.mark.parametrize("name", ["nowhere.jsonl", "."])
    def test_no_such_file(self, run: Run, name: str) -> None:
        """A file that is not there, or is a folder, is one line."""
        result = run("import", name)
        assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
        assert result.output.startswith("error: ")


def written(path: Path, parts: Iterable[bytes]) -> Path:
    with gzip.open(path, "wb", compresslevel=1) as file:
        for part in parts:
            file.write(part)
    return path


BOUND = 3 * 2**29
"""bytes of address space"""


class TestSizes:
    """Whatever a file unpacks to, memory is bounded and an error says what is too large."""

    MIB: ClassVar[bytes] = b"x" * 2**20
    ITEMS: ClassVar[bytes] = b"{},\n" * 2**18
    CONVERSATION: ClassVar[bytes] = b'{"id": "a", "messages": ['
    FILES: ClassVar[dict[str, tuple[list[bytes], str]]] = {
        "a line": (
            [CONVERSATION, b'{"role": "user", "content": "', *[MIB] * 200, b'"}]}\n'],
            "line 1: longer than",
        ),
        "a line of items": ([CONVERSATION, *[ITEMS.replace(b"\n", b"")] * 200], "line 1: longer than"),
        "an item": ([b"[\n", CONVERSATION, *[ITEMS] * 200], "item 1 is longer than"),
        "items": ([b"[\n", *[ITEMS] * 200], "none of the first 1,000 rows is a conversation"),
        "lines": ([b"{}\n" * 2**18] * 200, "none of the first 1,000 rows is a conversation"),
        "an object": ([b'{\n"id": "a", "messages": [\n', *[ITEMS] * 200], "JSON object of at most 16 MiB"),
        "zeros": ([bytes(2**20)] * 200, "line 1: longer than"),
        "brackets": ([b"[" * 2**20] * 200, "item 1 is longer than"),
        "many messages": (
            [CONVERSATION, b'{"role": "user"},' * 800_000, b"{}]}"],
            "message 1 is not in OpenAI's format",
        ),
        "nested values": (
            [b'{"id": "a", "messages": [{"role": "user", "content": [', b"{}," * (5 * 2**20), b"{}]}]}"],
            "",
        ),
    }

    @pytest.mark.parametrize("name", FILES)
    def test_bounded(self, server: str, tmp_path: Path, name: str) -> None:
        """Files of a few hundred KiB that unpack to hundreds of MiB."""
        parts, problem = self.FILES[name]
        file = written(tmp_path / "bomb.gz", parts)
        command = [sys.executable, "-m", "chatmem.cli", "import", str(file)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**os.environ, "CHATMEM_URL": server},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (BOUND, BOUND)),
        )
        assert (done.returncode, "Traceback" in done.stderr) == (1 if problem else 0, False)
        assert problem in done.stderr
        assert len(done.stderr.splitlines()) <= 1002

    def test_a_long_line_costs_itself(self, run: Run, tmp_path: Path, memory: chatmem.sync.ChatMemory) -> None:
        """The lines around it are stored, and --max-line reads it too."""

        def row(session: str, size: int) -> bytes:
            content = "x" * size
            return json.dumps({"id": session, "messages": [{"role": "user", "content": content}]}).encode() + b"\n"

        exactly = 2**20 - len(row("b", 0)) + 1
        rows = [row("a", 5), row("b", exactly), row("c", exactly + 1), row("d", 3 * 2**20), row("e", 5)]
        file = written(tmp_path / "some.jsonl.gz", rows)
        done = run("import", str(file), "--max-line", "1")
        assert done.exit_code == 1
        text = "longer than 1 MiB; raise the limit with --max-line\n"
        assert done.output == f"line 3: {text}line 4: {text}3 conversations, 3 messages stored, 2 skipped\n"
        assert run("import", str(file)).output == "2 conversations, 2 messages stored, 3 already there\n"

    def test_large_messages(self, run: Run, tmp_path: Path, memory: chatmem.sync.ChatMemory) -> None:
        """They are stored a few at a time, and once."""
        messages = [lc.HumanMessage(str(number) * 3 * 2**20) for number in range(9)]
        memory.history("a").append(*messages)
        file = str(tmp_path / "all.jsonl")
        assert run("export", "--output", file).exit_code == 0
        memory.history("a").clear()
        assert run("import", file).output == "1 conversation, 9 messages stored\n"
        assert run("import", file).output == "0 conversations, 0 messages stored, 1 already there\n"
        assert memory.history("a").messages() == messages

    def test_text_of_errors(self, run: Run, tmp_path: Path) -> None:
        """What they quote is cut."""
        file = tmp_path / "some.jsonl"
        file.write_text(json.dumps({"id": "a", "messages": [{"role": "x" * 100_000, "content": ""}]}))
        done = run("import", str(file))
        assert (done.exit_code, len(done.output) < 3000) == (1, True)


class TestOwners:
    """Whose the sessions are afterwards."""

    @pytest.fixture
    def exported(self, run: Run, tmp_path: Path, memory: chatmem.sync.ChatMemory) -> str:
        """A file with a session of alice and one of nobody, which are not on the server any more."""
        memory.history("hers", user="alice").append("x", lc.AIMessage("y", id="1"))
        memory.history("nobodys").append("x")
        file = str(tmp_path / "all.jsonl")
        assert run("export", "hers", "nobodys", "--output", file).exit_code == 0
        memory.forget("alice")
        memory.history("nobodys").clear()
        return file

    def test_a_user(self, run: Run, memory: chatmem.sync.ChatMemory, exported: str, tmp_path: Path) -> None:
        """What is nobody's in the file gets its owner; what is somebody else's there is not given away."""
        done = run("import", exported, "--user", "bob")
        assert done.exit_code == 1
        assert done.output.startswith(
            "line 1: session 'hers' belongs to user 'alice' in the file, but --user says 'bob'\n"
        )
        assert done.output.endswith("1 conversation, 1 message stored, 1 skipped\n")
        assert memory.history("hers").count() == 0
        assert memory.history("nobodys").info().user == "bob"

    def test_a_file(self, run: Run, memory: chatmem.sync.ChatMemory, exported: str, tmp_path: Path) -> None:
        """Ids in it are those of the file that is imported."""
        owners = tmp_path / "owners.csv"
        owners.write_text("id,owner\nhers,alice\nnobodys,carl\n")
        done = run("import", exported, "--users", str(owners), "--prefix-session", "p-")
        assert (done.exit_code, done.output) == (0, "2 conversations, 3 messages stored\n")
        assert [memory.history(name).info().user for name in ("p-hers", "p-nobodys")] == ["alice", "carl"]
        owners.write_text("hers,alice\n")
        again = run("import", exported, "--users", str(owners))
        assert "1 session without an owner: not in the file of --users" in again.output

    def test_conversations_say_whose_they_are(
        self, run: Run, memory: chatmem.sync.ChatMemory, exported: str, tmp_path: Path
    ) -> None:
        """OpenAI's and LangChain's forms keep the owner too."""
        assert run("import", exported).exit_code == 0
        for form in ("openai", "langchain"):
            file = str(tmp_path / f"{form}.jsonl")
            assert run("export", "--match", "*ys", "--format", form, "--output", file).exit_code == 0
            assert run("export", "hers", "--format", form, "--output", file).exit_code == 0
            assert run("import", file, "--prefix-session", form).exit_code == 0
            assert memory.history(f"{form}hers").info().user == "alice"
        file_ = tmp_path / "wrong.jsonl"
        file_.write_text('{"id": "a", "user": 5, "messages": [{"role": "user", "content": "x"}]}')
        assert 'line 1: "user" must be a non-empty string' in run("import", str(file_)).output

    def test_sessions_that_are_there(self, run: Run, memory: chatmem.sync.ChatMemory, exported: str) -> None:
        """Nobody's with the same messages gets its owner; somebody else's stays theirs, whatever it holds."""
        memory.history("nobodys").append("x")
        assert run("import", exported).exit_code == 0
        assert run("import", exported, "--user", "alice").exit_code == 0
        assert memory.history("nobodys").info().user == "alice"
        before = memory.history("nobodys").info()
        for more in ([], ["--append"]):
            done = run("import", exported, "--user", "bob", *more)
            assert done.exit_code == 1
            assert "line 4: the session is another user's, or nobody's" in done.output
        assert memory.history("nobodys").info() == before
        assert memory.sessions("bob").sessions == []

    @pytest.mark.parametrize("damage", ['"ttl": NaN', '"ttl": -1', '"user": 5', '"created_at": "soon"', '"title": []'])
    def test_a_session_whose_line_is_damaged(
        self, run: Run, memory: chatmem.sync.ChatMemory, exported: str, damage: str
    ) -> None:
        """Its messages are not stored as nobody's."""
        lines = Path(exported).read_text().splitlines()
        lines[0] = json.dumps(json.loads(lines[0]) | json.loads(f"{{{damage}}}"))
        Path(exported).write_text("\n".join(lines))
        done = run("import", exported)
        assert (done.exit_code, done.output.startswith("line 1: ")) == (1, True)
        assert done.output.endswith("1 conversation, 1 message stored, 1 skipped\n")
        assert memory.history("hers").count() == 0


def test_ids_that_are_not_unique(run: Run, memory: chatmem.sync.ChatMemory, tmp_path: Path) -> None:
    """What a session holds under one id, the same content too, comes back all of it."""
    messages = [lc.HumanMessage("a", id="1"), lc.HumanMessage("b", id="1"), lc.AIMessage("c", id="2")]
    memory.history("a").append(*messages, on_known_id="add")
    exported = str(tmp_path / "all.jsonl")
    assert run("export", "--output", exported).exit_code == 0
    lines = Path(exported).read_text().splitlines()
    Path(exported).write_text("\n".join([*lines, *lines[1:]]))
    memory.history("a").clear()
    assert run("import", exported).output == "1 conversation, 6 messages stored\n"
    assert memory.history("a").messages() == messages * 2
    assert run("import", exported).output == "0 conversations, 0 messages stored, 1 already there\n"
