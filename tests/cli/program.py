"""The command line as a program of its own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]


def program(*arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `chatmem` as a program of its own."""
    command = [sys.executable, "-m", "chatmem.cli", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, env={**os.environ, **environment})


CHATMEM = shlex.join([sys.executable, "-m", "chatmem.cli"])


def on_terminal(line: str, columns: int = 80, **environment: str) -> Any:
    """Start a line of the shell on a terminal, by default a dumb one without colours."""
    pexpect = pytest.importorskip("pexpect")
    given = {**os.environ, "TERM": "dumb", "NO_COLOR": "1", **environment}
    given.pop("COLUMNS", None)
    return pexpect.spawn("sh", ["-c", line], env=given, encoding="utf-8", timeout=30, dimensions=(60, columns))


def shown(*arguments: str, columns: int, **environment: str) -> list[str]:
    """Return the lines that `chatmem` prints to stdout, where that is a terminal."""
    line = f"{CHATMEM} {shlex.join(arguments)} 2>/dev/null"
    terminal = on_terminal(line, columns, TERM="xterm-256color", **environment)
    terminal.expect_exact([terminal.delimiter])
    lines = re.sub(r"\x1b\[[\d;]*m", "", terminal.before).split("\r\n")
    return [line for line in lines if line.strip()]
