"""The Python of a system's own environment, made on first use below `.venvs/`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.systems import Row

FOLDER = Path(__file__).parent
VENVS = FOLDER / ".venvs"


class AbsentError(Exception):
    """A system cannot be measured here; the text says why."""


def python_of(row: Row) -> Path:
    """Return the Python that has what the system needs.

    Raises:
        AbsentError: its packages do not install.
    """
    if row.environment is None:
        return Path(sys.executable)
    wanted = FOLDER / f"requirements-{row.environment}.txt"
    home = VENVS / row.environment
    python = home / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    installed = home / "installed.txt"
    if not installed.exists() or installed.read_text() != wanted.read_text():
        _install(home, python, wanted)
        shutil.copy(wanted, installed)
    return python


def _install(home: Path, python: Path, wanted: Path) -> None:
    print(f"installing {wanted.name} in {home.relative_to(FOLDER.parent)}", file=sys.stderr)
    venv.create(home, with_pip=True, clear=True)
    command = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own file
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise AbsentError((errors or [f"pip install -r {wanted.name} failed"])[-1])
