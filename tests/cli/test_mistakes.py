"""What the command line says of mistakes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import chatmem.sync
from tests import samples
from tests.cli.program import Run, program
from tests.servers import free_port


class TestMistakes:
    @pytest.mark.parametrize("command", [["chat"], ["show", "a"], ["import", str(samples.DATA)]])
    def test_a_server_that_is_not_there(self, command: list[str]) -> None:
        """One line on stderr, exit code 1, no traceback."""
        done = program(*command, text="hi\n", CHATMEM_URL=f"redis://:s3cret@127.0.0.1:{free_port()}/0")
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
        assert done.stderr.startswith("error: the server could not be reached")
        assert "s3cret" not in done.stderr

    def test_a_wrong_url(self) -> None:
        """A URL that is none is one line, which says what is."""
        done = program("show", "a", "--url", "localhost")
        assert (done.returncode, done.stderr.splitlines()[0][:23]) == (1, "error: url must begin w")

    def test_a_missing_extra(self, tmp_path: Path) -> None:
        """Without typer it says what to install."""
        script = (
            "import importlib.util as u, sys\nu.find_spec = lambda name: None\nfrom chatmem.cli import main\nmain()"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (
            2,
            "chatmem's command line needs: pip install 'chatmem[cli]'\n",
        )

    def test_a_reader_that_leaves(self, server: str, memory: chatmem.sync.ChatMemory) -> None:
        """`chatmem show | head` ends without a traceback."""
        memory.history("a").append(*("x" * 1000 for _ in range(2000)))
        command = f"{sys.executable} -m chatmem.cli show a | head -1"
        environment = {**os.environ, "CHATMEM_URL": server}
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environment)
        assert done.stderr == ""

    def test_version_and_help(self, run: Run) -> None:
        """They are there."""
        assert run("--version").output.startswith("chatmem ")
        assert {"chat", "show", "import"} <= set(run("--help").output.replace("│", " ").split())
