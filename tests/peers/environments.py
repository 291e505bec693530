"""The environments of the old histories, made once and kept until their pins change."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.peers import FOLDER
from tests.servers import AbsentError

CACHE = FOLDER.parent.parent / ".cache" / "peers"


def cached(name: str, pins: list[Path], make: Callable[[Path], None]) -> Path:
    """Return the folder that `make` fills, made now unless one of the same pins exists.

    It is made under another name and then renamed, so that an interrupted install is never used; of two processes
    that make it at once, the first to end wins.
    """
    digest = hashlib.sha256(f"{platform.platform()} {sys.version}".encode())
    for file in pins:
        digest.update(file.read_bytes())
    folder = CACHE / f"{name}-{digest.hexdigest()[:16]}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="unfinished-", ignore_cleanup_errors=True) as unfinished:
            make(Path(unfinished) / name)
            _rename(Path(unfinished) / name, folder)
    return folder


def _rename(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        if not folder.exists():  # else another process was first
            raise


def python(name: str) -> Path:
    """Return the Python of the environment that requirements-{name}.txt pins."""
    requirements = FOLDER / f"requirements-{name}.txt"
    folder = cached(name, [requirements], lambda folder: _make_python(folder, requirements))
    return folder / "bin" / "python"


def _make_python(folder: Path, requirements: Path) -> None:
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)])
    # The pip of these tests installs into it: a pip of its own would take longer than all the packages.
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    options = ["--quiet", "--no-deps", "--no-compile", "--only-binary=:all:", "--disable-pip-version-check"]
    _run([*pip, "install", *options, "-r", str(requirements)])


def javascript() -> tuple[str, Path]:
    """Return node and the folder whose node_modules package-lock.json pins."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise AbsentError("apt-get install npm")
    pins = [FOLDER / "js" / "package.json", FOLDER / "js" / "package-lock.json"]
    return node, cached("js", pins, lambda folder: _make_javascript(npm, folder, pins))


def _make_javascript(npm: str, folder: Path, pins: list[Path]) -> None:
    folder.mkdir()
    for file in pins:
        shutil.copy(file, folder)
    # The peers of @langchain/community are all the databases it knows; nothing here needs an install script.
    options = ["--no-audit", "--no-fund", "--legacy-peer-deps", "--ignore-scripts"]
    _run([npm, "ci", "--prefix", str(folder), *options])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise AbsentError(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
