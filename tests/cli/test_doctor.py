"""`chatmem doctor`, on servers and sessions that really are broken."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem.sync
from chatmem.cli.commands.doctor import rights
from chatmem.core.keys import session_keys
from tests.cli.program import Run, program
from tests.conftest import start
from tests.servers import (
    LEAST_RIGHTS,
    LIST_RIGHTS,
    LISTENING,
    SERVERS,
    debian_binary,
    free_port,
    run_server,
    wait_until,
)

POLLED = "a change of a session does not reach its listeners at once"


def rows(done: Any, *checks: str) -> list[dict[str, Any]]:
    """Return the findings, those of some checks."""
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [row for row in found if not checks or row["check"] in checks]


def levels(done: Any, *checks: str) -> list[tuple[str, str]]:
    return [(row["check"], row["level"]) for row in rows(done, *checks)]


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_each_server(server: Any) -> None:
    """Nothing is an error on any server that chatmem serves, and nothing of the doctor's is left there."""
    with ExitStack() as stack:
        url = start(server, stack)
        prefix = "test-doctor"
        with chatmem.sync.connect(url, prefix=prefix, ttl=600) as memory:
            memory.history("a", user="ann").append(lc.HumanMessage("x", id="i"))
            done = program("doctor", "--json", "--prefix", prefix, CHATMEM_URL=url)
            assert (done.returncode, done.stderr) == (0, ""), done.stdout
            found = dict(levels(done))
            assert found["scripts"] == "ok"
            assert found["latency"] == "ok"
            assert found["clock"] == "ok"
            if server.name == "Redis 7, TLS, least rights":
                assert found["sessions"] == "unknown"  # it may not SCAN
                assert found["version"] == "unknown"
            else:
                assert found["version"] == "ok"
                assert [found[name] for name in ("rights", "sessions", "records", "index")] == ["ok"] * 4
                listed = program("sessions", "--json", "--prefix", prefix, CHATMEM_URL=url)
                assert [json.loads(line)["session_id"] for line in listed.stdout.splitlines()] == ["a"]
                erased = program("erase", "--match", "*", "--yes", "--prefix", prefix, CHATMEM_URL=url)
                assert erased.stdout == "1 session with 1 message erased\n"


class TestServer:
    def test_settings_that_lose_sessions(self, server: str) -> None:
        """No persistence, snapshots only, eviction: each with what to do."""
        settings = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]
        with run_server(debian_binary(), *settings) as url, redis.Redis.from_url(url) as raw:
            done = program("doctor", "--json", CHATMEM_URL=url)
            assert done.returncode == 0
            persistence, eviction = rows(done, "persistence", "eviction")
            assert (persistence["level"], persistence["text"][:26]) == ("warning", "nothing is written to disk")
            assert "appendonly yes" in persistence["advice"]
            assert (eviction["level"], "allkeys-lru" in eviction["text"]) == ("warning", True)
            raw.config_set("save", "60 1")
            raw.config_set("maxmemory-policy", "noeviction")
            raw.config_set("maxmemory", "1")
            done = program("doctor", "--json", CHATMEM_URL=url)
            persistence, eviction = rows(done, "persistence", "eviction")
            assert "snapshots only (save 60 1)" in persistence["text"]
            assert "nothing can be stored" in eviction["text"]
            assert ("scripts", "error") in levels(done)
            assert done.returncode == 1
            raw.config_set("maxmemory", "0")
            raw.config_set("appendonly", "yes")
            assert levels(program("doctor", "--json", CHATMEM_URL=url), "persistence") == [("persistence", "ok")]

    def test_a_replica(self, url: str) -> None:
        """It takes no writes."""
        host = url.removesuffix("/0").removeprefix("redis://").split(":")
        with run_server(debian_binary(), "--replicaof", host[0], host[1]) as replica:
            done = program("doctor", "--json", CHATMEM_URL=replica)
        assert done.returncode == 1
        assert ("role", "error") in levels(done)
        assert "use the URL of the master" in rows(done, "role")[0]["advice"]

    def test_no_server(self) -> None:
        """The one finding says where to look."""
        done = program("doctor", "--json", CHATMEM_URL=f"redis://:s3cret@127.0.0.1:{free_port()}/0")
        assert (done.returncode, levels(done), done.stderr) == (1, [("connection", "error")], "")
        assert "s3cret" not in done.stdout

    def test_a_user_with_few_rights(self, server: str) -> None:
        """Each command that is refused is named, and only those; what only some need is a warning."""
        refused = "-lset -zadd -time -scan -info -config -memory -evalsha"
        with redis.Redis.from_url(server) as raw:
            raw.execute_command(
                "ACL", "SETUSER", "few", "on", ">pw", "~chatmem:*", *LEAST_RIGHTS.split(), "+select", *refused.split()
            )
            few = server.replace("//", "//few:pw@")
            done = program("doctor", "--json", CHATMEM_URL=few)
            assert not list(raw.scan_iter("chatmem:*"))
            raw.execute_command("ACL", "DELUSER", "few")
        assert done.returncode == 1
        errors = [row for row in rows(done, "rights") if row["level"] == "error"]
        assert {row["text"].partition(" ")[0] for row in errors} == {"LSET", "ZADD", "TIME", "EVALSHA"}
        assert errors[0]["advice"] == "ACL SETUSER ... +time"
        warned = [row["text"].partition(" ")[0] for row in rows(done, "rights") if row["level"] == "warning"]
        lists = ["ZRANGEBYLEX", "ZREVRANGEBYLEX", "ZLEXCOUNT", "ZCARD", "HGETALL"]
        assert warned == ["SCAN", "MEMORY", *lists, "SET", "GET", "XADD", "XRANGE", "XREVRANGE"]
        assert {f"+{name.lower()}" for name in lists} == set(LIST_RIGHTS.split())
        unknown = [row["check"] for row in rows(done) if row["level"] == "unknown"]
        assert unknown == ["version", "clock", "persistence", "eviction", "sessions"]

    @pytest.mark.parametrize(
        ("refused", "texts"),
        [
            ("", []),
            ("-xadd", ["XADD does not work", POLLED]),
            ("-spublish -publish", [POLLED]),
            ("-ssubscribe -subscribe", [POLLED]),
            ("-spublish", [POLLED]),  # listeners wait on the channel that Redis 7 has for it
            ("resetchannels", [POLLED]),
        ],
    )
    def test_a_user_without_live_changes(self, server: str, refused: str, texts: list[str]) -> None:
        """Changes are published and heard for real."""
        rights = f"{LEAST_RIGHTS} {LIST_RIGHTS} {LISTENING} +select +scan +set +get +memory|usage {refused}"
        with redis.Redis.from_url(server) as raw:
            raw.execute_command("ACL", "SETUSER", "few", "on", ">pw", "~test-*", *rights.split())
            done = program("doctor", "--json", "--prefix", "test-live", CHATMEM_URL=server.replace("//", "//few:pw@"))
            assert not list(raw.scan_iter("test-live*"))
            raw.execute_command("ACL", "DELUSER", "few")
        warned = [row["text"] for row in rows(done, "rights") if row["level"] != "ok"]
        assert [text.partition(":")[0] for text in warned] == texts

    def test_the_commands_are_those_of_the_readme(self) -> None:
        """What is tried is what the least rights list."""
        tried = {str(command[0]).lower() for command in rights.needed_commands(b"a", b"b")}
        assert tried == {name.removeprefix("+") for name in LEAST_RIGHTS.split()}

    def test_for_people(self, run: Run) -> None:
        """A line a finding, with what to do below it, and the sum of it."""
        output = run("doctor").output
        assert "warning persistence  nothing is written to disk" in output
        assert output.splitlines()[-1] == "0 errors, 1 warning"


class TestSessions:
    @pytest.fixture
    def raw(self, server: str) -> Any:
        with redis.Redis.from_url(server) as raw:
            yield raw

    def test_keys_that_expire_apart(self, run: Run, server: str, raw: redis.Redis) -> None:
        """A key without a time to live beside those with one, and two that differ."""
        with chatmem.sync.connect(server, ttl=600) as memory:
            for name in ("fine", "for}ever", "apart"):
                memory.history(name).append(lc.HumanMessage("x", id="i"))
        raw.persist(session_keys("chatmem", "for}ever").messages.decode())
        raw.expire(session_keys("chatmem", "apart").ids.decode(), 30)
        done = run("doctor", "--json")
        assert done.exit_code == 1
        found = {row["session"]: row for row in rows(done, "ttl")}
        assert set(found) == {"for}ever", "apart"}
        assert "messages never expires" in found["for}ever"]["text"]
        assert "expires in parts" in found["apart"]["text"]
        for name in found:
            with chatmem.sync.connect(server) as memory:
                memory.history(name).touch(ttl=600)  # as it advises
        assert run("doctor").exit_code == 0

    def test_sessions_that_just_expire(self, run: Run, server: str) -> None:
        """They are no finding."""
        end = time.monotonic() + 3
        with chatmem.sync.connect(server, ttl=0.2) as memory:
            while time.monotonic() < end:
                for number in range(20):
                    memory.history(str(number), user="ann").append(lc.HumanMessage("x", id="i"))
                assert {level for _, level in levels(run("doctor", "--json"), "ttl", "incomplete", "type")} == set()

    @pytest.mark.parametrize(
        ("lost", "level", "what"),
        [
            ("s", "warning", "its state is lost"),
            ("i", "warning", "its id index is lost"),
            ("m", "error", "its messages are gone"),
            ("ms", "warning", "only its id index is left"),
            ("mi", "error", "its messages are gone"),
            ("is", "warning", "its state is lost"),
        ],
    )
    def test_torn_sessions(
        self, run: Run, memory: chatmem.sync.ChatMemory, raw: redis.Redis, lost: str, level: str, what: str
    ) -> None:
        """As where the server evicts: a look changes nothing, --fix mends what can be mended, erase takes the rest."""
        for name in ("a", "torn"):
            memory.history(name, user="ann").append("x", lc.HumanMessage("refund", id="i"))
        raw.delete(*(f"chatmem:{{torn}}:{end}" for end in lost))
        before = {key: raw.dump(key) for key in raw.keys("chatmem:{torn}*")}
        done = run("doctor", "--json")
        assert (done.exit_code, levels(done, "torn")) == (int(level == "error"), [("torn", level)])
        assert f"session 'torn': {what}" in rows(done, "torn")[0]["text"]
        assert {key: raw.dump(key) for key in raw.keys("chatmem:{torn}*")} == before
        fixed = run("doctor", "--json", "--fix")
        assert levels(fixed, "torn") == [("torn", "error" if level == "error" else "ok")]
        if level == "error":
            assert run("erase", "torn", "--yes").exit_code == 0
            assert raw.keys("chatmem:{torn}*") == []
        elif "m" not in lost:
            assert [one.content for one in memory.history("torn").messages()] == ["x", "refund"]
            found = memory.history("torn").get("i")
            assert found is not None
            assert found.message == lc.HumanMessage("refund", id="i")
        assert levels(run("doctor", "--json"), "torn", "sessions") == [("sessions", "ok")]
        assert memory.history("a").count() == 2

    def test_an_answer_that_nobody_ended(self, run: Run, memory: chatmem.sync.ChatMemory, raw: redis.Redis) -> None:
        """A look changes nothing; --fix stores what there is. An answer that runs is no finding, nor is it exported."""
        history = memory.history("a", user="ann")
        with history.answer(lc.HumanMessage("Why?", id="q"), id="x") as draft:
            draft.write("Because ")
            wait_until(lambda: raw.xlen("chatmem:{a}:a") == 2)
            assert levels(run("doctor", "--json"), "answers", "branches", "sessions") == [("sessions", "ok")]
            assert "Because" not in run("export", "a").stdout
            state: Any = raw.hget("chatmem:{a}:s", "answers")
            chunks: Any = raw.dump("chatmem:{a}:a")
        assert "Because" in run("export", "a").stdout
        history.delete("x")  # the question is the last message again, with the sign that an answer runs
        assert levels(run("doctor", "--json"), "branches", "sessions") == [("sessions", "ok")]
        history.clear()
        history.append(lc.HumanMessage("Why?", id="q"))
        token, number, _, rest = state.split(b" ", 3)
        raw.hset("chatmem:{a}:s", "answers", b"%b %b 1 %b" % (token, number, rest))
        raw.restore("chatmem:{a}:a", 0, chunks)
        before = {key: raw.dump(key) for key in raw.keys("chatmem:{a}*")}
        done = run("doctor", "--json")
        assert (done.exit_code, levels(done, "answers")) == (0, [("answers", "warning")])
        assert "the producer of the answer 'x' is gone" in rows(done, "answers")[0]["text"]
        assert {key: raw.dump(key) for key in raw.keys("chatmem:{a}*")} == before
        assert levels(run("doctor", "--json", "--fix"), "answers") == [("answers", "ok")]
        assert [one.text for one in memory.history("a").messages()] == ["Why?", "Because "]

    def test_a_list_of_another_life(self, run: Run, memory: chatmem.sync.ChatMemory, raw: redis.Redis) -> None:
        """As a restore in part leaves it."""
        memory.history("a").append("x")
        old: Any = raw.dump("chatmem:{a}:m")
        memory.history("a").clear()
        memory.history("a").append("y", "z")
        raw.restore("chatmem:{a}:m", 0, old, replace=True)
        done = run("doctor", "--json", "--fix")
        assert (done.exit_code, levels(done, "torn")) == (1, [("torn", "error")])
        assert rows(done, "torn")[0]["advice"] == "restore the right list, or run: chatmem erase a"

    def test_what_is_mended(self, run: Run, server: str, raw: redis.Redis) -> None:
        """Keys that expire apart, and users' lists."""
        with chatmem.sync.connect(server, ttl=600) as memory:
            for name in ("apart", "gone"):
                memory.history(name, user="ann").append(lc.HumanMessage("x", id="i"))
        raw.expire("chatmem:{apart}:i", 30)
        raw.delete(*raw.keys("chatmem:{gone}*"))
        assert run("doctor").exit_code == 1
        done = run("doctor", "--json", "--fix")
        assert (done.exit_code, levels(done, "ttl", "index")) == (0, [("ttl", "ok"), ("index", "ok")])
        assert all(500_000 < raw.pttl(f"chatmem:{{apart}}:{end}") <= 600_000 for end in "mis")
        assert [level for _, level in levels(run("doctor", "--json"), "ttl", "index")] == ["ok"]

    def test_keys_of_a_wrong_type(self, run: Run, memory: chatmem.sync.ChatMemory, raw: redis.Redis) -> None:
        """Each key is named, and the other sessions are looked at all the same."""
        for name in ("a", "b", "c"):
            memory.history(name).append("x")
        for key in (session_keys("chatmem", "a").messages, session_keys("chatmem", "b").ids):
            raw.set(key.decode(), "x")
        raw.set("chatmem:user:{ann}", "x")
        done = run("doctor", "--json")
        assert done.exit_code == 1
        assert [row["advice"].rpartition(" ")[2] for row in rows(done, "type")] == ["chatmem:{a}:m", "chatmem:{b}:i"]
        assert rows(done, "records")[0]["text"] == "all messages of 1 session can be read"
        assert levels(done, "index") == [("index", "error")]

    def test_records_that_cannot_be_read(self, run: Run, memory: chatmem.sync.ChatMemory, raw: redis.Redis) -> None:
        """Session, position and reason of each, also of a key that is not given."""
        memory.history("a").append(*map(str, range(30)))
        list_key = session_keys("chatmem", "a").messages.decode()
        for place in range(3, 28):
            raw.lset(list_key, place, f"{place}:damaged")
        done = run("doctor", "--json")
        assert done.exit_code == 1
        found = rows(done, "records")
        assert [(row["session"], row["position"]) for row in found[:20]] == [("a", n) for n in range(3, 23)]
        assert found[20]["text"] == "and 5 more"
        assert found[0]["advice"].startswith("history.delete(3) removes it")
        for place in range(3, 28):
            memory.history("a").delete(place)  # as it advises
        assert run("doctor").exit_code == 0

    def test_encrypted_records(self, server: str) -> None:
        """Without their key they cannot be read, and it says whose."""
        with chatmem.sync.connect(server, encryption=chatmem.KeyRing({"k": b"x" * 32})) as memory:
            memory.history("a").append("x")
        (found,) = rows(program("doctor", "--json", CHATMEM_URL=server), "records")
        assert "the key 'k'" in found["text"]
        assert found["advice"] == "add its key to CHATMEM_KEYS"

    def test_the_index(self, run: Run, server: str, raw: redis.Redis) -> None:
        """Sessions that are gone leave it as the advice says."""
        with chatmem.sync.connect(server) as memory:
            memory.history("a", user="ann").append("x")
            memory.history("b", user="ann").append("x")
        raw.delete(*session_keys("chatmem", "a"))
        done = run("doctor", "--json")
        assert (done.exit_code, levels(done, "index")) == (0, [("index", "warning")])
        assert "user 'ann': the index lists 1 session that is gone" in rows(done, "index")[0]["text"]
        run("sessions", "--user", "ann")
        assert levels(run("doctor", "--json"), "index") == [("index", "ok")]

    def test_bounds(self, run: Run, memory: chatmem.sync.ChatMemory, raw: redis.Redis) -> None:
        """--limit and --match say how much is read; what is not is said."""
        for name in ("a", "b", "c"):
            memory.history(name).append("x")
        raw.lset(session_keys("chatmem", "c").messages.decode(), 0, "0:damaged")
        done = run("doctor", "--json", "--limit", "2")
        assert done.exit_code == 0
        assert rows(done, "records")[1]["text"] == "the messages of 1 session were not read"
        assert run("doctor", "--match", "[ab]").exit_code == 0
        assert run("doctor", "--match", "c").exit_code == 1
