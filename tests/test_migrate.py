"""`chatmem migrate` moves every message of every layout once, verifies it, and loses no source."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import redis
import upstash_redis
from langchain_core import messages as lc
from langchain_core.messages import messages_from_dict, messages_to_dict
from typer.testing import CliRunner

import chatmem.sync
from chatmem.backends.admin import Server
from chatmem.backends.connection import connection_to
from chatmem.cli.app import app
from chatmem.core.writer import Writer
from chatmem.migrate import migration
from chatmem.migrate.content import Source
from chatmem.migrate.keys import matcher
from chatmem.migrate.layouts import KINDS
from chatmem.migrate.migration import Migration
from chatmem.openai_agents import items as openai_items
from tests import samples
from tests.clusters import cluster
from tests.peers import Peer
from tests.samples import same
from tests.upstash_server import TOKEN, serving


@pytest.fixture
def source(url: str) -> Iterator[Any]:
    """A client of the source: an empty database."""
    with redis.Redis.from_url(url.removesuffix("/0") + "/5") as raw:
        raw.flushdb()
        yield raw
        raw.flushdb()


@pytest.fixture
def target(url: str) -> Iterator[Any]:
    """A client of the target: another empty database."""
    with redis.Redis.from_url(url.removesuffix("/0") + "/6") as raw:
        raw.flushdb()
        yield raw
        raw.flushdb()


def url_of(client: Any) -> str:
    options = client.get_connection_kwargs()
    return f"redis://127.0.0.1:{options['port']}/{options['db']}"


@pytest.fixture
def memory(target: Any) -> Iterator[chatmem.sync.ChatMemory]:
    with chatmem.sync.connect(url_of(target)) as memory:
        yield memory


Run = Callable[..., Any]


@pytest.fixture
def run(source: Any, target: Any) -> Run:
    """Run the command from one database to the other."""

    def call(layout: str, *arguments: str, at: str | None = None, yes: bool = True) -> Any:
        given = ["migrate", at or url_of(source), "--from", layout, *(["--yes"] if yes else []), *arguments]
        return CliRunner().invoke(app, given, env={"CHATMEM_URL": url_of(target), "COLUMNS": "200"})

    return call


def push(raw: Any, key: str, messages: list[lc.BaseMessage], *, newest_first: bool = True) -> None:
    """Store messages as langchain-community's class does, or as Memorystore's does."""
    for written in messages_to_dict(messages):
        (raw.lpush if newest_first else raw.rpush)(key, json.dumps(written))


def snapshot(raw: Any) -> dict[bytes, bytes]:
    """Return all keys with their values."""
    return {key: raw.dump(key) for key in raw.scan_iter(count=1000)}


def carried(messages: list[lc.BaseMessage]) -> list[lc.BaseMessage]:
    """Return messages as JSON represents them."""
    return messages_from_dict(json.loads(json.dumps(messages_to_dict(messages))))


CONVERSATIONS = dict(list(samples.conversations().items())[:20])


class TestLists:
    """Layouts with one list for each session."""

    @pytest.mark.parametrize(
        ("layout", "prefix", "newest_first"),
        [("langchain-community", "message_store:", True), ("langchain-js", "", True), ("memorystore", "", False)],
    )
    def test_real_conversations(
        self,
        run: Run,
        source: Any,
        target: Any,
        memory: chatmem.sync.ChatMemory,
        layout: str,
        prefix: str,
        newest_first: bool,
    ) -> None:
        """Every message arrives equal and in order, the source stays as it was, and a second run moves nothing."""
        for name, messages in CONVERSATIONS.items():
            push(source, prefix + name, messages, newest_first=newest_first)
        before, matching = snapshot(source), ([] if prefix else ["--match", "*"])
        done = run(layout, *matching)
        assert done.exit_code == 0, done.output
        total = sum(map(len, CONVERSATIONS.values()))
        assert f"20 sessions moved and verified ({total} messages)" in done.output
        for name, messages in CONVERSATIONS.items():
            read = memory.history(name).messages()
            assert all(map(same, read, carried(messages)))
            assert len(read) == len(messages)
        assert snapshot(source) == before
        written = snapshot(target)
        again = run(layout, *matching)
        assert "20 sessions already there" in again.output
        assert snapshot(target) == written

    def test_the_kinds(self, run: Run, source: Any, memory: chatmem.sync.ChatMemory) -> None:
        """Everything that the old class could store arrives, even NaN as it writes it."""
        messages = [message for name, message in samples.kinds().items() if name != "bytes artifact"]
        push(source, "message_store:s", messages)
        assert run("langchain-community").exit_code == 0
        assert all(map(same, memory.history("s").messages(), carried(messages)))
        assert memory.history("s").count() == 21

    def test_a_dry_run(self, run: Run, source: Any, target: Any) -> None:
        """A dry run reports what it would do and does nothing; so does a run that nobody confirms."""
        push(source, "message_store:a", [lc.HumanMessage("x")] * 3)
        push(source, "message_store:b", [lc.HumanMessage("x")])
        before = snapshot(source)
        done = run("langchain-community", "--dry-run")
        assert (done.exit_code, "2 sessions to move (4 messages)" in done.output) == (0, True)
        done = run("langchain-community", yes=False)
        assert (done.exit_code, "cannot ask for confirmation" in done.output) == (2, True)
        assert (snapshot(source), snapshot(target)) == (before, {})

    def test_times_to_live(self, run: Run, source: Any, target: Any) -> None:
        """The source's remaining TTL becomes the target's, on all keys; no TTL stays no TTL."""
        push(source, "message_store:a", [lc.HumanMessage(str(number), id=str(number)) for number in range(1200)])
        push(source, "message_store:b", [lc.HumanMessage("x", id="x")])
        source.pexpire("message_store:a", 600_000)
        assert run("langchain-community").exit_code == 0
        assert all(590_000 < target.pttl(f"chatmem:{{a}}:{end}") <= 600_000 for end in "mis")
        assert all(target.pttl(f"chatmem:{{b}}:{end}") == -1 for end in "mis")

    def test_unreadable_records(self, run: Run, source: Any, target: Any, memory: chatmem.sync.ChatMemory) -> None:
        """Unreadable elements are listed with their keys, the rest is moved, and the source is never removed."""
        push(source, "message_store:a", [lc.HumanMessage("first")])
        source.lpush("message_store:a", "{", b"\xff", '{"type": "nothing", "data": {}}')
        push(source, "message_store:a", [lc.HumanMessage("last")])
        source.lpush("message_store:b", "no JSON at all")
        before = snapshot(source)
        done = run("langchain-community", "--delete-source")
        assert done.exit_code == 1
        listed = [line for line in done.output.splitlines() if line.startswith("unreadable: message_store:")]
        assert [line.split(":")[2][:10] for line in listed] == ["a, index 3", "a, index 2", "a, index 1", "b, index 0"]
        assert [message.content for message in memory.history("a").messages()] == ["first", "last"]
        assert snapshot(source) == before
        assert memory.history("b").count() == 0

    def test_many_unreadable_records(self, run: Run, source: Any) -> None:
        """Some unreadable elements of each session are named, and the others counted."""
        source.lpush("message_store:a", *["x"] * 1000)
        done = run("langchain-community", "--dry-run")
        assert "unreadable: message_store:a: 980 more" in done.output
        assert len(done.output.splitlines()) == 22

    @pytest.mark.parametrize("layout", ["langchain-community", "memorystore", "openai-agents"])
    def test_what_is_left_behind(self, run: Run, source: Any, layout: str) -> None:
        """Keys that are not sessions are named with their types, counted, and make the exit code 1."""
        prefix = KINDS[layout].prefix or "x"
        key = f"{prefix}:a:messages" if layout == "openai-agents" else f"{prefix}a"
        source.rpush(key, '{"type": "human", "role": "user", "content": "x", "text": "x"}')
        matching = ["--match", "x*"] if layout == "memorystore" else []
        assert run(layout, *matching, "--dry-run").exit_code == 0
        at = key.removesuffix("a:messages").removesuffix("a")
        for number in range(30):
            source.set(f"{at}text{number:02}", "x")
        source.sadd(f"{at}set", "x")
        source.set("elsewhere", "x")
        done = run(layout, *matching)
        assert done.exit_code == 1
        assert "1 session moved and verified (1 message)" in done.output
        assert "; 31 keys left behind" in done.output
        assert f"left behind: sets: {at}set\n" in done.output
        assert f"left behind: strings: {at}text00, {at}text01, " in done.output
        assert f"{at}text19, and 10 more\n" in done.output
        assert json.loads(run(layout, *matching, "--json").output.splitlines()[-1])["left"] == 31

    def test_delete_source(self, run: Run, source: Any, memory: chatmem.sync.ChatMemory) -> None:
        """A source is removed once its copy is verified, also if it was moved before."""
        push(source, "message_store:a", [lc.HumanMessage("a")])
        assert run("langchain-community").exit_code == 0
        push(source, "message_store:b", [lc.HumanMessage("b")])
        source.set("other", "x")
        done = run("langchain-community", "--delete-source")
        assert (done.exit_code, "2 sources deleted" in done.output) == (0, True)
        assert source.keys() == [b"other"]
        assert memory.history("a").count() == memory.history("b").count() == 1

    def test_a_session_that_holds_something_else(self, run: Run, source: Any, memory: chatmem.sync.ChatMemory) -> None:
        """A session that holds other messages at the target is listed, and both stay as they were."""
        push(source, "message_store:a", [lc.HumanMessage("a"), lc.HumanMessage("b")])
        push(source, "message_store:b", [lc.HumanMessage("b")])
        memory.history("a").append("something else")
        done = run("langchain-community", "--delete-source")
        assert (done.exit_code, "conflict: message_store:a" in done.output) == (1, True)
        assert source.keys() == [b"message_store:a"]
        assert memory.history("a").count() == 1

    def test_a_rolling_deployment(self, run: Run, source: Any, memory: chatmem.sync.ChatMemory) -> None:
        """The next run moves what old code added since; what new code added at the target is no conflict."""
        push(source, "message_store:a", [lc.HumanMessage("1"), lc.AIMessage("2")])
        assert run("langchain-community").exit_code == 0
        push(source, "message_store:a", [lc.HumanMessage("3")])
        assert "1 session moved and verified (1 message)" in run("langchain-community").output
        memory.history("a").append("4")
        done = run("langchain-community", "--delete-source")
        assert "1 source deleted" in done.output
        assert [message.content for message in memory.history("a").messages()] == ["1", "2", "3", "4"]

    def test_an_id_twice(self, run: Run, source: Any, memory: chatmem.sync.ChatMemory) -> None:
        """Messages with the same id are all kept, and recognised in the next run."""
        messages: list[lc.BaseMessage] = [lc.HumanMessage("a", id="1"), lc.HumanMessage("b", id="1")]
        messages += messages
        messages += [lc.AIMessageChunk(content="x", id="2"), lc.AIMessageChunk(content="y", id="2")]
        push(source, "message_store:a", messages)
        assert run("langchain-community").exit_code == 0
        assert memory.history("a").messages() == messages
        assert memory.history("a").append(*memory.history("a").messages(), on_known_id="add").duplicates == 6

    def test_bare_keys_need_a_pattern(self, run: Run, source: Any, memory: chatmem.sync.ChatMemory) -> None:
        """Layouts without a prefix need --match, and chatmem's own keys are not sources."""
        push(source, "chat-1", [lc.HumanMessage("x")], newest_first=False)
        push(source, "job-1", [lc.HumanMessage("x")], newest_first=False)
        done = run("memorystore")
        assert (done.exit_code, "--match" in done.output) == (1, True)
        with chatmem.sync.connect(url_of(source)) as own:
            own.history("own", user="alice").append(lc.HumanMessage("x", id="1"))
        assert "1 session to move" in run("memorystore", "--match", "chat-*", "--dry-run").output
        done = run("memorystore", "--match", "*", "--dry-run")
        assert (done.exit_code, done.output) == (0, "2 sessions to move (2 messages); 272 bytes read\n")

    @pytest.mark.parametrize("session", ["a:b", "日本", "a}b%", "x*[?]", "\x1b[31m", "a b"])
    def test_any_session(self, run: Run, source: Any, target: Any, session: str) -> None:
        """Any id is the same at the target."""
        push(source, f"p*:{session}", [lc.HumanMessage("x")])
        push(source, f"pq:{session}", [lc.HumanMessage("x")])
        done = run("langchain-community", "--key-prefix", "p*:", "--prefix", "other")
        assert "1 session moved" in done.output
        assert "\x1b" not in done.output
        with chatmem.sync.connect(url_of(target), prefix="other") as other:
            assert other.history(session).count() == 1


def migrating(source: Any, target: Any, layout: str = "langchain-community") -> Migration:
    kind = KINDS[layout]
    return Migration(Server(url_of(source)), kind.make(kind.prefix), connection_to(url_of(target)), "chatmem")


class TestTrouble:
    """What may go wrong."""

    def test_ended_in_the_middle(
        self, run: Run, source: Any, target: Any, memory: chatmem.sync.ChatMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """After a run that dies after any batch, the next run resumes, and every message is there once."""
        monkeypatch.setattr(migration, "BATCH", 10)
        messages: list[lc.BaseMessage] = [lc.HumanMessage(str(number)) for number in range(55)]
        push(source, "message_store:a", messages)
        original = Writer.store
        for allowed in (0, 1, 3):
            left = iter(range(allowed))

            async def failing(self: Any, *args: Any, left: Iterator[int] = left, **options: Any) -> Any:
                if next(left, None) is None:
                    raise chatmem.UnavailableError("gone")
                return await original(self, *args, **options)

            monkeypatch.setattr(Writer, "store", failing)
            assert run("langchain-community").exit_code == 1
        assert memory.history("a").count() == 40
        monkeypatch.setattr(Writer, "store", original)
        assert "1 session moved and verified (15 messages)" in run("langchain-community").output
        assert memory.history("a").messages() == messages

    def test_killed(self, source: Any, target: Any, memory: chatmem.sync.ChatMemory) -> None:
        """Runs that are killed with kill -9 until one gets through move every message once."""
        for number in range(40):
            push(source, f"message_store:s{number}", [lc.HumanMessage(str(n)) for n in range(60)])
        command = [sys.executable, "-m", "chatmem.cli", "migrate", url_of(source), "--from", "langchain-community"]
        command += ["--yes", "--delete-source", "--url", url_of(target)]
        kills = 0
        for attempt in range(20):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            moved = len(source.keys())
            deadline = time.monotonic() + 20
            while process.poll() is None and time.monotonic() < deadline and len(source.keys()) > moved - 5 - attempt:
                time.sleep(0.005)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
            if process.wait() == 0:
                break
        assert kills >= 2
        assert source.keys() == []
        wanted = [str(n) for n in range(60)]
        for number in range(40):
            assert [message.content for message in memory.history(f"s{number}").messages()] == wanted

    def test_what_comes_back_different(
        self, source: Any, target: Any, memory: chatmem.sync.ChatMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A message that comes back different is a failure, and the source stays."""
        push(source, "message_store:a", [lc.HumanMessage("x")])
        held = migration._held
        monkeypatch.setattr(migration, "_held", lambda history: held(history)[:-1])
        outcome = migrating(source, target).move(Source("a", (b"message_store:a",)), remove=True)
        assert (outcome.status, outcome.removed) == ("failed", False)
        assert source.llen("message_store:a") == 1

    def test_a_source_that_changes(self, source: Any, target: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A list to which old code writes meanwhile is not removed."""
        push(source, "message_store:a", [lc.HumanMessage("x")])
        original = Writer.store

        async def writing(self: Any, *args: Any, **options: Any) -> Any:
            push(source, "message_store:a", [lc.HumanMessage("y")])
            return await original(self, *args, **options)

        monkeypatch.setattr(Writer, "store", writing)
        outcome = migrating(source, target).move(Source("a", (b"message_store:a",)), remove=True)
        assert (outcome.status, outcome.messages, outcome.removed) == ("moved", 1, False)
        assert "changed meanwhile" in outcome.reason
        assert source.llen("message_store:a") == 2

    def test_a_source_that_goes(self, source: Any, target: Any) -> None:
        """A session that expired after it was found is skipped."""
        assert migrating(source, target).move(Source("a", (b"message_store:a",)), remove=True).status == "nothing"

    @pytest.mark.parametrize("end", "ms")
    def test_a_target_of_a_wrong_type(
        self, run: Run, source: Any, target: Any, memory: chatmem.sync.ChatMemory, end: str
    ) -> None:
        """An error that concerns one session does not stop the others."""
        for session in "abc":
            push(source, f"message_store:{session}", [lc.HumanMessage("x")])
        target.set(f"chatmem:{{b}}:{end}", "x")
        done = run("langchain-community")
        assert (done.exit_code, "failed: message_store:b: " in done.output) == (1, True)
        assert "2 sessions moved and verified (2 messages)" in done.output

    def test_a_damaged_target(self, run: Run, source: Any, target: Any) -> None:
        """A target session with an unreadable record is not changed."""
        push(source, "message_store:a", [lc.HumanMessage("x")])
        target.rpush("chatmem:{a}:m", b"0:garbage")
        done = run("langchain-community")
        assert (done.exit_code, "failed: message_store:a" in done.output) == (1, True)

    @pytest.mark.parametrize("address", ["redis://127.0.0.1:1", "nonsense", "https://host"])
    def test_a_source_that_is_none(self, run: Run, address: str) -> None:
        """An unreachable server is an error of one line, without a traceback."""
        done = run("langchain-community", at=address)
        assert done.exit_code == 1
        assert done.output.startswith("error: ")
        assert len(done.output.splitlines()) == 1


class TestOwners:
    """The users of moved sessions."""

    @pytest.fixture
    def owners(self, tmp_path: Path) -> Path:
        file = tmp_path / "owners.csv"
        file.write_text('session,user\n"a",alice\nb,bob\n"with, comma",alice\n', encoding="utf-8")
        return file

    def test_a_user_and_a_file(self, run: Run, source: Any, memory: chatmem.sync.ChatMemory, owners: Path) -> None:
        """--users names the sessions' users, and --user the user of all others."""
        for session in ("a", "b", "c", "with, comma"):
            push(source, f"message_store:{session}", [lc.HumanMessage("x")])
        done = run("langchain-community", "--users", str(owners), "--user", "carl")
        assert done.exit_code == 0
        found = {user: {one.session_id for one in memory.sessions(user).sessions} for user in ("alice", "bob", "carl")}
        assert found == {"alice": {"a", "with, comma"}, "bob": {"b"}, "carl": {"c"}}

    def test_who_is_not_in_the_file(self, run: Run, source: Any, memory: chatmem.sync.ChatMemory, owners: Path) -> None:
        """Sessions that are not in the file are counted, and get no user."""
        push(source, "message_store:a", [lc.HumanMessage("x")])
        push(source, "message_store:z", [lc.HumanMessage("x")])
        done = run("langchain-community", "--users", str(owners))
        assert (done.exit_code, "1 session without an owner" in done.output) == (0, True)
        assert [memory.history(session).info().user for session in "az"] == ["alice", None]

    def test_sessions_that_were_moved_before(self, run: Run, source: Any, memory: chatmem.sync.ChatMemory) -> None:
        """A session without a user that was moved before gets its user, and keeps its messages and version."""
        push(source, "message_store:a", [lc.HumanMessage("x")])
        assert run("langchain-community").exit_code == 0
        before = memory.history("a").info()
        looked = run("langchain-community", "--user", "u", "--dry-run").output
        assert "1 session already there, to get an owner" in looked
        assert memory.history("a").info().user is None
        assert "1 session given an owner" in run("langchain-community", "--user", "u", "--delete-source").output
        assert memory.history("a").info() == dataclasses.replace(before, user="u")
        assert [one.session_id for one in memory.sessions("u").sessions] == ["a"]
        assert source.keys() == []

    def test_sessions_of_somebody_else(self, run: Run, source: Any, memory: chatmem.sync.ChatMemory) -> None:
        """Sessions of other users stay unchanged, and so do their sources, even if they hold the same messages."""
        for session, there in (("same", ["x"]), ("less", []), ("other", ["y"])):
            push(source, f"message_store:{session}", [lc.HumanMessage("x")])
            memory.history(session, user="alice").append(*there)
            memory.history(session, user="alice").update(title="hers")
        before = {session: memory.history(session).info() for session in ("same", "less", "other")}
        done = run("langchain-community", "--user", "bob", "--delete-source")
        assert done.exit_code == 1
        assert (
            "conflict: message_store:same: the session is another user's, or nobody's: it was opened for 'bob'"
            in done.output
        )
        assert "3 sessions in conflict" in done.output
        assert {session: memory.history(session).info() for session in before} == before
        assert len(source.keys()) == 3
        assert memory.sessions("bob").sessions == []

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("a,alice\na,bob\n", "line 2: session 'a' has another user in an earlier line"),
            ("a\n", "line 1: the line must be session,user"),
            ("a,b,c\n", "line 1: the line must be session,user: two fields, not 3"),
            ("User,Session\nalice,a\n", "line 1: the columns must be session,user, in this order"),
            ("\n\na,\n", "line 3: user must be a non-empty string"),
            (",alice\n", "line 1: the session's id is empty"),
            ('"a,alice\n', "line 1: unexpected end of data"),
            ("a,\udcff\n", "line 1: not UTF-8"),
            ('{"session": "a"}\n', 'line 1: "session" and "user" must both be strings'),
            ('{"session": "a", "user": "b"}\n5\n', 'line 2: the line must be {"session": ..., "user": ...}'),
            ("{" * 60_000, "line 1: "),
            ("x" * 100_000, "line 1: longer than 65,536 bytes"),
        ],
    )
    def test_a_file_that_is_none(
        self, run: Run, source: Any, target: Any, tmp_path: Path, text: str, problem: str
    ) -> None:
        """An error in the file is reported in one line that says where, and nothing is moved."""
        file = tmp_path / "owners"
        file.write_bytes(text.encode("utf-8", "surrogateescape"))
        push(source, "message_store:a", [lc.HumanMessage("x")])
        done = run("langchain-community", "--users", str(file))
        assert (done.exit_code, len(done.output.splitlines())) == (1, 1)
        assert f"{file}, {problem}" in done.output
        assert snapshot(target) == {}

    @pytest.mark.parametrize("text", ["", "\n\n", "session,user\n"])
    def test_a_file_without_sessions(self, run: Run, source: Any, target: Any, tmp_path: Path, text: str) -> None:
        """The sessions that it leaves without an owner are counted, as with any other file."""
        file = tmp_path / "owners.csv"
        file.write_text(text)
        push(source, "message_store:a", [lc.HumanMessage("x")])
        done = run("langchain-community", "--users", str(file))
        assert "1 session without an owner: not in the file of --users" in done.output

    def test_json_lines(self, run: Run, source: Any, memory: chatmem.sync.ChatMemory, tmp_path: Path) -> None:
        """Other fields of the file are ignored."""
        file = tmp_path / "owners.jsonl"
        file.write_text('\ufeff{"session": "a", "user": "u", "since": 5}\r\n\r\n', encoding="utf-8")
        push(source, "message_store:a", [lc.HumanMessage("x")])
        assert run("langchain-community", "--users", str(file)).exit_code == 0
        assert memory.history("a").info().user == "u"


GLOBS = ["*", "a*", "?", "a?c", "[ab]*", "[^a]*", "[a-c]x", "[c-a]x", "\\*", "[\\]]", "", "**b", "[\\^a]", "[!a]"]


@pytest.mark.parametrize("glob", GLOBS)
def test_globs_match_as_redis_does(source: Any, glob: str) -> None:
    """`matcher` matches what Redis' own globs match."""
    names = ["a", "b", "c", "ax", "bx", "abc", "a*c", "*", "]", "[", "a[", "^", "!", "\\", "a\nb", "-", "é"]
    source.mset(dict.fromkeys(names, "x"))
    matching = {key.decode() for key in source.scan_iter(glob, count=1000)} if glob else set()
    assert {name for name in names if matcher(glob.encode()).fullmatch(name.encode())} == matching


class TestOtherServers:
    """Sources other than a single Redis server."""

    def test_a_cluster(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """All nodes of a cluster are scanned."""
        with cluster() as running, redis.RedisCluster.from_url(running.url.replace("+cluster", "")) as raw:
            for number in range(12):
                push(raw, f"message_store:s{number}", [lc.HumanMessage(str(number))])
            done = run("langchain-community", "--delete-source", at=running.url)
            assert "12 sessions moved and verified (12 messages); 12 sources deleted" in done.output
            assert list(raw.scan_iter()) == []
        assert [memory.history(f"s{number}").messages()[0].content for number in range(12)] == [*map(str, range(12))]

    def test_upstash(self, run: Run, source: Any, memory: chatmem.sync.ChatMemory) -> None:
        """Upstash is scanned over its REST API."""
        with serving(url_of(source).removesuffix("/5")) as rest, upstash_redis.Redis(rest.url, TOKEN) as raw:
            for number in range(3):
                for written in messages_to_dict([lc.HumanMessage("é"), lc.AIMessage("b")]):
                    raw.lpush(f"message_store:s{number}", json.dumps(written))
            done = run("upstash", "--delete-source", "--token", TOKEN, at=rest.url)
            assert "3 sessions moved and verified (6 messages); 3 sources deleted" in done.output
            assert TOKEN not in done.output
            assert raw.keys("message_store:*") == []
        assert memory.history("s1").messages() == [lc.HumanMessage("é"), lc.AIMessage("b")]


class TestDocuments:
    """langchain-redis' documents, written by its own class on a server with RediSearch."""

    def test_its_documents(
        self, run: Run, search_url: str, langchain_redis: Peer, target: Any, memory: chatmem.sync.ChatMemory
    ) -> None:
        """Sessions, order, times and the longest TTL are kept."""
        sessions = {"user:1": 60, "a": None, "a:b": 60}
        messages: list[lc.BaseMessage] = [lc.HumanMessage("Tell me"), lc.AIMessage("No."), lc.HumanMessage(["x"])]
        messages += [lc.ToolMessage("r", tool_call_id="c", status="error"), lc.SystemMessage("s")]
        began = time.time()
        with redis.Redis.from_url(search_url) as raw:
            raw.flushall()
            for session, ttl in sessions.items():
                options = {"session_id": session, "redis_url": f"{search_url}?protocol=2", "ttl": ttl}
                langchain_redis.call(
                    "langchain_redis.RedisChatMessageHistory", options, "add", messages_to_dict(messages)
                )
            raw.json().set("chat:a:" + "0" * 26, "$", {"type": "chat", "data": {"content": "?"}, "session_id": "a"})
            done = run("langchain-redis", at=search_url)
            assert done.exit_code == 1
            assert "unreadable: chat:a:00000000000000000000000000" in done.output
            assert "3 sessions moved and verified (15 messages)" in done.output
            for session, ttl in sessions.items():
                assert memory.history(session).messages() == messages
                assert (target.ttl(f"chatmem:{{{session}}}:m") > 50) is (ttl is not None)
                for one in memory.history(session).entries():
                    assert one.created_at is not None
                    assert began <= one.created_at.timestamp() <= time.time()
            assert "2 sources deleted" in run("langchain-redis", "--delete-source", at=search_url).output
            assert {key.split(b":")[1] for key in raw.scan_iter("chat:*")} == {b"a"}

    def test_documents_of_all_its_versions(self, run: Run, search_url: str, memory: chatmem.sync.ChatMemory) -> None:
        """Keys of langchain-redis up to 0.2.1 and of later versions in one session are one conversation."""
        with redis.Redis.from_url(search_url) as raw:
            raw.flushall()

            def write(key: str, time: float, session: Any, content: str) -> None:
                data = {"content": content, "additional_kwargs": {}, "type": "human"}
                raw.json().set(key, "$", {"type": "human", "data": data, "session_id": session, "timestamp": time})

            write("chat:a:1721900000.000001", 1721900000.000001, "a", "1")
            write("chat:a:1721900000.5", 1721900000.5, "a", "2")
            write("chat:a:01J4000000000000000000000A", 1735900000.25, "a", "3")
            write("chat:a:b:1721900000.0", 1721900000.0, "a:b", "other")
            write("chat:elsewhere", 1721900001.0, "a", "named by its document")
            whole = run("langchain-redis", "--match", "a", at=search_url)
            assert (whole.exit_code, "1 session moved and verified (4 messages)" in whole.output) == (0, True)
            assert [one.content for one in memory.history("a").messages()] == ["1", "2", "named by its document", "3"]
            assert memory.history("a:b").count() == 0

            write("chat:c:1721900000.0", 1721900000.0, 5, "of no session")
            raw.json().set("chat:list", "$", [1])
            raw.set("chat:d:01J4000000000000000000000A", "x")
            with chatmem.sync.connect(search_url, prefix="chat:") as own:  # as the drop-in keeps it
                own.history("own", user="u").append(lc.HumanMessage("x", id="1"))
            rest = run("langchain-redis", "--delete-source", at=search_url)
            assert rest.exit_code == 1
            assert "1 session moved and verified (1 message); 1 session already there" in rest.output
            assert "; 3 keys left behind" in rest.output
            assert "left behind: JSON that names no session: chat:c:1721900000.0, chat:list\n" in rest.output
            assert "left behind: strings: chat:d:01J4000000000000000000000A\n" in rest.output
            assert run("langchain-redis", "--match", "a", at=search_url).exit_code == 0
            assert "; 1 key left behind" in run("langchain-redis", "--match", "d", at=search_url).output

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"timestamp": None}, "not a document with a message"),
            ({"timestamp": 1e300}, "not a document with a message"),
            ({"timestamp": "soon"}, "not a document with a message"),
            ({"data": 5}, "must be a mapping"),
            ({"type": "tool"}, "it lacks 'tool_call_id'"),  # which it did not store up to 0.2.3
            ({"type": "wizard"}, "Got unexpected message type: wizard"),
        ],
    )
    def test_documents_that_are_no_messages(
        self, run: Run, search_url: str, memory: chatmem.sync.ChatMemory, change: dict[str, Any], reason: str
    ) -> None:
        """Documents that are not messages are named, and the rest of the session is moved."""
        document = {"type": "human", "data": {"content": "x"}, "session_id": "a", "timestamp": 1.0}
        with redis.Redis.from_url(search_url) as raw:
            raw.flushall()
            raw.json().set("chat:a:1.0", "$", document)
            raw.json().set("chat:a:2.0", "$", document | change)
            done = run("langchain-redis", "--delete-source", at=search_url)
            assert done.exit_code == 1
            assert "unreadable: chat:a:2.0, index 0: " in done.output
            assert reason in done.output
            assert memory.history("a").count() == 1
            assert len(raw.keys()) == 2

    def test_search_is_the_same(self, search_url: str, langchain_redis: Peer, url: str, prefix: str) -> None:
        """The old and the new class find the same messages in the same order."""
        from chatmem.dropin.langchain_redis import RedisChatMessageHistory

        messages: list[lc.BaseMessage] = [
            lc.HumanMessage("Tell me about artificial intelligence."),
            lc.AIMessage(
                "Artificial Intelligence (AI) is a branch of computer science that makes machines which can learn."
            ),
            lc.HumanMessage("What is the capital of France?"),
            lc.AIMessage("The capital of France is Paris, on the Seine, far from the sea and from all mountains."),
        ]
        options = {"session_id": prefix, "redis_url": f"{search_url}?protocol=2"}
        name = "langchain_redis.RedisChatMessageHistory"
        langchain_redis.call(name, options, "add", messages_to_dict(messages))
        new = RedisChatMessageHistory(prefix, url, f"{prefix}:")
        new.add_messages(messages)
        for query in ("artificial intelligence", "capital", "PARIS", "branch", "absent"):
            old = langchain_redis.call(name, options, "search", [query])
            found = new.search_messages(query)
            assert [one["content"] for one in found] == [one["content"] for one in old], query
        langchain_redis.call(name, options, "clear")
        new.delete()


class TestOpenAI:
    """The sessions of OpenAI's Agents SDK."""

    ITEMS: ClassVar[list[Any]] = [
        {"role": "user", "content": "What's the weather?"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Look it up."}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": '{"city": "Zürich"}'},
        {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{broken"},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        {
            "type": "message",
            "id": "__fake_id__",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Sunny.", "annotations": []}],
        },
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "input_image", "image_url": "data:x"}, {"type": "input_text", "text": "?"}],
        },
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    ]

    def test_its_items(self, run: Run, source: Any, target: Any, memory: chatmem.sync.ChatMemory) -> None:
        """Each item becomes a message, from which the same item can be read."""
        key = "agents:session:user:1"
        for item in self.ITEMS:
            source.rpush(f"{key}:messages", json.dumps(item, separators=(",", ":")))
        source.hset(key, mapping={"session_id": "user:1", "created_at": "1", "updated_at": "2"})
        source.set(f"{key}:counter", 9)
        source.expire(f"{key}:messages", 100)
        done = run("openai-agents", "--delete-source")
        assert "1 session moved and verified (9 messages); 1 source deleted" in done.output
        read = memory.history("user:1").messages()
        kinds = [message.type for message in read]
        assert kinds == ["human", "ai", "ai", "ai", "tool", "ai", "system", "human", "ai"]
        called, broken = read[2], read[3]
        assert isinstance(called, lc.AIMessage)
        assert isinstance(broken, lc.AIMessage)
        assert called.tool_calls[0]["args"] == {"city": "Zürich"}
        assert broken.invalid_tool_calls[0]["args"] == "{broken"
        assert read[5].text == "Sunny."
        assert read[0] == lc.HumanMessage("What's the weather?")
        assert [item for message in read for item in openai_items.items_of(message)] == self.ITEMS
        assert source.keys() == []
        assert 0 < target.ttl("chatmem:{user:1}:m") <= 100

    @pytest.mark.parametrize("element", ["[]", "x", "5", '"a"', "[" * 10_000])
    def test_what_is_no_item(self, run: Run, source: Any, element: str) -> None:
        """An element that is not an item is listed."""
        source.rpush("agents:session:a:messages", element)
        done = run("openai-agents")
        assert (done.exit_code, "unreadable: agents:session:a:messages, index 0" in done.output) == (1, True)
