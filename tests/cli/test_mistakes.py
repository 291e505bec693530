"""What the command line says of mistakes: one line on stderr, an exit code, and never a traceback."""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner

import chatmem.sync
from chatmem.cli.app import app
from tests import samples
from tests.cli.program import CHATMEM, Run, on_terminal, program
from tests.servers import free_port

READING = [
    ["sessions"],
    ["sessions", "--user", "u"],
    ["show", "a"],
    ["search", "x"],
    ["stats"],
    ["tail", "a"],
    ["export"],
    ["export", "a"],
    ["erase", "a", "--yes"],
]
COMMANDS = [*READING, ["chat"], ["import", str(samples.DATA)], ["migrate", "{url}", "--from", "langchain-community"]]


class TestServer:
    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_it_is_not_there(self, command: list[str]) -> None:
        """One line on stderr, exit code 1, no password."""
        url = f"redis://:s3cret@127.0.0.1:{free_port()}/0"
        done = program(*(word.format(url=url) for word in command), text="hi\n", CHATMEM_URL=url)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
        assert done.stderr.startswith("error: the server could not be reached")
        assert "s3cret" not in done.stderr

    @pytest.mark.parametrize("command", READING, ids=" ".join)
    def test_a_wrong_password(self, command: list[str], server: str) -> None:
        """The same; neither password is shown."""
        with redis.Redis.from_url(server) as raw:
            raw.execute_command("ACL", "SETUSER", "ann", "on", ">right-one", "~*", "+@all")
            done = program(*command, CHATMEM_URL=server.replace("//", "//ann:wrong-one@"))
            raw.execute_command("ACL", "DELUSER", "ann")
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
        assert done.stderr.startswith("error: the server refused this user or password")
        assert "-one" not in done.stderr

    @pytest.mark.parametrize(
        "command", [["sessions"], ["search", "x"], ["stats"], ["export"], ["erase", "--match", "*"]]
    )
    def test_a_user_who_may_not_scan(self, command: list[str], server: str) -> None:
        """It is said that SCAN is what is missing."""
        with redis.Redis.from_url(server) as raw:
            raw.execute_command("ACL", "SETUSER", "ann", "on", ">pw", "~*", "+@all", "-scan")
            done = program(*command, CHATMEM_URL=server.replace("//", "//ann:pw@"))
            raw.execute_command("ACL", "DELUSER", "ann")
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
        assert "scan" in done.stderr

    @pytest.mark.parametrize(
        "url", ["localhost", "redis://", "redis://host:port", "http://x", "upstash://x", "ftp://x"]
    )
    def test_a_wrong_url(self, url: str) -> None:
        """A URL that is none is one line."""
        done = program("show", "a", "--url", url)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)

    def test_a_url_without_its_scheme(self) -> None:
        """The whole URL is suggested."""
        done = program("sessions", "--url", "localhost:6379")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith(". Did you mean redis://localhost:6379?\n")

    def test_keys_that_are_none(self, server: str) -> None:
        """They are not shown."""
        done = program("show", "a", CHATMEM_URL=server, CHATMEM_KEYS="k=s3cret")
        assert (done.returncode, len(done.stderr.splitlines()), "s3cret" in done.stderr) == (1, 1, False)


class TestUsage:
    @pytest.mark.parametrize(
        "command",
        [
            ["nothing"],
            ["show"],
            ["show", "a", "--last", "0"],
            ["show", "a", "--last", "x"],
            ["sessions", "--limit", "0"],
            ["search"],
            ["export", "--format", "pdf"],
            ["export", "a", "--user", "u"],
            ["erase"],
            ["erase", "a"],
            ["tail", "a", "--last", "-1"],
            ["stats", "--largest", "0"],
            ["doctor", "--limit", "-1"],
            ["migrate"],
            ["--what"],
        ],
        ids=" ".join,
    )
    def test_wrong_usage(self, server: str, memory: chatmem.sync.ChatMemory, command: list[str]) -> None:
        """Exit code 2, nothing on stdout, and nothing is done."""
        memory.history("a").append("x")
        done = program(*command, CHATMEM_URL=server)
        assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (2, "", False)
        assert memory.history("a").count() == 1

    def test_empty_names(self, run: Run) -> None:
        """An id or a user that is empty is named, in one line."""
        for command in (["show", ""], ["sessions", "--user", ""], ["tail", ""], ["search", "x", "--session", ""]):
            done = run(*command)
            assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1), command

    def test_drawn_arguments(
        self, server: str, memory: chatmem.sync.ChatMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No arguments at all lead to a traceback or to another exit code."""
        monkeypatch.chdir(tmp_path)  # some of them are files to write
        memory.history("a", user="u").append("x", "refund")
        drawn = random.Random(5)
        words = (
            "a u x * [ ] \\ % } { \x1b[2J é \ud800 -1 0 1 999999999999999999999 1e999 nan --yes --json --match --user"
        )
        words += (
            " --limit --last --url --prefix --format jsonl --session --dry-run --output /nowhere/x -o - -- --interval"
        )
        names = ["sessions", "show", "search", "export", "erase", "stats", "doctor", "import", "reencrypt"]
        ended = set()
        for _ in range(150):
            arguments = [drawn.choice(names), *drawn.choices([*words.split(), ""], k=drawn.randrange(5))]
            done = CliRunner().invoke(app, arguments, env={"CHATMEM_URL": server})
            assert done.exception is None or isinstance(done.exception, SystemExit), (arguments, done.exception)
            ended.add(done.exit_code)
            assert "\x1b[2J" not in done.output, arguments
        assert ended == {0, 1, 2}

    def test_version_and_help(self, run: Run) -> None:
        """They are there, for each command."""
        assert run("--version").output.startswith("chatmem ")
        shown = set(run("--help").output.replace("│", " ").split())
        names = {
            "chat",
            "show",
            "sessions",
            "search",
            "stats",
            "tail",
            "doctor",
            "export",
            "import",
            "migrate",
            "erase",
        }
        assert names <= shown
        for name in (*names, "reencrypt"):
            help_text = run(name, "--help").output
            assert run(name, "-h").output == help_text
            assert "<bool>" not in help_text
            assert "[[" not in help_text
            assert "CHATMEM_URL" in help_text
            assert ("--json" in help_text) == (name not in ("chat", "export"))

    @pytest.mark.parametrize("columns", ["60", "80"])
    def test_help_on_a_narrow_terminal(self, columns: str) -> None:
        """No line is wider, and no word is broken but at a hyphen."""
        for name in ("migrate", "export", "import", "erase"):
            help_text = program(name, "-h", COLUMNS=columns).stdout
            assert max(map(len, help_text.splitlines())) <= int(columns)
            wide = program(name, "-h", COLUMNS="200").stdout
            assert re.sub(r"-\s+", "-", help_text).split() == re.sub(r"-\s+", "-", wide).split()


@pytest.mark.parametrize(
    "command",
    [
        *(("sessions", "--match"), ("search", "x", "--match"), ("stats", "--match"), ("doctor", "--match")),
        *(("export", "--match"), ("erase", "--yes", "--match"), ("erase", "--yes", "--user", "u", "--match")),
        ("reencrypt",),
        *(
            ("migrate", "SOURCE", "--yes", "--from", layout, "--match")
            for layout in ("memorystore", "langchain-community")
        ),
    ],
)
def test_an_empty_glob(
    run: Run, server: str, memory: chatmem.sync.ChatMemory, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a shell's variable without a value: it is refused, and does not stand for everything."""
    monkeypatch.setenv("CHATMEM_KEYS", f"k={b64encode(secrets.token_bytes(32)).decode()}")
    memory.history("a", user="u").append("x")
    with redis.Redis.from_url(server) as raw:
        raw.rpush("message_store:old", '{"type": "human", "data": {"content": "x", "type": "human"}}')
    done = run(*(server if part == "SOURCE" else part for part in command), "")
    assert (done.exit_code, "the glob is empty" in done.output) == (2, True)
    assert memory.history("a").count() == 1
    assert memory.history("message_store:old").count() == memory.history("old").count() == 0


class TestStreams:
    def test_a_reader_that_leaves(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """`chatmem show | head` ends without a traceback; export and search too."""
        for number in range(3):
            memory.history(str(number)).append(*("refund " + "x" * 1000 for _ in range(700)))
        for command in ("show 1", "show 1 --json", "export", "export --format markdown", "search refund --limit 1000"):
            line = f"{sys.executable} -m chatmem.cli {command} | head -1"
            environment = {**os.environ, "CHATMEM_URL": server}
            done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=environment)
            assert (done.stderr, done.stdout.count("\n")) == ("", 1)

    @pytest.mark.parametrize("command", ["export", "sessions --json", "search refund"])
    def test_a_pipe_on_a_terminal(self, server: str, memory: chatmem.sync.ChatMemory, command: str) -> None:
        """No progress bar comes between the lines of the program behind the pipe, and no traceback."""
        for number in range(3):
            memory.history(str(number)).append(*("refund " + "x" * 1000 for _ in range(700)))
        terminal = on_terminal(f"{CHATMEM} {command} | head -1", 200, CHATMEM_URL=server, TERM="xterm")
        terminal.expect_exact([terminal.delimiter])
        assert terminal.before.count("\n") == 1
        assert "\x1b" not in terminal.before

    def test_a_progress_bar(self, server: str, memory: chatmem.sync.ChatMemory, tmp_path: Path) -> None:
        """It is there on a terminal."""
        memory.history("a").append("x")
        line = f"{CHATMEM} export -o {tmp_path / 'a.jsonl'}"
        terminal = on_terminal(line, CHATMEM_URL=server, TERM="xterm")
        terminal.expect("exporting")
        terminal.expect("1 session written")

    def test_a_full_disk(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """It is an error that says so."""
        memory.history("a").append("x")
        for command in ("show a", "show a --json", "sessions --json", "export"):
            line = f"{sys.executable} -m chatmem.cli {command} > /dev/full"
            environment = {**os.environ, "CHATMEM_URL": server}
            done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=environment)
            assert done.returncode == 1, command
            assert "No space left" in done.stderr
            assert "Traceback" not in done.stderr

    @pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
    def test_closed_streams(self, server: str, memory: chatmem.sync.ChatMemory, tmp_path: Path, closed: str) -> None:
        """A scheduler may start a command without some streams."""
        memory.history("a").append("x")
        file = tmp_path / "a.jsonl"
        for command, code in (
            ("show a", 0),
            ("show nobody", 1),
            ("export", 0),
            (f"export -o {file}", 0),
            ("doctor --limit 0", 0),
            ("chat b", 0),
            ("import -", 0),
            ("erase a", 2),
            ("erase a --yes", 0),
        ):
            line = f"{CHATMEM} {command} {closed}"
            environment = {**os.environ, "CHATMEM_URL": server}
            done = subprocess.run(["sh", "-c", line], input="", capture_output=True, text=True, env=environment)
            assert (done.returncode, "Traceback" in done.stderr) == (code, False), command
        assert len(file.read_text().splitlines()) == 2
        assert memory.history("a").count() == 0

    @pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
    def test_encodings(self, server: str, memory: chatmem.sync.ChatMemory, encoding: str) -> None:
        """What the terminal cannot show is spelled out."""
        memory.history("é\u4f60").append("caf\u00e9 \u4f60\u597d \ud800 \U0001f600", "refund")
        memory.history("é\u4f60").update(title="\u4f60")
        environment = {"CHATMEM_URL": server, "PYTHONIOENCODING": encoding, "LC_ALL": "C"}
        for command in (
            ["show", "é\u4f60"],
            ["sessions"],
            ["search", "refund"],
            ["stats"],
            ["export", "--format", "markdown"],
        ):
            line = [sys.executable, "-m", "chatmem.cli", *command]
            done = subprocess.run(line, capture_output=True, env={**os.environ, **environment})
            assert (done.returncode, done.stderr) == (0, b""), command
            assert done.stdout.decode(encoding)

    def test_a_missing_extra(self) -> None:
        """Without typer it says what to install."""
        script = (
            "import importlib.util as u, sys\nu.find_spec = lambda name: None\nfrom chatmem.cli import main\nmain()"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (
            2,
            "chatmem's command line needs: pip install 'chatmem-redis[cli]'\n",
        )

    def test_ctrl_c_while_modules_are_imported(self) -> None:
        """It ends the program as at any other time, without a traceback."""
        script = (
            "import sys\nclass Interrupted:\n def find_spec(self, name, *_):\n"
            "  if name == 'chatmem.cli.options': raise KeyboardInterrupt\n"
            "sys.meta_path.insert(0, Interrupted())\nfrom chatmem.cli import main\nmain()"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (130, "")


class TestJson:
    def test_summaries(self, run: Run, server: str, memory: chatmem.sync.ChatMemory, tmp_path: Path) -> None:
        """Commands that print a sum print it as one object too."""
        file = tmp_path / "a.jsonl"
        rows = [{"id": "a", "messages": [{"role": "user", "content": "x"}]}, {"id": "b"}]
        file.write_text("\n".join(map(json.dumps, rows)))
        done = run("import", str(file), "--json")
        assert (done.exit_code, json.loads(done.stdout)) == (
            1,
            {"conversations": 1, "messages": 1, "already": 0, "skipped": 1},
        )
        key = f"k={b64encode(secrets.token_bytes(32)).decode()}"
        sealed = program("reencrypt", "--json", CHATMEM_URL=server, CHATMEM_KEYS=key)
        assert json.loads(sealed.stdout) == {"sessions": 1, "sealed": 1, "unreadable": 0}
        with redis.Redis.from_url(server) as raw:
            raw.rpush("message_store:old", '{"type": "human", "data": {"content": "x", "type": "human"}}')
        moved = run("migrate", server, "--from", "langchain-community", "--yes", "--json")
        looked, done_ = map(json.loads, moved.stdout.splitlines())
        assert (looked["sessions"], done_["sessions"]) == ({"new": 1}, {"moved": 1})
        assert looked["messages"] == done_["messages"] == 1
