"""The page's JavaScript libraries are what npm has, and their licences are beside them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from examples import vendor


def test_every_file_is_pinned() -> None:
    pinned = {name for pin in vendor.pins().values() for name in pin["files"].values()}
    assert {path.name for path in vendor.FOLDER.iterdir()} == {*pinned, "versions.json"}
    for pin in vendor.pins().values():
        assert sum(name.endswith("LICENSE.txt") for name in pin["files"].values()) == 1


def test_they_are_npms(tmp_path: Path) -> None:
    """Byte for byte."""
    if shutil.which("npm") is None and not os.environ.get("CI"):
        pytest.skip("no npm")
    try:
        vendor.main(tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("npm does not reach its registry")
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (vendor.FOLDER / path.name).read_bytes()


@pytest.mark.parametrize(
    ("integrity", "said"),
    [
        ("sha512-x", "is not what is pinned"),
        (vendor.pins()["marked"]["integrity"], "has no file nothing"),
    ],
)
def test_another_package_than_the_one_pinned(tmp_path: Path, integrity: str, said: str) -> None:
    """It is refused, and nothing is written."""
    if shutil.which("npm") is None:
        pytest.skip("no npm")
    version = vendor.pins()["marked"]["version"]
    pin: vendor.Pin = {"version": version, "integrity": integrity, "files": {"nothing": "x"}}
    try:
        with pytest.raises(ValueError, match=said):
            vendor.fetch("marked", pin, tmp_path)
    except subprocess.CalledProcessError:
        pytest.skip("npm does not reach its registry")
    assert list(tmp_path.iterdir()) == []
