"""Fetches the page's JavaScript libraries from npm, as `versions.json` beside them pins them.

`python examples/vendor.py` writes the files anew. It needs npm, and refuses a package whose hash is another one.
For a new version, change `version` and `integrity`: `npm view marked@18.2.1 dist.integrity`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TypedDict

FOLDER = Path(__file__).parent / "fastapi_chat" / "static" / "vendor"


class Pin(TypedDict):
    """A version of a package, its hash as npm's lock files write it, and which files become which."""

    version: str
    integrity: str
    files: dict[str, str]


def pins() -> dict[str, Pin]:
    """Return the page's packages by name."""
    found: dict[str, Pin] = json.loads((FOLDER / "versions.json").read_text())
    return found


def fetch(package: str, pin: Pin, folder: Path) -> None:
    """Write the files of a package into a folder.

    Raises:
        CalledProcessError: npm failed.
        FileNotFoundError: there is no npm.
        ValueError: the package is not the one that was pinned, or has no such file.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("there is no npm: install Node.js, which brings it")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        command = [npm, "pack", "--loglevel=error", f"{package}@{pin['version']}"]
        subprocess.run(command, cwd=temporary, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        (archive,) = Path(temporary).glob("*.tgz")
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if pin["integrity"] != f"sha512-{digest}":
            raise ValueError(f"{package} is not what is pinned: sha512-{digest}")
        with tarfile.open(archive) as tar:
            members = {one.name: one for one in tar if one.isfile()}
            for path, name in pin["files"].items():
                member = members.get(f"package/{path}")
                content = member and tar.extractfile(member)
                if not content:
                    raise ValueError(f"{package} has no file {path}")
                written = Path(temporary, name)
                written.write_bytes(content.read())
                written.replace(folder / name)  # whole or not at all


def main(folder: Path = FOLDER) -> None:
    """Write the files of all packages."""
    for package, pin in pins().items():
        fetch(package, pin, folder)


if __name__ == "__main__":
    try:
        main()
    except (FileNotFoundError, ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
