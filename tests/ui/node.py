"""The front ends' own npm packages: installed once, run in a process of Node that answers jobs; see `frontends.mjs`."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs

from tests.servers import AbsentError

HERE = Path(__file__).parent
_PAGE = tuple(f"page/{path.name}" for path in sorted((HERE / "page").iterdir()))
_FILES = ("package.json", "package-lock.json", "frontends.mjs", *_PAGE)


class Frontends:
    """A process of Node with the packages."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, job: str, **given: Any) -> Any:
        """Return what a job of `frontends.mjs` returns.

        Raises:
            FrontendError: it raises an error.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"job": job, **given}) + "\n")
        self._process.stdin.flush()
        outcome = json.loads(self._process.stdout.readline())
        if "error" in outcome:
            raise FrontendError(outcome["error"])
        return outcome["value"]


class FrontendError(Exception):
    """A package refuses what it was given."""


@contextmanager
def running() -> Iterator[Frontends]:
    """Run Node with the packages.

    Raises:
        AbsentError: the packages cannot be installed.
    """
    command = [str(shutil.which("node")), "frontends.mjs"]
    with subprocess.Popen(
        command, cwd=installed(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Frontends(process)
        assert process.stdin is not None
        process.stdin.close()


def installed() -> Path:
    """Return a folder with the packages: outside of the repository, and one for each set of versions and pages.

    Raises:
        AbsentError: see `running`.
    """
    texts = [(HERE / name).read_bytes() for name in _FILES]
    folder = platformdirs.user_cache_path("chatmem-tests") / hashlib.sha256(b"".join(texts)).hexdigest()[:16]
    (folder / "page").mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes install once
        if not (folder / "done").exists():
            for name in _FILES:
                shutil.copy(HERE / name, folder / name)
            _npm(folder, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
            (folder / "done").touch()
    return folder


def built() -> Path:
    """Return a folder with the pages, as Vite builds them.

    Raises:
        AbsentError: see `running`.
    """
    folder = installed()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "dist").exists():
            _npm(folder, "exec", "--", "vite", "build", "page", "--logLevel", "error")
    return folder / "dist"


def _npm(folder: Path, *arguments: str) -> None:
    command = [str(shutil.which("npm")), *arguments]
    done = subprocess.run(command, cwd=folder, env={**os.environ, "CI": "1"}, capture_output=True, text=True)
    if done.returncode:
        raise AbsentError(f"npm {arguments[0]} failed: {done.stderr[-500:]}")
