"""The command line on sessions with branches, summaries and annotations."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem.cli.formats.jsonl import NO_HEAD, Line
from chatmem.cli.importing import MESSAGES
from chatmem.cli.restoring import RestoredImport
from chatmem.cli.store import Store
from chatmem.codec import record
from chatmem.core.branches import Shown, Tree
from chatmem.core.keys import session_keys
from tests.cli.program import Run
from tests.test_branches import Walk

KEY = "A" * 43 + "="


@pytest.fixture
def branched(memory: chatmem.sync.ChatMemory) -> chatmem.sync.History:
    """A session with two branches behind the first message, a summary and an annotation."""
    history = memory.history("b", user="alice")
    history.append(lc.SystemMessage("s"), lc.HumanMessage("old", id="m1"), ("ai", "one"))
    history.branch(after=0)
    history.append("new", ("ai", "two"), "more")
    history.annotate(4, {"rating": 1, "note": "g\xfct"})
    history.summarize(up_to=4, summary=["so far"])
    return history


class TestExportAndImport:
    @pytest.mark.parametrize("seed", range(6))
    async def test_random_sessions(
        self, run: Run, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
    ) -> None:
        """Whatever was done to a session, import restores all that can be read, and the session goes on as before."""
        options: dict[str, Any] = {}
        if seed % 3 == 1:
            options = {"max_messages": 5}
        elif seed % 3 == 2:
            options = {"encryption": chatmem.KeyRing.parse(f"k1={KEY}")}
            monkeypatch.setenv("CHATMEM_KEYS", f"k1={KEY}")
        rng, most = random.Random(seed), options.get("max_messages")
        async with chatmem.connect(server, **options) as memory:
            walk = Walk(memory.history("walk", user="alice"), rng, most)
            for number in range(6):
                for _ in range(6):
                    await walk.step()
                file, copy = str(tmp_path / f"{number}.jsonl"), f"{number}-walk"
                assert run("export", "walk", "--output", file).exit_code == 0
                done = run("import", file, "--prefix-session", f"{number}-")
                messages = len(walk.model.log)
                assert done.exit_code == 0, done.output
                if not messages:
                    continue
                restored = Walk(memory.history(copy, user="alice"), rng, most, walk.model.copy())
                await restored.check()
                if len(walk.model.branches) > 1 or walk.model.boundary is not None:
                    assert await _branches(memory, copy) == await _branches(memory, "walk")
                version = (await restored.history.info()).version
                again = run("import", file, "--prefix-session", f"{number}-")
                assert (again.exit_code, again.output) == (0, "0 conversations, 0 messages stored, 1 already there\n")
                assert (await restored.history.info()).version == version
                await restored.check()
                for _ in range(5):
                    await restored.step()
                    await restored.check()

    def test_the_file(self, run: Run, branched: chatmem.sync.History) -> None:
        """The first line has branches and the summary, a message's line its annotations; other lines have neither."""
        head, *lines = map(json.loads, run("export", "b").output.splitlines())
        assert [(one["id"], one["active"], one["shows"]) for one in head["branches"]] == [
            (0, False, [[0, 2]]),
            (1, True, [[0, 0], [3, 5]]),
        ]
        assert (head["next_branch"], head["count"]) == (2, 4)
        assert (head["summary"]["up_to"], head["summary"]["text"]) == (4, "so far")
        assert [line["seq"] for line in lines] == [0, 1, 2, 3, 4, 5]
        plain = ["session", "seq", "id", "created_at", "type", "text", "record"]
        assert [list(line) for line in lines if line["seq"] != 4] == [plain] * 5
        assert (list(lines[4]), lines[4]["annotations"]) == ([*plain, "annotations"], {"rating": 1, "note": "g\xfct"})

    def test_sessions_without_any(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """The lines of a session that never had branches, a summary or annotations have no such fields."""
        memory.history("plain").append("a")
        head, line = map(json.loads, run("export", "plain").output.splitlines())
        fields = ["chatmem", "session", "user", "title", "metadata", "ttl", "created_at", "updated_at", "count"]
        assert list(head) == fields
        assert list(line) == ["session", "seq", "id", "created_at", "type", "text", "record"]

    @pytest.mark.parametrize("form", ["markdown", "openai", "langchain"])
    def test_other_formats(self, run: Run, branched: chatmem.sync.History, form: str) -> None:
        """They show the active branch."""
        output = run("export", "b", "--format", form).output
        assert "new" in output
        assert "old" not in output

    def test_a_long_session(self, run: Run, memory: chatmem.sync.ChatMemory, tmp_path: Path) -> None:
        """It is sent in several parts, and appears with the last one; its times and its time to live stay."""
        file, history = str(tmp_path / "long.jsonl"), memory.history("long", user="alice")
        history.append(*(lc.HumanMessage(str(place), id=f"m{place}") for place in range(1200)))
        history.branch(after=800)
        history.append("other")
        for position in (0, 499, 500, 1199, 1200):
            history.annotate(position, {"n": position})
        history.update(title="Long")
        history.touch(ttl=1000)
        run("export", "long", "--output", file)
        assert run("import", file, "--prefix-session", "x-").output == "1 conversation, 1,201 messages stored\n"
        copy, info, told = memory.history("x-long", user="alice"), history.info(), memory.history("x-long").info()
        assert list(copy.entries(all_branches=True)) == list(history.entries(all_branches=True))
        assert copy.branches() == history.branches()
        assert (told.title, told.created_at, told.updated_at) == ("Long", info.created_at, info.updated_at)
        assert told.ttl == pytest.approx(1000, abs=60)
        assert {one.session_id for one in memory.sessions("alice").sessions} == {"long", "x-long"}
        assert copy.append(lc.HumanMessage("0", id="m0")).duplicates == 1

    def test_a_session_that_appears_meanwhile(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """It stays as it is; and if what was sent has expired, no part of it appears."""
        tree = Tree(0, 2, [Shown(0, 0, 0, [(0, 1)]), Shown(1, 0, 0, [(0, 0)])])
        lines = [Line(record.encode(lc.HumanMessage(str(place)), 0, 0), place, {}) for place in range(MESSAGES + 1)]
        with Store(server, "chatmem", None) as store, redis.Redis.from_url(server) as raw:
            work = RestoredImport(store, "a", NO_HEAD._replace(branches=tree), exists=False)
            for line in lines:
                work.add(line)
            memory.history("a").append("mine")
            with pytest.raises(chatmem.ConflictError, match="session 'a' was begun meanwhile: import the file again"):
                work.finish()
            assert [one.text for one in memory.history("a").messages()] == ["mine"]
            work = RestoredImport(store, "b", NO_HEAD._replace(branches=tree), exists=False)
            for line in lines:
                work.add(line)
            raw.flushdb()
            with pytest.raises(chatmem.UnavailableError, match="what was sent of session 'b' has expired"):
                work.finish()
            assert memory.history("b").count() == 0

    def test_into_itself(self, run: Run, branched: chatmem.sync.History, tmp_path: Path) -> None:
        """The session that was exported is the same, whatever was added; one that lacks messages is not changed."""
        file = str(tmp_path / "b.jsonl")
        run("export", "b", "--output", file)
        branched.switch(0)
        branched.append("later")
        version = branched.info().version
        done = run("import", file)
        assert (done.exit_code, done.output) == (0, "0 conversations, 0 messages stored, 1 already there\n")
        branched.delete(5)
        done = run("import", file)
        assert done.exit_code == 1
        assert "session 'b' holds other messages; one with branches is restored only where there is none" in done.output
        assert branched.info().version == version + 1

    def test_of_another_user(self, run: Run, branched: chatmem.sync.History, tmp_path: Path) -> None:
        """It is named, and its messages go nowhere."""
        file = tmp_path / "b.jsonl"
        run("export", "b", "--output", str(file))
        file.write_text(file.read_text().replace('"user": "alice"', '"user": "bob"'))
        done = run("import", str(file))
        assert done.exit_code == 1
        assert "0 messages stored, 1 skipped" in done.output

    def test_annotations_of_later_messages(self, run: Run, memory: chatmem.sync.ChatMemory, tmp_path: Path) -> None:
        """A message gets the file's annotations unless it has some: those of a user stay."""
        file, history = str(tmp_path / "a.jsonl"), memory.history("a")
        history.append("a", "b")
        run("export", "a", "--output", file)
        run("import", file, "--prefix-session", "x-")
        history.append("c")
        for position in (0, 1, 2):
            history.annotate(position, {"n": position})
        run("export", "a", "--output", file)
        copy = memory.history("x-a")
        copy.annotate(1, {"mine": True})
        assert run("import", file, "--prefix-session", "x-").output == "1 conversation, 1 message stored\n"
        expected: list[dict[str, Any]] = [{"n": 0}, {"mine": True}, {"n": 2}]
        assert [entry.annotations for entry in copy.entries()] == expected
        assert "1 already there" in run("import", file, "--prefix-session", "x-").output
        assert [entry.annotations for entry in copy.entries()] == expected

    @pytest.mark.parametrize(
        ("old", "new", "problem"),
        [
            ('"shows": [[0, 2]]', '"shows": [[2, 0]]', "ranges of positions"),
            ('"shows": [[0, 2]]', '"shows": [[0, 2.5]]', "ranges of positions"),
            ('"shows": [[0, 2]]', '"shows": [5]', "ranges of positions"),
            ('"active": true', '"active": false', "one of them"),
            ('"id": 1, "active"', '"id": 0, "active"', "one of them"),
            ('"id": 1, "active"', '"id": -1, "active"', "out of range"),
            ('"branches": [', '"branches": [7, ', "list of objects"),
            ('"records": [', '"records": ["!", ', "base64"),
            ('"seq": 5', '"seq": 1', "above the last"),
            ('"seq": 5', '"seq": null', "above the last"),
        ],
    )
    def test_damaged_files(
        self, run: Run, branched: chatmem.sync.History, tmp_path: Path, old: str, new: str, problem: str
    ) -> None:
        """What is wrong is named, and nothing of the session is stored."""
        file = tmp_path / "b.jsonl"
        run("export", "b", "--output", str(file))
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))
        done = run("import", str(file), "--prefix-session", "x-")
        assert done.exit_code == 1
        assert problem in done.output
        assert "0 messages stored" in done.output


class TestShow:
    def test_siblings_and_annotations(self, run: Run, branched: chatmem.sync.History) -> None:
        """The active branch, what else was said in a message's place, and what is kept beside it."""
        lines = run("show", "b").output.splitlines()
        assert [line.split()[0] for line in lines[::2]] == ["0", "3", "4", "*", "5"]
        assert lines[2].endswith("human (2 of 2: branches 0, 1)")
        assert lines[6:8] == ["     * rating: 1", '     * note: "g\xfct"']
        assert run("show", "b", "--last", "3").output.splitlines() == lines[2:]

    def test_another_branch(self, run: Run, branched: chatmem.sync.History) -> None:
        """It is shown without a switch."""
        rows = [json.loads(line) for line in run("show", "b", "--branch", "0", "--json").output.splitlines()]
        assert [(row["seq"], row["siblings"]) for row in rows] == [
            (0, None),
            (1, {"index": 0, "branches": [0, 1]}),
            (2, None),
        ]
        assert [row["annotations"] for row in rows] == [{}, {}, {}]
        shown = run("show", "b", "--branch", "0", "--last", "1").output
        assert shown.split()[0] == "2"
        assert [one.id for one in branched.branches() if one.active] == [1]
        for session, branch in (("b", "7"), ("nothing", "1")):
            wrong = run("show", session, "--branch", branch)
            assert (wrong.exit_code, f"no branch {branch} in session" in wrong.output) == (1, True)

    def test_control_characters(self, run: Run, memory: chatmem.sync.ChatMemory) -> None:
        """Annotations cannot control the terminal."""
        memory.history("a").append("x")
        memory.history("a").annotate(0, {"\x1b[2J": "\x1b\x9b"})
        assert not {"\x1b", "\x9b"} & {*run("show", "a").output}


class TestCounts:
    def test_the_active_branch_counts(
        self, run: Run, memory: chatmem.sync.ChatMemory, branched: chatmem.sync.History
    ) -> None:
        """The list of a user's sessions says what `info` says, for sessions with and without branches."""
        memory.history("plain", user="alice").append("a", "b")
        memory.history("empty", user="alice").append("a")
        memory.history("empty").branch(after=-1)
        counts = {"b": 4, "plain": 2, "empty": 0}
        assert {one.session_id: one.count for one in memory.sessions("alice").sessions} == counts
        for options in (["--user", "alice"], []):
            rows = [json.loads(line) for line in run("sessions", "--json", *options).output.splitlines()]
            assert {row["session_id"]: row["count"] for row in rows} == counts
        assert json.loads(run("stats", "--json").output)["messages"] == 6


class TestDoctor:
    def test_branches_without_messages(
        self, run: Run, memory: chatmem.sync.ChatMemory, branched: chatmem.sync.History, server: str
    ) -> None:
        """A branch that shows positions without a message, branches that are lost, and those that cannot be read."""
        assert "branches" not in run("doctor").output
        branched.switch(0)
        assert "branches" not in run("doctor").output
        state = session_keys("chatmem", "b").state.decode()
        with redis.Redis.from_url(server) as raw:
            text = raw.hget(state, "branches").decode()
            raw.hset(state, "branches", text.replace("3-5", "9-11,13-13"))
            (found,) = _problems(run)
            assert (found["session"], found["level"]) == ("b", "error")
            assert "branch 1 shows positions 9 to 11, position 13, where there is no message" in found["text"]
            raw.hset(state, "branches", text.replace("3-5", "3-x"))
            (found,) = _problems(run)
            assert "its branches are not readable" in found["text"]
            raw.hdel(state, "branches")
            (found,) = _problems(run)
            assert "which branches it has is lost" in found["text"]


def _problems(run: Run) -> list[dict[str, Any]]:
    done = run("doctor", "--json")
    assert done.exit_code == 1
    rows = [json.loads(line) for line in done.output.splitlines()]
    return [row for row in rows if row["check"] == "branches"]


async def _branches(memory: chatmem.ChatMemory, session: str) -> list[Any]:
    branches = await memory.history(session).branches()
    return [(one.id, one.active, one.created_at, one.updated_at) for one in branches]
