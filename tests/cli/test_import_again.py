"""`chatmem import` of a file that was imported before, in part or as a whole."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import chatmem.sync
from chatmem.cli import importing
from chatmem.cli.app import app
from tests.cli.program import Run

FILE = [{"role": "user", "content": text} for text in ("a", "b", "a", "a", "c", "d", "e")]


class TestAppend:
    """With `--append`, each message of a file is stored once, whatever else is in the session."""

    def _import(self, run: Run, path: Path, count: int, *options: str) -> str:
        path.write_text(json.dumps({"id": "talk", "messages": FILE[:count]}))
        result = run("import", str(path), *options)
        return str(result.output)

    def _contents(self, memory: chatmem.sync.ChatMemory) -> str:
        return "".join(str(message.content) for message in memory.history("talk").messages())

    def test_a_file_that_grew(self, run: Run, tmp_path: Path, memory: chatmem.sync.ChatMemory) -> None:
        """A second import stores what is new in the file."""
        for count, stored in ((2, 2), (5, 3), (5, 0), (7, 2)):
            output = self._import(run, tmp_path / "talk.json", count, "--append")
            assert f"{stored} message" in output
        assert self._contents(memory) == "abaacde"

    def test_a_session_that_went_on(self, run: Run, tmp_path: Path, memory: chatmem.sync.ChatMemory) -> None:
        """Messages that came into the session meanwhile stay where they are."""
        self._import(run, tmp_path / "talk.json", 2)
        memory.history("talk").append("x")
        self._import(run, tmp_path / "talk.json", 5, "--append")
        memory.history("talk").append("y")
        self._import(run, tmp_path / "talk.json", 7, "--append")
        assert self._contents(memory) == "abxaacyde"

    def test_a_session_with_the_same_messages(self, run: Run, tmp_path: Path, memory: chatmem.sync.ChatMemory) -> None:
        """A session that no import stored gets the missing ones, with and without the option."""
        memory.history("talk").append("a", "b")
        self._import(run, tmp_path / "talk.json", 3, "--append")
        self._import(run, tmp_path / "talk.json", 5)
        assert self._contents(memory) == "abaac"

    def test_a_session_without_its_first_messages(
        self, run: Run, tmp_path: Path, server: str, memory: chatmem.sync.ChatMemory
    ) -> None:
        """What the memory no longer keeps is not stored again."""
        self._import(run, tmp_path / "talk.json", 5)
        with chatmem.sync.connect(server, max_messages=2) as trimming:
            trimming.history("talk").append("x")
        self._import(run, tmp_path / "talk.json", 7, "--append")
        assert self._contents(memory) == "cxde"


@pytest.fixture(scope="module")
def database(url: str) -> Iterator[str]:
    """An empty database of its own for the whole module."""
    database = url.removesuffix("/0") + "/9"
    yield database
    with redis.Redis.from_url(database) as raw:
        raw.flushdb()


_steps = st.lists(st.one_of(st.integers(1, len(FILE)), st.sampled_from(["x", "y"])), max_size=6)


@given(_steps, st.lists(st.booleans(), min_size=6, max_size=6), st.integers(1, 4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order(
    database: str, tmp_path: Path, monkeypatch: Any, steps: list[int | str], append: list[bool], batch: int
) -> None:
    """Imports of parts of the file, and others' messages in between: at last each is there once, in its order."""
    monkeypatch.setattr(importing, "MESSAGES", batch)
    session, path, others = uuid.uuid4().hex, tmp_path / "talk.json", 0
    with chatmem.sync.connect(database) as memory:
        for step, option in zip((*steps, len(FILE)), (*append[: len(steps)], True), strict=True):
            if isinstance(step, str):
                others += 1
                memory.history(session).append(f"{step}{others}")
                continue
            path.write_text(json.dumps({"id": session, "messages": FILE[:step]}))
            command = ["import", str(path), "--url", database, *(["--append"] if option else [])]
            result = CliRunner().invoke(app, command)
            assert result.exit_code == 0 or "holds other messages" in result.output
        contents = [str(message.content) for message in memory.history(session).messages()]
        assert [one for one in contents if len(one) == 1] == [one["content"] for one in FILE]
        assert [one for one in contents if len(one) > 1] == [
            f"{step}{number}" for number, step in enumerate((one for one in steps if isinstance(one, str)), 1)
        ]
