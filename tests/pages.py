"""The Python blocks of a page of documentation, and how they run.

A block with a title (` ```python title="main.py" `) is a whole file of that name; a page's files lie in one folder.
The blocks without a title are one program, read from top to bottom as `python -m asyncio` would: `await` needs no
function around it. A ` ```text ` block directly behind a block is what it prints.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
_TITLE, _OUTPUT = r'(?: title="([^"]+)")?', r"(?:\n?```text\n(.*?)^```$)?"
_BLOCK = re.compile(rf"^```python{_TITLE}\n(.+?)^```\n{_OUTPUT}", re.DOTALL | re.MULTILINE)
_END = "--- end of block ---"


class Block(NamedTuple):
    """One block of Python."""

    title: str | None
    code: str
    output: str | None


def blocks_of(page: Path) -> list[Block]:
    """Return the Python blocks of a page in their order."""
    return [Block(title or None, code, output or None) for title, code, output in _BLOCK.findall(page.read_text())]


def write_files(page: Path, folder: Path) -> list[Block]:
    """Write the files of a page into a folder; return their blocks."""
    files = [block for block in blocks_of(page) if block.title]
    for block in files:
        (folder / str(block.title)).write_text(block.code)
    return files


def run(command: list[str], folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, where the server is that of a URL."""
    environment = {**os.environ, "CHATMEM_URL": url, "REDIS_URL": url, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def run_program(page: Path, folder: Path, url: str) -> list[str]:
    """Run the blocks without a title as one program; return what each printed."""
    done = run([sys.executable, "-m", "tests.pages", str(page)], folder, url)
    assert done.returncode == 0, done.stderr
    return done.stdout.split(_END + "\n")[:-1]


async def _main(page: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, block in enumerate(block for block in blocks_of(page) if not block.title):
        code = compile(block.code, f"{page.name}, block {number}", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        done = eval(code, names)
        if inspect.isawaitable(done):
            await done
        print(_END)


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
