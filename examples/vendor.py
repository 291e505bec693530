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

FOLDER = Path(__file__).parent / "fastapi_chat" / "static" / "vendor"


def main(folder: Path = FOLDER) -> None:
    """Write the files of all packages into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, package in json.loads((FOLDER / "versions.json").read_text()).items():
        with tempfile.TemporaryDirectory() as temporary:
            archive = _packed(f"{name}@{package['version']}", Path(temporary))
            _check(archive, package["integrity"])
            _unpack(archive, package["files"], folder)


def _packed(package: str, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("This needs npm.")
    subprocess.run([npm, "pack", "--silent", package], cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    (archive,) = folder.glob("*.tgz")
    return archive


def _check(archive: Path, integrity: str) -> None:
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != integrity:
        sys.exit(f"{archive.name} is not what versions.json pins: sha512-{digest}")


def _unpack(archive: Path, files: dict[str, str], folder: Path) -> None:
    """Write files of a package: their names here, by their paths there."""
    with tarfile.open(archive) as tar:
        for path, name in files.items():
            content = tar.extractfile(f"package/{path}")
            if content is None:
                sys.exit(f"{archive.name} has no {path}.")
            (folder / name).write_bytes(content.read())


if __name__ == "__main__":
    main()
