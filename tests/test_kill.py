"""Agents that are killed with -9, between two turns and in the middle of one: the next process goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import chatmem.sync
from chatmem.core.window import without_halves
from tests.killed import KINDS, NEEDED, WAITING


class Talk:
    """A process of a program that is to be killed."""

    def __init__(self, *arguments: str, module: str = "tests.killed") -> None:
        command = [sys.executable, "-m", module, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, text: str) -> str:
        """Return the line that the program answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()
        assert self._process.returncode != 0


@contextmanager
def talking(*arguments: str, module: str = "tests.killed") -> Iterator[Talk]:
    """Yield a program, and kill it with -9."""
    talk = Talk(*arguments, module=module)
    try:
        yield talk
    finally:
        talk.kill()


@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_started_again(kind: str, url: str, prefix: str) -> None:
    """Between turns nothing is lost; in the middle of one, what was said in it is there, or all of it is not."""
    if kind in NEEDED:
        pytest.importorskip(NEEDED[kind], reason=f"{NEEDED[kind]} is not installed")
    with talking(kind, url, prefix) as talk:
        assert json.loads(talk.say("I am Alice.")) == ["I am Alice."]
        assert json.loads(talk.say("I like tea.")) == ["I am Alice.", "I like tea."]
    with talking(kind, url, prefix) as talk:
        assert talk.say("wait") == WAITING
    whole_turns = kind in ("pydantic", "pydantic_store", "framework", "ag_ui")
    past = ["I am Alice.", "I like tea.", *([] if whole_turns else ["wait"])]
    with talking(kind, url, prefix) as talk:
        assert json.loads(talk.say("Who am I?")) == [*past, "Who am I?"]
        assert json.loads(talk.say("And what do I like?")) == [*past, "Who am I?", "And what do I like?"]
    with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory:
        stored = [memory.history(session).messages() for session in memory.all_sessions()]
    (messages,) = filter(None, stored)  # ADK's sessions of the app's and the user's state are empty
    said = [message.text for message in messages if message.type == "human"]
    assert said == [*past, "Who am I?", "And what do I like?"]
    answers = [message.text for message in without_halves(messages) if message.type == "ai" and message.text]
    assert [json.loads(answer)[-1] for answer in answers] == [one for one in said if one != "wait"]
