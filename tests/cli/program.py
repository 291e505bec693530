"""The command line as a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

Run = Callable[..., Any]


def program(*arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `chatmem` as a program of its own."""
    command = [sys.executable, "-m", "chatmem.cli", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, env={**os.environ, **environment})
