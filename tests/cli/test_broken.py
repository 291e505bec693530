"""A session that is broken costs itself alone, whatever command meets it, and can be erased."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem.sync
from tests.cli.program import Run

Hurt = Callable[[redis.Redis], object]


def wrong_type(end: str) -> Hurt:
    def hurt(raw: redis.Redis) -> None:
        raw.delete(f"chatmem:{{b}}:{end}")
        raw.set(f"chatmem:{{b}}:{end}", "x")

    return hurt


HURTS: dict[str, Hurt] = {
    "the list is a string": wrong_type("m"),
    "the ids are a string": wrong_type("i"),
    "the state is a string": wrong_type("s"),
    "the messages are gone": lambda raw: raw.delete("chatmem:{b}:m"),
    "a time is none": lambda raw: raw.hset("chatmem:{b}:s", "created", "x"),
    "a time has 5,000 digits": lambda raw: raw.hset("chatmem:{b}:s", "updated", "9" * 5000),
    "the user is no text": lambda raw: raw.hset("chatmem:{b}:s", "user", b"\xff"),
}


@pytest.fixture(params=HURTS)
def hurt(request: pytest.FixtureRequest) -> str:
    """How it is broken."""
    return str(request.param)


@pytest.fixture
def raw(hurt: str, server: str, memory: chatmem.sync.ChatMemory) -> Any:
    """Three sessions of ann, the second of which is broken."""
    for name in "abc":
        memory.history(name, user="ann").append(lc.HumanMessage("refund", id=f"{name}1"), "please")
    with redis.Redis.from_url(server) as raw:
        HURTS[hurt](raw)
        yield raw


def test_sessions(run: Run, raw: redis.Redis, hurt: str) -> None:
    """The others are listed, of a user too, and it is named."""
    for chosen in ([], ["--user", "ann"], ["--match", "*"]):
        done = run("sessions", "--json", *chosen)
        if hurt == "the ids are a string" and "--user" in chosen:  # what is known of it can be read all the same
            assert done.exit_code == 0
            continue
        assert sorted(json.loads(line)["session_id"] for line in done.stdout.splitlines()) == ["a", "c"]
        assert (done.exit_code, "'b'" in done.stderr) == (1, True)


def test_search(run: Run, raw: redis.Redis) -> None:
    """The others are searched."""
    for chosen in ([], ["--user", "ann"]):
        done = run("search", "refund", "--json", *chosen)
        assert sorted(json.loads(line)["session"] for line in done.stdout.splitlines()) == ["a", "c"]
        assert (done.exit_code, "'b'" in done.stderr) == (1, True)


def test_export(run: Run, raw: redis.Redis) -> None:
    """The others are written, and it is named."""
    for form in ("jsonl", "openai"):
        done = run("export", "--format", form)
        assert (done.exit_code, "'b'" in done.stderr) == (1, True)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert len([row for row in rows if "record" in row] or rows) == (4 if form == "jsonl" else 2)


def test_stats(run: Run, raw: redis.Redis) -> None:
    """The others are counted."""
    done = run("stats", "--json")
    assert (done.exit_code, "'b'" in done.stderr) == (1, True)
    assert json.loads(done.stdout)["messages"] == 4


def test_show_and_tail(run: Run, raw: redis.Redis) -> None:
    """What can be read is shown; else a line says why not."""
    done = run("show", "b")
    assert done.exception is None or isinstance(done.exception, SystemExit)
    assert done.exit_code == 0 or len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("chosen", [["b"], ["a", "b", "c"], ["--match", "*"]], ids=" ".join)
def test_erase(run: Run, memory: chatmem.sync.ChatMemory, raw: redis.Redis, chosen: list[str]) -> None:
    """It goes, with all that is left of it."""
    looked = run("erase", *chosen, "--dry-run")
    assert "including 1 broken session to erase" in looked.stdout
    assert len(raw.keys("chatmem:{b}*")) >= 2
    done = run("erase", *chosen, "--yes")
    assert (done.exit_code, done.stderr) == (0, "")
    assert raw.keys("chatmem:{b}*") == []
    assert memory.history("a").count() == (2 if chosen == ["b"] else 0)


def test_erase_of_a_user(run: Run, memory: chatmem.sync.ChatMemory, raw: redis.Redis, hurt: str) -> None:
    """It goes with the others, unless it says that it is somebody else's."""
    done = run("erase", "--user", "ann", "--yes")
    assert memory.history("a").count() == memory.history("c").count() == 0
    if hurt == "the user is no text":
        assert (done.exit_code, "1 session of the user's index not erased" in done.stderr) == (1, True)
        assert len(raw.keys("chatmem:{b}*")) == 3
    else:
        assert (done.exit_code, done.stderr) == (0, "")
        assert raw.keys("chatmem:{b}*") == []


def test_a_glob_and_a_user(run: Run, memory: chatmem.sync.ChatMemory, raw: redis.Redis) -> None:
    """Nothing says whose the broken one is, so it is left and named."""
    done = run("erase", "--match", "*", "--user", "ann", "--yes")
    assert (done.exit_code, "session 'b' is broken and its owner is not known" in done.stderr) == (1, True)
    assert memory.history("a").count() == memory.history("c").count() == 0
    assert len(raw.keys("chatmem:{b}*")) >= 2
