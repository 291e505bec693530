"""The Python blocks of the documentation type-check, as they would in a reader's editor; see `pages`."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.pages import DOCS, ROOT, blocks_of

CONFIG = """
[mypy]
check_untyped_defs = True
warn_unused_ignores = True
allow_redefinition = True
disable_error_code = var-annotated

[mypy-claude_agent_sdk.*,google.adk.*,google.genai.*,llama_index.*]
ignore_missing_imports = True
"""
CACHE = ROOT / ".mypy_cache" / "docs"


def modules() -> dict[str, str]:
    """Return the files of all pages by names that do not clash, and the other blocks of each page as functions."""
    found: dict[str, str] = {}
    for page in (*sorted(DOCS.rglob("*.md")), ROOT / "README.md"):
        own = re.sub(r"\W", "_", str(page.relative_to(ROOT).with_suffix("")))
        for block in blocks_of(page):
            if block.title and found.setdefault(block.title, block.code) != block.code:
                found[f"{own}_{block.title}"] = block.code
        loose = [block.code for block in blocks_of(page) if not block.title]
        programs = loose if page.name == "README.md" else ["".join(loose)]
        if loose:
            found[f"{own}_page.py"] = "".join(map(function_of, range(len(programs)), programs))
    return found


def function_of(number: int, program: str) -> str:
    """Return a program that may await as a function, in which it may."""
    return f"async def program_{number}() -> None:\n{textwrap.indent(program, '    ')}\n"


def test_every_block_type_checks(tmp_path: Path) -> None:
    """One run of mypy over all of them, with the types of chatmem and of the frameworks."""
    found = modules()
    assert len(found) > 10
    for name, code in found.items():
        (tmp_path / name).write_text(code)
    (tmp_path / "mypy.ini").write_text(CONFIG)
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(CACHE), *sorted(found)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
