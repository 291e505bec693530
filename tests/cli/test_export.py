"""`chatmem export`, and what `import` makes of its files."""

from __future__ import annotations

import gzip
import json
import os
import secrets
import stat
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from langchain_core import messages as lc

import chatmem.sync
from chatmem.codec import record
from chatmem.core.keys import session_keys
from tests import samples
from tests.cli.program import Run, program


@pytest.fixture
def other(url: str) -> Any:
    """Another empty database, to import into."""
    database = url.removesuffix("/0") + "/9"
    yield database
    with redis.Redis.from_url(database) as raw:
        raw.flushdb()


def stored(url: str, session: str) -> list[tuple[str | None, Any, lc.BaseMessage]]:
    """Return ids, times and messages."""
    with chatmem.sync.connect(url) as memory:
        entries = list(memory.history(session).entries(strict=True))
    assert all(entry.message is not None for entry in entries)
    return [(entry.id, entry.created_at, entry.message) for entry in entries]  # type: ignore[misc]


def records(url: str, session: str) -> list[bytes]:
    """Return the stored records themselves."""
    with redis.Redis.from_url(url) as raw:
        elements: list[bytes] = raw.lrange(session_keys("chatmem", session).messages.decode(), 0, -1)
        return elements


class TestExactly:
    def test_all_kinds(
        self, run: Run, server: str, other: str, memory: chatmem.sync.ChatMemory, tmp_path: Path
    ) -> None:
        """What import stores is byte for byte what was exported: classes that this process does not know too."""
        memory.history("kinds").append(*samples.kinds().values())
        file = tmp_path / "kinds.jsonl"
        assert run("export", "kinds", "--output", str(file)).exit_code == 0
        done = run("import", str(file), "--url", other)
        assert (done.exit_code, done.output) == (0, "1 conversation, 22 messages stored\n")
        assert records(other, "kinds") == records(server, "kinds")
        for (left, time, message), (right, other_time, copy) in zip(
            stored(server, "kinds"), stored(other, "kinds"), strict=True
        ):
            assert (left, time) == (right, other_time)
            assert samples.same(message, copy)

    def test_the_real_conversations(self, run: Run, server: str, other: str, tmp_path: Path) -> None:
        """All 150, through a gzipped file; a second import stores nothing."""
        run("import", str(samples.DATA))
        file = tmp_path / "all.jsonl.gz"
        assert run("export", "-o", str(file)).exit_code == 0
        assert file.read_bytes()[:2] == b"\x1f\x8b"
        assert run("import", str(file), "--url", other).output == "150 conversations, 4,042 messages stored\n"
        for session, messages in samples.conversations().items():
            assert [message for _, _, message in stored(other, session)] == messages
            assert records(other, session) == records(server, session)
        again = run("import", str(file), "--url", other)
        assert (again.exit_code, again.output) == (0, "0 conversations, 0 messages stored, 150 already there\n")

    def test_what_is_known_of_a_session(self, run: Run, other: str, server: str, tmp_path: Path) -> None:
        """User, title, metadata, times and time to live travel, and the user's list has its order."""
        file = tmp_path / "all.jsonl"
        with chatmem.sync.connect(server, ttl=1000) as memory:
            for name in ("old", "n}ew"):
                memory.history(name, user="ann").append("a", "b")
                memory.history(name, user="ann").append("c")
            memory.history("old").update(title="Title", metadata={"a": [1, None]})
            infos = memory.sessions("ann").sessions
        run("export", "--output", str(file))
        lines = file.read_text().splitlines()
        file.write_text("\n".join(lines[4:] + lines[:4]))  # the other one first
        assert run("import", str(file), "--url", other).exit_code == 0
        with chatmem.sync.connect(other) as memory:
            copies = memory.sessions("ann").sessions
        for info, copy in zip(infos, copies, strict=True):
            names = ("session_id", "count", "user", "title", "metadata", "created_at", "updated_at")
            assert [getattr(copy, name) for name in names] == [getattr(info, name) for name in names]
            assert info.ttl is not None
            assert copy.ttl is not None
            assert info.ttl - 60 < copy.ttl <= info.ttl + 0.01
        with redis.Redis.from_url(other) as raw:
            keys = list(raw.scan_iter("chatmem:{*"))
            assert len({raw.pexpiretime(key) for key in keys if b"old" in key}) == 1

    @settings(max_examples=60)
    @given(message=samples.messages)
    def test_any_message(self, message: lc.BaseMessage) -> None:
        """The record of a line is ready to be appended as it was the first time."""
        part = record.encode(message, 0, record.now())
        assert record.encoded(record.plain_record(b"7:" + part.record)) == part

    def test_compressed_and_encrypted(self, server: str, other: str, tmp_path: Path) -> None:
        """Both are undone in the file, and done anew where it is imported."""
        messages = samples.conversations()["airline-2-0"]
        key = f"k={b64encode(secrets.token_bytes(32)).decode()}"
        ring = chatmem.KeyRing.parse(key)
        with chatmem.sync.connect(server, compression="zstd", encryption=ring) as memory:
            memory.history("s", user="u").append(*messages)
            memory.history("s").update(title="secret")
        file = tmp_path / "s.jsonl"
        blind = program("export", "-o", str(file), CHATMEM_URL=server)
        assert blind.returncode == 1
        assert blind.stderr.count("encrypted with the key 'k'") == len(messages)
        done = program("export", "-o", str(file), CHATMEM_URL=server, CHATMEM_KEYS=key)
        assert (done.returncode, done.stderr) == (0, "1 session written\n")
        done = program("import", str(file), CHATMEM_URL=other, CHATMEM_KEYS=key)
        assert (done.returncode, done.stderr) == (0, "")
        with chatmem.sync.connect(other, encryption=ring) as memory:
            assert memory.history("s").messages() == messages
            assert memory.history("s").info().title == "secret"
        assert program("show", "s", CHATMEM_URL=other).returncode == 1

    def test_a_dictionary(self, run: Run, server: str, other: str, tmp_path: Path) -> None:
        """Records that are compressed with one can be read where it is not."""
        messages = samples.conversations()["airline-2-0"]
        dictionary = chatmem.Dictionary.train(message for some in samples.conversations().values() for message in some)
        with chatmem.sync.connect(server, compression=dictionary) as memory:
            memory.history("s").append(*messages)
        file = tmp_path / "s.jsonl"
        assert program("export", "-o", str(file), CHATMEM_URL=server).returncode == 0
        assert program("import", str(file), CHATMEM_URL=other).returncode == 0
        with redis.Redis.from_url(other) as raw:
            assert not list(raw.scan_iter("chatmem:dictionary:*"))
        assert [message for _, _, message in stored(other, "s")] == messages


class TestImportAgain:
    def test_onto_what_is_there(self, run: Run, memory: chatmem.sync.ChatMemory, tmp_path: Path) -> None:
        """Where the sessions came from nothing is doubled; what was erased comes back, and so does a lost end."""
        for name in ("kept", "erased", "cut", "longer", "edited"):
            memory.history(name).append(*map(str, range(1200)))
        file = tmp_path / "all.jsonl"
        run("export", "-o", str(file))
        memory.history("erased").clear()
        memory.history("cut").truncate(after=700)
        memory.history("longer").append("more")
        memory.history("edited").replace(600, "other")
        done = run("import", str(file))
        assert done.exit_code == 1
        assert "session 'edited' holds other messages" in done.output
        assert done.output.endswith("2 conversations, 1,699 messages stored, 2 already there, 1 skipped\n")
        for name in ("kept", "erased", "cut"):
            assert [message.content for message in memory.history(name).messages()] == list(map(str, range(1200)))
        assert memory.history("longer").count() == 1201
        assert memory.history("edited").get(600).message.content == "other"  # type: ignore[union-attr]

    @pytest.mark.parametrize("known", [1, 2, 3, 500, 501])
    def test_onto_messages_with_ids(
        self, run: Run, memory: chatmem.sync.ChatMemory, tmp_path: Path, known: int
    ) -> None:
        """The first messages are known by their ids; the others are not doubled either."""
        memory.history("a").append(*(lc.HumanMessage(str(n), id=f"i{n}" if n < known else None) for n in range(600)))
        file = tmp_path / "a.jsonl"
        run("export", "a", "-o", str(file))
        for _ in range(2):
            done = run("import", str(file))
            assert (done.exit_code, done.output) == (0, "0 conversations, 0 messages stored, 1 already there\n")
        memory.history("a").truncate(after=550)
        assert run("import", str(file)).output == "1 conversation, 49 messages stored\n"
        assert [message.content for message in memory.history("a").messages()] == list(map(str, range(600)))
        memory.history("a").replace(300, "other")
        assert "holds other messages" in run("import", str(file)).output
        assert memory.history("a").count() == 600

    def test_append(self, run: Run, memory: chatmem.sync.ChatMemory, tmp_path: Path) -> None:
        """--append puts it behind what is there, once."""
        memory.history("a").append("1", "2")
        file = tmp_path / "a.jsonl"
        run("export", "a", "-o", str(file))
        memory.history("a").clear()
        memory.history("a").append("0")
        for _ in range(2):
            assert run("import", str(file), "--append").exit_code == 0
        assert [message.content for message in memory.history("a").messages()] == ["0", "1", "2"]

    def test_damaged_lines(self, run: Run, memory: chatmem.sync.ChatMemory, other: str, tmp_path: Path) -> None:
        """Each is named with its number, and the rest goes on."""
        for name in ("a", "b"):
            memory.history(name, user="u").append("0", "1", "2")
        file = tmp_path / "some.jsonl"
        run("export", "-o", str(file))
        whole = file.read_text().splitlines()
        broken = list(whole)
        broken[1] = broken[1].replace('"record": "', '"record": "!')
        broken[4] = broken[4][:-10]
        broken[7] = json.dumps({**json.loads(broken[7]), "record": b64encode(b"\x02nothing").decode()})
        file.write_text("\n".join(broken))
        done = run("import", str(file), "--url", other)
        assert done.exit_code == 1
        lines = [line.partition(":")[0] for line in done.output.splitlines()]
        assert lines[:3] == ["line 2", "line 5", "line 8"]
        assert done.output.endswith("2 conversations, 4 messages stored, 3 skipped\n")

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"chatmem": 2}, "format 2 is not known"),
            ({"user": 5}, '"user" has the wrong type'),
            ({"ttl": -1}, '"ttl" must be above 0'),
            ({"created_at": "yesterday"}, "'yesterday' is not a time"),
            ({"session": ""}, '"session" must be'),
        ],
    )
    def test_a_wrong_head(
        self, run: Run, memory: chatmem.sync.ChatMemory, other: str, tmp_path: Path, change: dict[str, Any], reason: str
    ) -> None:
        """The first line of a session says what it may not be."""
        memory.history("a").append("0")
        file = tmp_path / "a.jsonl"
        run("export", "-o", str(file))
        head, message = file.read_text().splitlines()
        file.write_text(json.dumps({**json.loads(head), **change}) + "\n" + message)
        done = run("import", str(file), "--url", other)
        assert done.exit_code == 1
        assert f"line 1: {reason}" in done.output


class TestForms:
    @pytest.mark.parametrize("form", ["openai", "langchain"])
    def test_the_real_conversations(self, run: Run, other: str, tmp_path: Path, form: str) -> None:
        """One line a session, which import recognises, and stores equal."""
        run("import", str(samples.DATA))
        file = tmp_path / "all.jsonl"
        assert run("export", "--format", form, "-o", str(file)).exit_code == 0
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        assert [set(row) for row in rows] == [{"id", "messages"}] * 150
        assert run("import", str(file), "--url", other).output == "150 conversations, 4,042 messages stored\n"
        assert run("import", str(file), "--url", other).output.endswith("150 already there\n")
        with chatmem.sync.connect(other) as memory:
            for session, messages in samples.conversations().items():
                assert memory.history(session).messages() == messages

    def test_langchains_own_reader(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """`messages_from_dict` reads a line; what JSON cannot carry is text, and stderr says so."""
        kinds = samples.kinds()
        plain = [kinds[name] for name in ("id and name", "tool calls", "usage", "v1 blocks", "extra field", "remove")]
        memory.history("a").append(*plain, kinds["bytes artifact"], kinds["NaN"])
        done = run("export", "a", "--format", "langchain")
        assert done.exit_code == 0
        read = lc.messages_from_dict(json.loads(done.stdout)["messages"])
        assert read[:-2] == plain
        assert "values that JSON cannot hold became text in 2 messages" in done.stderr

    def test_openai_has_no_word_for_it(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """A message that OpenAI's format lacks is named, and left out."""
        memory.history("a").append("hi", lc.RemoveMessage(id="x"), lc.ChatMessage(content="x", role="narrator"))
        done = run("export", "a", "--format", "openai")
        assert (done.exit_code, json.loads(done.stdout)["messages"]) == (1, [{"role": "user", "content": "hi"}])
        assert "left out position 1 of 'a'" in done.stderr
        assert "left out position 2 of 'a': OpenAI's format has no role 'narrator'" in done.stderr

    @pytest.mark.parametrize("arguments", ["{bad", "", "[1]", "5", "null", '"x"', "[" * 100_000])
    @pytest.mark.parametrize("valid", [True, False])
    def test_invalid_calls(
        self, run: Run, other: str, tmp_path: Path, memory: chatmem.sync.ChatMemory, arguments: str, valid: bool
    ) -> None:
        """A call whose arguments are no JSON object is in OpenAI's format as the model wrote it, and comes back."""
        called = [{"name": "good", "args": {"x": 1}, "id": "c1"}] if valid else []
        broken = lc.InvalidToolCall(type="invalid_tool_call", name="bad", args=arguments, id="c2", error=None)
        turn = [
            lc.AIMessage("", tool_calls=called, invalid_tool_calls=[broken]),
            lc.ToolMessage("x", tool_call_id="c2"),
        ]
        memory.history("a").append(*turn)
        file = tmp_path / "a.jsonl"
        assert run("export", "a", "--format", "openai", "-o", str(file)).exit_code == 0
        (row, _) = json.loads(file.read_text())["messages"]
        assert [call["function"]["arguments"] for call in row["tool_calls"]] == [*['{"x": 1}'] * valid, arguments]
        assert run("import", str(file), "--url", other).exit_code == 0
        with chatmem.sync.connect(other) as imported:
            assert imported.history("a").messages() == turn

    def test_markdown(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """Headings are the roles; what messages say is quoted, so that none can pass for another."""
        memory.history("a_b").append(
            lc.HumanMessage("hi\n## ai\n\nno \x1b[2J", name="*ann*"),
            lc.AIMessage("", tool_calls=[{"name": "book", "args": {"x": "```"}, "id": "1"}]),
        )
        memory.history("a_b").update(title="On [this]")
        lines = run("export", "a_b", "--format", "markdown").output.splitlines()
        assert lines[0] == "# On \\[this\\]"
        assert lines[2] == "Session a\\_b"
        assert next(line for line in lines if line.startswith("## ")).startswith("## human \\*ann\\*, 20")
        assert lines[6:10] == ["> hi", "> ## ai", ">", "> no \\x1b[2J"]
        assert lines[-6:] == ["> ````json", "> {", '>   "x": "```"', "> }", "> ````", ""]


class TestFile:
    def test_it_appears_whole(self, run: Run, memory: chatmem.sync.ChatMemory, tmp_path: Path) -> None:
        """Nobody else can read it; where it cannot be written, what was there stays, and nothing is left beside it."""
        memory.history("a").append("x")
        file = tmp_path / "a.jsonl"
        file.write_text("before")
        assert run("export", "-o", str(file)).exit_code == 0
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert len(file.read_text().splitlines()) == 2
        done = run("export", "-o", str(tmp_path / "nowhere" / "a.jsonl"))
        folder = (tmp_path / "nowhere").resolve()
        assert (done.exit_code, len(done.output.splitlines())) == (1, 1)
        assert done.output == f"error: cannot write {folder / 'a.jsonl'}: the folder {folder} does not exist\n"
        assert "it is a folder" in run("export", "-o", str(tmp_path)).output
        assert list(tmp_path.iterdir()) == [file]

    def test_a_device(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """/dev/null stays what it is."""
        memory.history("a").append("x")
        assert run("export", "-o", "/dev/null").exit_code == 0
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)

    def test_an_unreadable_record(self, run: Run, memory: chatmem.sync.ChatMemory, server: str, tmp_path: Path) -> None:
        """It is named, the rest is written, and the exit code says that not all is there."""
        memory.history("a").append("x", "y", "z")
        with redis.Redis.from_url(server) as raw:
            raw.lset(session_keys("chatmem", "a").messages.decode(), 1, "damaged")
        for form in ("jsonl", "markdown", "openai", "langchain"):
            done = run("export", "--format", form)
            assert (done.exit_code, done.stderr.startswith("left out position 1: ")) == (1, True)
            assert "damaged" not in done.stdout

    def test_which_sessions(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """By ids, user, glob; all by default; a missing one is named, and the others are written."""
        for name, user in (("a1", "ann"), ("a2", "bob"), ("b1", "ann")):
            memory.history(name, user=user).append("x")

        def sessions(*arguments: str) -> list[str]:
            rows = map(json.loads, run("export", *arguments).stdout.splitlines())
            return sorted(row["session"] for row in rows if "chatmem" in row)

        assert sessions() == ["a1", "a2", "b1"]
        assert sessions("--user", "ann") == ["a1", "b1"]
        assert sessions("--match", "a*") == ["a1", "a2"]
        assert sessions("--match", "a*", "--user", "ann") == ["a1"]
        assert sessions("b1", "a2", "none") == ["a2", "b1"]
        done = run("export", "none", "a1")
        assert (done.exit_code, done.stderr) == (1, "no session 'none'\n")
        assert run("export", "a1", "--match", "*").exit_code == 2

    @pytest.mark.skipif(sys.platform != "linux", reason="/proc says how much memory a program took")
    def test_a_long_session(self, server: str, memory: chatmem.sync.ChatMemory, other: str, tmp_path: Path) -> None:
        """100,000 messages are never in memory at once, in neither direction."""
        text = "x" * 500
        for start in range(0, 100_000, 5000):
            memory.history("long").append(*(f"{n} {text}" for n in range(start, start + 5000)))
        file = tmp_path / "long.jsonl"
        idle = peak("sessions", "--match", "none", CHATMEM_URL=server)  # which loads all that the others load
        for arguments, at in ((("export", "-o", str(file)), server), (("import", str(file)), other)):
            assert peak(*arguments, CHATMEM_URL=at) < idle + 40 * 2**10
        with chatmem.sync.connect(other) as copy:
            assert copy.history("long").count() == 100_000
        assert len(file.read_bytes()) > 50 * 2**20
        with gzip.open(tmp_path / "long.gz", "wb", 1) as packed:
            packed.write(file.read_bytes())
        assert peak("import", str(tmp_path / "long.gz"), CHATMEM_URL=other) < idle + 40 * 2**10


def peak(*arguments: str, **environment: str) -> int:
    """Return how many KiB `chatmem` took at its most.

    What getrusage says of a program is at least what the one that started it took.
    """
    script = (
        "import sys\nfrom chatmem.cli import main\n"
        "try: main()\nexcept SystemExit as end: assert not end.code\n"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0], file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return int(done.stderr.splitlines()[-1])
