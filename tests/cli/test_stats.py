"""`chatmem stats`."""

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
from chatmem.codec import record
from chatmem.transports.driving import drive
from tests.cli.program import Run, program
from tests.servers import LEAST_RIGHTS

DAY = 86_400


@pytest.fixture
def filled(server: str) -> None:
    """Sessions of some sizes, ages and times to live."""
    for name, count, age, ttl, user in (
        ("none", 1, 0, None, None),
        ("small", 5, 2 * DAY, 1800, "ann"),
        ("large", 300, 400 * DAY, 40 * DAY, "ann"),
        ("old", 15, 8 * DAY, 2 * DAY, "b\x1b[31mob"),
    ):
        with chatmem.sync.connect(server, ttl=ttl) as memory:
            time = record.now() - age * 10**6
            parts = [record.encode(lc.HumanMessage("x" * 100), n, time) for n in range(count)]
            drive(memory.core.writer(name, user, blocking=True).store(parts, time=time))


def numbers(ranges: list[dict[str, Any]]) -> list[int]:
    return [one["sessions"] for one in ranges]


@pytest.mark.usefixtures("filled")
class TestStats:
    def test_json(self, run: Run, server: str) -> None:
        """Each number, and ranges by seconds, bytes and messages."""
        found = json.loads(run("stats", "--json", "--largest", "2").stdout)
        assert {name: found[name] for name in ("sessions", "messages", "without_ttl", "users")} == {
            "sessions": 4,
            "messages": 321,
            "without_ttl": 1,
            "users": 2,
        }
        assert found["by_messages"][2] == {"from": 2, "below": 10, "sessions": 1}
        assert numbers(found["by_messages"]) == [0, 1, 1, 1, 1, 0, 0]
        assert numbers(found["by_age"]) == [1, 0, 1, 1, 0, 1]
        assert found["by_ttl"][-1] == {"from": 365 * DAY, "below": None, "sessions": 0}
        assert numbers(found["by_ttl"]) == [1, 0, 1, 0, 1, 0]
        assert [(one["session"], one["messages"]) for one in found["largest"]] == [("large", 300), ("old", 15)]
        with redis.Redis.from_url(server) as raw:
            used = sum(raw.memory_usage(key) or 0 for key in raw.scan_iter("chatmem:{*"))
        assert found["bytes"] == used
        assert sum(numbers(found["by_bytes"])) == 4
        assert found["busiest_users"] == [{"user": "ann", "messages": 305}, {"user": "b\x1b[31mob", "messages": 15}]

    def test_the_tables(self, run: Run) -> None:
        """The same numbers with bars, the longest of which is full; in a table nothing drives the terminal."""
        output = run("stats").output
        assert output.startswith("4 sessions, 321 messages, ")
        assert "2 users; 1 session without a time to live" in output
        assert f"1 {'█' * 18}" in output
        assert "b\\x1b[31mob" in output
        assert "\x1b" not in output

    def test_some(self, run: Run) -> None:
        """By a glob; none is no failure."""
        assert json.loads(run("stats", "--json", "--match", "*l*").stdout)["sessions"] == 3
        done = run("stats", "--match", "nothing")
        assert (done.exit_code, done.output.splitlines()) == (0, ["0 sessions, 0 messages"])

    def test_without_the_right_to_ask_for_sizes(self, server: str) -> None:
        """All but the sizes is there, and stderr says what is missing."""
        with redis.Redis.from_url(server) as raw:
            raw.execute_command(
                "ACL", "SETUSER", "few", "on", ">pw", "~chatmem:*", *LEAST_RIGHTS.split(), "+scan", "+select"
            )
            few = server.replace("//", "//few:pw@")
            done = program("stats", "--json", CHATMEM_URL=few)
            raw.execute_command("ACL", "DELUSER", "few")
        found = json.loads(done.stdout)
        assert (found["sessions"], found["bytes"], done.returncode) == (4, None, 0)
        assert done.stderr.startswith("sizes are not known: MEMORY USAGE: the server refused")

    @pytest.mark.parametrize("name", ["a.png", "a.svg"])
    def test_a_picture(self, run: Run, tmp_path: Path, name: str) -> None:
        """A file of the kind that its name says."""
        assert run("stats", "--plot", str(tmp_path / name)).exit_code == 0
        data = (tmp_path / name).read_bytes()
        assert data.startswith(b"\x89PNG" if name == "a.png" else b"<?xml")
        assert len(data) > 10_000

    @pytest.mark.parametrize("name", ["a.nothing", "nowhere/a.png"])
    def test_no_picture(self, run: Run, tmp_path: Path, name: str) -> None:
        """A kind that there is not, or a folder: one line."""
        done = run("stats", "--plot", str(tmp_path / name))
        assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)

    def test_without_matplotlib(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """It says what to install, before it counts."""
        for name in [name for name in sys.modules if name.startswith(("matplotlib", "chatmem.cli.plotting"))]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        done = run("stats", "--plot", "a.png")
        assert (done.exit_code, done.stdout) == (1, "")
        assert "pip install 'chatmem-redis[plot]'" in done.stderr

    @pytest.mark.parametrize("width", [40, 80, 120])
    def test_on_a_terminal(self, server: str, width: int) -> None:
        """No line is wider than the terminal, and two charts stand side by side where there is room."""
        pexpect = pytest.importorskip("pexpect")
        environment = {**os.environ, "CHATMEM_URL": server, "TERM": "xterm-256color", "NO_COLOR": "1"}
        environment.pop("COLUMNS", None)
        command = ["-m", "chatmem.cli", "stats"]
        terminal = pexpect.spawn(
            sys.executable, command, env=environment, encoding="utf-8", timeout=20, dimensions=(60, width)
        )
        terminal.expect(pexpect.EOF)
        shown = [line for line in terminal.before.split("\r\n") if "█" in line and "\x1b" not in line]
        assert len(shown) == (15 if width == 40 else 10)
        assert max(map(len, shown)) <= width

    def test_a_terminal_of_ascii(self, server: str) -> None:
        """Signs stand for blocks where there are none."""
        done = program("stats", CHATMEM_URL=server, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
        assert (done.returncode, done.stderr) == (0, "")
        assert "#" * 18 in done.stdout
        assert done.stdout.isascii()
