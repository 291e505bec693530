"""Completion, in a real bash."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import chatmem.sync
from tests.cli.program import program
from tests.servers import free_port


@pytest.fixture
def bash(server: str, tmp_path: Path) -> Any:
    """A bash in which completion was installed."""
    pexpect = pytest.importorskip("pexpect")
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(tmp_path), "TERM": "dumb", "CHATMEM_URL": server, "PS1": "$ "}
    options = {"env": environment, "encoding": "utf-8", "timeout": 20, "dimensions": (24, 200)}
    first = pexpect.spawn("bash", ["--norc", "--noprofile"], **options)
    first.sendline("chatmem --install-completion; exit")
    first.expect("bash completion installed")
    first.expect(pexpect.EOF)
    shell = pexpect.spawn("bash", ["--rcfile", str(tmp_path / ".bashrc"), "--noprofile"], **options)
    shell.sendline("echo re''ady")
    shell.expect_exact("ready\r\n")
    return shell


def test_commands(bash: Any) -> None:
    """`chatmem sh` and TAB are `chatmem show`; `--` and TAB twice are the options."""
    bash.send("chatmem sh\t")
    bash.expect_exact("chatmem show ")
    bash.send("--l\t")
    bash.expect_exact("--last ")


def test_sessions(bash: Any, memory: chatmem.sync.ChatMemory) -> None:
    """Ids complete too; those that a shell would take for more than a word are not offered."""
    for name in ("support-1", "support-2", "other", "su$(echo gone)", "su;ls", "su x", "s*"):
        memory.history(name).append("x")
    bash.send("chatmem show su\t")
    bash.expect("chatmem show su\x07?pport-")
    bash.send("2\t--last 1\r")
    bash.expect("human\r\n     x")


@pytest.mark.parametrize("url", ["", "redis://127.0.0.1:{}/0", "nonsense", "embedded:///nowhere"])
def test_no_trouble(url: str, tmp_path: Path) -> None:
    """Without a server nothing is offered, said, or started."""
    environment = {
        "_CHATMEM_COMPLETE": "complete_bash",
        "COMP_WORDS": "chatmem show a",
        "COMP_CWORD": "2",
        "CHATMEM_URL": url.format(free_port()),
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path),
    }
    done = program(**environment)
    assert (done.stdout.strip(), done.stderr, list(tmp_path.iterdir())) == ("", "", [])


def test_ids_are_taken_exactly(server: str, memory: chatmem.sync.ChatMemory) -> None:
    """What is typed is no pattern."""
    for name in ("a1", "*1"):
        memory.history(name).append("x")
    environment = {"_CHATMEM_COMPLETE": "complete_bash", "COMP_CWORD": "2", "CHATMEM_URL": server}
    assert program(COMP_WORDS="chatmem show a", **environment).stdout == "a1\n"
    assert program(COMP_WORDS="chatmem show *", **environment).stdout.strip() == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts(shell: str) -> None:
    """Each shell's script is printed."""
    done = program("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "_CHATMEM_COMPLETE" in done.stdout
