"""`chatmem tail`, in a terminal and into a pipe, while others write."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem.sync
from chatmem.core.keys import session_keys
from tests.cli.program import program
from tests.servers import debian_binary, free_port, run_server, wait_until

COMMAND = ["-m", "chatmem.cli", "tail", "a", "--interval", "0.05"]


@contextmanager
def tailing(url: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run it with its output in a pipe."""
    process = subprocess.Popen(
        [sys.executable, *COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "CHATMEM_URL": url},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read(process: subprocess.Popen[str], count: int) -> list[dict[str, Any]]:
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def contents(rows: list[dict[str, Any]]) -> list[str]:
    return [row["message"]["data"]["content"] for row in rows]


class TestPipe:
    def test_what_is_appended(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """The last messages, then each that comes, a line each, at once; Ctrl-C ends it with 130."""
        history = memory.history("a")
        history.append(*map(str, range(20)))
        with tailing(server, "--json", "--last", "3") as process:
            assert contents(read(process, 3)) == ["17", "18", "19"]
            history.append("20")
            assert contents(read(process, 1)) == ["20"]
            history.append(*map(str, range(21, 721)))
            assert contents(read(process, 700)) == list(map(str, range(21, 721)))
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
            assert process.communicate() == ("", "")

    def test_only_what_comes(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """--last 0 begins behind what is there."""
        memory.history("a").append("0", "1")
        with tailing(server, "--json", "--last", "0") as process, redis.Redis.from_url(server) as raw:

            def looks() -> int:
                return int(raw.info("commandstats").get("cmdstat_eval", {}).get("calls", 0))

            started = looks()
            wait_until(lambda: looks() > started)
            memory.history("a").append("2")
            assert contents(read(process, 1)) == ["2"]

    def test_an_answer_that_grows(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """Each version that is seen is a line of its own; the last is the whole."""
        history = memory.history("a")
        history.append("question")
        with tailing(server, "--json") as process:
            read(process, 1)
            text = ""
            for word in ("Hel", "lo ", "world"):
                text += word
                history.put(lc.AIMessage(text, id="answer"))
            rows = read(process, 1)
            while contents(rows)[-1] != "Hello world":
                rows += read(process, 1)
            assert {row["seq"] for row in rows} == {1}
            assert all("Hello world".startswith(text) for text in contents(rows))

    def test_cut_and_removed(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """It goes on with what comes after that."""
        history = memory.history("a")
        history.append("0", "1", "2")
        with tailing(server, "--json") as process:
            read(process, 3)
            history.truncate(after=0)
            assert process.stderr is not None
            assert process.stderr.readline() == "the last messages were removed\n"
            history.append("3")
            assert contents(read(process, 1)) == ["3"]
            history.clear()
            assert process.stderr.readline() == "the session was removed\n"
            history.append("new")
            assert contents(read(process, 1)) == ["new"]

    def test_a_session_that_is_yet_to_come(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """It says that it waits."""
        with tailing(server, "--json") as process:
            assert process.stderr is not None
            assert process.stderr.readline() == "no session 'a' yet: waiting for it\n"
            memory.history("a").append("0", "1")
            assert contents(read(process, 2)) == ["0", "1"]

    def test_a_record_that_cannot_be_read(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """It is a line too."""
        memory.history("a").append("0")
        with tailing(server, "--json") as process, redis.Redis.from_url(server) as raw:
            read(process, 1)
            raw.rpush(session_keys("chatmem", "a").messages.decode(), "1:damaged")
            (row,) = read(process, 1)
            assert (row["seq"], row["message"]) == (1, None)
            assert process.stderr is not None
            assert "cannot be read" in process.stderr.readline()

    def test_a_server_that_restarts(self, tmp_path: Path) -> None:
        """Two notes on stderr, and nothing is missed."""
        port, kept = free_port(), ("--dir", str(tmp_path), "--dbfilename", "kept.rdb")
        with ExitStack() as stack:
            with run_server(debian_binary(), *kept, port=port) as url, chatmem.sync.connect(url) as memory:
                memory.history("a").append("0")
                with redis.Redis.from_url(url) as raw:
                    raw.save()
                process = stack.enter_context(tailing(url, "--json"))
                read(process, 1)
            assert process.stderr is not None
            assert process.stderr.readline().startswith("waiting for the server: ")
            with run_server(debian_binary(), *kept, port=port) as url, chatmem.sync.connect(url) as memory:
                memory.history("a").append("1")
                assert contents(read(process, 1)) == ["1"]
                assert process.stderr.readline() == "the server is back\n"

    def test_a_reader_that_leaves(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """It ends at the next message, without a traceback."""
        memory.history("a").append("0")
        with tailing(server, "--json") as process:
            read(process, 1)
            assert process.stdout is not None
            process.stdout.close()
            memory.history("a").append("1")
            assert process.wait(20) == 1
            assert process.stderr is not None
            assert process.stderr.read() == ""
            process.stdout = None

    def test_an_interval_that_is_none(self, server: str) -> None:
        """Wrong usage."""
        assert program("tail", "a", "--interval", "0", CHATMEM_URL=server).returncode == 2


def test_a_terminal(server: str, memory: chatmem.sync.ChatMemory) -> None:
    """There an answer grows where it stands, and the next message begins a line of its own."""
    pexpect = pytest.importorskip("pexpect")
    history = memory.history("a")
    history.append("question")
    environment = {**os.environ, "CHATMEM_URL": server, "TERM": "dumb", "COLUMNS": "100"}
    terminal = pexpect.spawn(sys.executable, COMMAND, env=environment, encoding="utf-8", timeout=20)
    terminal.expect("human\r\n     question")
    history.put(lc.AIMessage("Hel", id="answer"))
    terminal.expect("\r\n   1 .* ai id answer\r\n     Hel")
    history.put(lc.AIMessage("Hello", id="answer"))
    terminal.expect_exact("lo")
    history.put(lc.AIMessage("Hello world", id="answer"))
    terminal.expect_exact(" world")
    history.append("thanks \x1b[2J")
    terminal.expect("\r\n   2 .* human\r\n     thanks \\\\x1b\\[2J")
    history.put(lc.AIMessage("Bye", id="answer2"))
    terminal.expect("     Bye")
    history.put(lc.AIMessage("Good-bye", id="answer2"))
    terminal.expect("\r\n   3 .* ai id answer2\r\n     Good-bye")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert "Traceback" not in terminal.before
