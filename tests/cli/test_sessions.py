"""`chatmem sessions`, `search` and `erase`: what looks over all sessions."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem.sync
from chatmem.core.keys import session_keys
from tests import samples
from tests.cli.program import Run, program


def rows(done: Any) -> list[dict[str, Any]]:
    """Return the JSON objects of stdout."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def ids(done: Any) -> list[str]:
    return [row["session_id"] for row in rows(done)]


class TestSessions:
    def test_the_table(self, run: Run, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """The one written last first; what is stored cannot drive the terminal."""
        with chatmem.sync.connect(server, ttl=7200) as expiring:
            expiring.history("first", user="ann").append("x", "y")
        memory.history("second").append("x")
        memory.history("second").update(title="A \x1b[31m title\nof two lines")
        lines = [line.strip() for line in run("sessions").output.splitlines() if line.strip()]
        assert lines[0].split() == ["session", "user", "title", "messages", "written", "expires", "in"]
        assert lines[2].startswith("second")
        assert "A \\x1b[31m title of two lines" in lines[2]
        assert lines[2].endswith("never")
        assert lines[3].split()[:3] == ["first", "ann", "2"]
        assert lines[3].endswith("1 hour")

    def test_json(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """All that `info` says."""
        memory.history("a", user="ann").append("x")
        memory.history("a").update(metadata={"k": 1})
        (row,) = rows(run("sessions", "--json"))
        info = memory.history("a").info()
        assert info.created_at is not None
        assert row == {
            "session_id": "a",
            "count": 1,
            "version": 1,
            "created_at": info.created_at.isoformat(),
            "updated_at": info.created_at.isoformat(),
            "ttl": None,
            "user": "ann",
            "title": None,
            "metadata": {"k": 1},
            "archived": False,
            "pinned": False,
            "tags": [],
            "revision": info.revision,
            "answers": [],
        }

    def test_json_of_an_answer_that_runs(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """Its time is written as the session's times are."""
        with memory.history("a").answer("Why?", id="x"):
            (row,) = rows(run("sessions", "--json"))
            (answer,) = memory.history("a").info().answers
        assert row["answers"] == [{"id": "x", "started_at": answer.started_at.isoformat(), "stopping": False}]

    def test_which(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """By user, glob, both; so many. Ids with any characters are found, and their own braces do no harm."""
        for name, user in (("a1", "ann"), ("a2", "bob"), ("b}:m", "ann"), ("é*[x]%7D", "ann"), ("bro\ud800", "bob")):
            memory.history(name, user=user).append("x")
        assert ids(run("sessions", "--json")) == ["bro\ud800", "é*[x]%7D", "b}:m", "a2", "a1"]
        assert ids(run("sessions", "--json", "--limit", "2")) == ["bro\ud800", "é*[x]%7D"]
        assert ids(run("sessions", "--json", "--user", "ann")) == ["é*[x]%7D", "b}:m", "a1"]
        assert ids(run("sessions", "--json", "--match", "a*")) == ["a2", "a1"]
        assert ids(run("sessions", "--json", "--match", "a*", "--user", "bob")) == ["a2"]
        assert ids(run("sessions", "--json", "--match", "b}*")) == ["b}:m"]
        assert ids(run("sessions", "--json", "--match", "é\\*\\[x\\]%7D")) == ["é*[x]%7D"]
        done = run("sessions", "--match", "nothing")
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", "no sessions\n")

    def test_a_prefix(self, run: Run, server: str) -> None:
        """Memories under another prefix are others."""
        with chatmem.sync.connect(server, prefix="my*app") as memory:
            memory.history("a").append("x")
        assert ids(run("sessions", "--json")) == []
        assert ids(run("sessions", "--json", "--prefix", "my*app")) == ["a"]
        assert ids(program("sessions", "--json", CHATMEM_URL=server, CHATMEM_PREFIX="my*app")) == ["a"]
        assert run("show", "a", "--prefix", "my*app").exit_code == 0
        assert run("sessions", "--prefix", "{x}").exit_code == 1

    def test_more_than_a_slice(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """Each once, however many there are."""
        for number in range(250):
            memory.history(str(number), user="ann").append("x", lc.HumanMessage("y", id="i"))
        wanted = [str(number) for number in reversed(range(250))]
        assert ids(run("sessions", "--json")) == wanted
        assert ids(run("sessions", "--json", "--user", "ann")) == wanted

    def test_keys_of_others(self, run: Run, memory: chatmem.sync.ChatMemory, server: str) -> None:
        """A key of a wrong type is named, one that no session has is not taken for one; the rest is listed."""
        memory.history("a").append("x")
        with redis.Redis.from_url(server) as raw:
            raw.set("chatmem:{wrong}:m", "x")
            raw.rpush(b"chatmem:{\xff}:m", "x")
            raw.rpush("chatmem:{%zz}:m", "x")
            raw.rpush("chatmem:{}:m", "x")
        done = run("sessions", "--json")
        assert (done.exit_code, ids(done)) == (1, ["a"])
        assert done.stderr.count("\n") == 1
        assert "the key chatmem:{wrong}:m holds data that chatmem did not write" in done.stderr


class TestSearch:
    @pytest.fixture
    def filled(self, memory: chatmem.sync.ChatMemory) -> None:
        memory.history("a", user="ann").append("I want a refund", "no \x1b[2J refund, a Refund!")
        memory.history("b", user="ann").append("hello")
        memory.history("c", user="bob").append("the refund of refunds " + "x" * 1000 + " refund")

    @pytest.mark.usefixtures("filled")
    def test_where(self, run: Run) -> None:
        """In one session, a user's, or all; the best first."""

        def found(*arguments: str) -> list[tuple[str, int]]:
            return [(row["session"], row["seq"]) for row in rows(run("search", "refund", "--json", *arguments))]

        assert found() == [("a", 1), ("a", 0), ("c", 0)]
        assert found("--limit", "1") == [("a", 1)]
        assert found("--session", "c") == [("c", 0)]
        assert found("--user", "ann") == [("a", 1), ("a", 0)]
        assert found("--match", "[bc]") == [("c", 0)]
        assert run("search", "refund", "--session", "c", "--user", "ann").exit_code == 2
        assert run("search", "refund", "--session", "none").exit_code == 1

    @pytest.mark.usefixtures("filled")
    def test_json(self, run: Run) -> None:
        """Spans are offsets into the text."""
        row = rows(run("search", "refund", "--json", "--session", "a"))[0]
        assert [row["text"][start:end] for start, end in row["spans"]] == ["refund", "Refund"]
        assert row["message"]["data"]["content"] == row["text"]
        assert row["score"] > 1

    @pytest.mark.usefixtures("filled")
    def test_the_excerpt(self, run: Run) -> None:
        """Around the first words that were found; it cannot drive the terminal."""
        lines = run("search", "refund").output.splitlines()
        assert lines[1] == "     no \\x1b[2J refund, a Refund!"
        assert lines[5].startswith("     the refund of refunds xxx")
        assert lines[5].endswith("x…")
        assert len(lines[5]) < 350

    @pytest.mark.usefixtures("filled")
    def test_it_is_marked_on_a_terminal(self, server: str) -> None:
        """What was found is bold there, unless NO_COLOR is set."""
        pexpect = pytest.importorskip("pexpect")
        command = ["-m", "chatmem.cli", "search", "refund", "--session", "a", "--limit", "1"]
        environment = {**os.environ, "CHATMEM_URL": server, "TERM": "xterm-256color"}
        terminal = pexpect.spawn(sys.executable, command, env=environment, encoding="utf-8", timeout=20)
        terminal.expect_exact("\x1b[1;33mrefund\x1b[0m, a \x1b[1;33mRefund\x1b[0m!")
        terminal = pexpect.spawn(
            sys.executable, command, env={**environment, "NO_COLOR": "1"}, encoding="utf-8", timeout=20
        )
        terminal.expect(pexpect.EOF)
        assert "\x1b[1;33m" not in terminal.before

    def test_nothing(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """Nothing found is no failure; a query without a word is one."""
        memory.history("a").append("x")
        done = run("search", "refund")
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", "nothing found\n")
        assert run("search", "!?").exit_code == 1

    def test_what_could_not_be_read(self, server: str) -> None:
        """Without the keys nothing is found, and it says why."""
        with chatmem.sync.connect(server, encryption=chatmem.KeyRing({"k": b"x" * 32})) as memory:
            memory.history("a").append("refund", "x")
        done = program("search", "refund", CHATMEM_URL=server)
        assert done.returncode == 1
        assert "session 'a': 2 messages could not be read" in done.stderr


class TestErase:
    @pytest.fixture
    def filled(self, memory: chatmem.sync.ChatMemory) -> None:
        for name, user in (("a1", "ann"), ("a2", "bob"), ("b1", "ann")):
            memory.history(name, user=user).append("x", lc.HumanMessage("y", id="i"))

    @pytest.mark.usefixtures("filled")
    @pytest.mark.parametrize(
        ("arguments", "left"),
        [
            (["a1"], ["b1", "a2"]),
            (["a1", "a2"], ["b1"]),
            (["--user", "ann"], ["a2"]),
            (["--match", "a*"], ["b1"]),
            (["--match", "a*", "--user", "ann"], ["b1", "a2"]),
            (["--match", "*"], []),
        ],
    )
    def test_which(
        self, run: Run, memory: chatmem.sync.ChatMemory, server: str, arguments: list[str], left: list[str]
    ) -> None:
        """No key of theirs is left, and no entry in their user's list."""
        done = run("erase", "--yes", *arguments)
        count = 3 - len(left)
        sessions = "1 session" if count == 1 else f"{count} sessions"
        assert (done.exit_code, done.output) == (0, f"{sessions} with {2 * count} messages erased\n")
        assert ids(run("sessions", "--json")) == left
        with redis.Redis.from_url(server) as raw:
            assert len(list(raw.scan_iter("chatmem:{*"))) == 3 * len(left)
            assert sum(raw.zcard(key) for key in raw.scan_iter("chatmem:user:*")) == len(left)

    @pytest.mark.usefixtures("filled")
    def test_without_anybody_to_ask(self, server: str) -> None:
        """It erases nothing, and says how to."""
        done = program("erase", "a1", CHATMEM_URL=server)
        assert (done.returncode, done.stdout) == (2, "")
        assert "--yes" in done.stderr
        assert program("erase", "--yes", CHATMEM_URL=server).returncode == 2
        assert program("erase", "a1", "--match", "*", "--yes", CHATMEM_URL=server).returncode == 2
        assert len(ids(program("sessions", "--json", CHATMEM_URL=server))) == 3

    @pytest.mark.usefixtures("filled")
    def test_a_dry_run(self, run: Run) -> None:
        """It says what it would erase; as JSON too."""
        assert run("erase", "--dry-run", "--match", "*").output == "3 sessions with 6 messages to erase\n"
        done = run("erase", "--dry-run", "--match", "*", "--json")
        assert rows(done) == [{"sessions": 3, "messages": 6, "erased": False}]
        assert len(ids(run("sessions", "--json"))) == 3

    @pytest.mark.usefixtures("filled")
    def test_one_that_is_not_there(self, run: Run) -> None:
        """It is named; the others are erased."""
        done = run("erase", "none", "a1", "--yes")
        assert (done.exit_code, done.stderr) == (1, "no session 'none'\n")
        assert ids(run("sessions", "--json")) == ["b1", "a2"]

    @pytest.mark.usefixtures("filled")
    @pytest.mark.parametrize(("answer", "code", "left"), [("y", 0, 1), ("n", 1, 3), ("", 1, 3), ("\x03", 130, 3)])
    def test_it_asks(self, server: str, memory: chatmem.sync.ChatMemory, answer: str, code: int, left: int) -> None:
        """On a terminal; Enter is no, and so is Ctrl-C."""
        pexpect = pytest.importorskip("pexpect")
        environment = {**os.environ, "CHATMEM_URL": server, "TERM": "dumb"}
        command = ["-m", "chatmem.cli", "erase", "--user", "ann"]
        terminal = pexpect.spawn(sys.executable, command, env=environment, encoding="utf-8", timeout=20)
        terminal.expect_exact("erase 2 sessions with 4 messages? [y/N] ")
        terminal.send(answer) if answer == "\x03" else terminal.sendline(answer)
        terminal.expect(pexpect.EOF)
        terminal.close()
        assert (terminal.exitstatus, "Traceback" in terminal.before) == (code, False)
        assert len(memory.sessions("ann").sessions) + 1 == left


def test_the_real_conversations(run: Run) -> None:
    """A search over all of them, and a place for each message of the best."""
    run("import", str(samples.DATA))
    done = run("search", '"travel insurance" refund', "--json", "--limit", "500")
    found = rows(done)
    assert len(found) > 100
    assert [row["score"] for row in found] == sorted((row["score"] for row in found), reverse=True)
    texts = {(name, n): m.text for name, some in samples.conversations().items() for n, m in enumerate(some)}
    assert all(texts[row["session"], row["seq"]] == row["text"] for row in found)


def test_session_keys_are_what_is_scanned(memory: chatmem.sync.ChatMemory, run: Run, server: str) -> None:
    """A session that lost all but one key is found by that one."""
    for name in "mis":
        memory.history(name).append(lc.HumanMessage("x", id="i"))
    with redis.Redis.from_url(server) as raw:
        for name in "mis":
            gone = [key for key in session_keys("chatmem", name) if not key.endswith(name.encode())]
            raw.delete(*gone)
    from chatmem.cli.store import Store

    with Store(server, "chatmem", None) as store:
        assert sorted(store.find()) == ["i", "m", "s"]


def test_marks(run: Run, memory: chatmem.sync.ChatMemory, tmp_path: Path) -> None:
    """All sessions are listed with their marks; the options choose among them, with and without a user."""
    for name in ("a", "b", "c"):
        memory.history(name, user="ann").append("x")
    memory.history("a", user="ann").update(archived=True, title="Lima")
    memory.history("b", user="ann").update(pinned=True, tags=["work"])
    choices: dict[tuple[str, ...], set[str]] = {
        (): {"a", "b", "c"},
        ("--archived",): {"a"},
        ("--not-archived",): {"b", "c"},
        ("--pinned",): {"b"},
        ("--tag", "work"): {"b"},
        ("--title", "LIM"): {"a"},
    }
    for options, wanted in choices.items():
        for user in ([], ["--user", "ann"]):
            assert set(ids(run("sessions", *user, *options, "--json"))) == wanted
    assert "pinned, tag work" in run("sessions").output
    assert run("export", "--output", str(tmp_path / "all.jsonl")).exit_code == 0
    memory.forget("ann")
    assert memory.count("ann", archived=None) == 0
    assert run("import", str(tmp_path / "all.jsonl")).exit_code == 0
    assert [info.session_id for info in memory.sessions("ann", archived=True, title="lima").sessions] == ["a"]
    assert [info.session_id for info in memory.sessions("ann", pinned=True, tag="work").sessions] == ["b"]
