"""The built wheel, with the source tree out of the way."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = (".ci", "benchmarks", "chatmem", "docs", "examples", "tests")
SUFFIXES = {"", ".html", ".js", ".lua", ".md", ".mjs", ".py", ".toml", ".yaml", ".yml"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    (built,) = folder.glob("*.whl")
    return built


def test_it_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    """The sources, the scripts, `py.typed`, the licence, the demo, the pytest plugin; no test and no data."""
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    command = ["git", "ls-files", "chatmem", "examples/fastapi_chat", "pytest_chatmem.py"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    expected = {name.replace("examples/", "chatmem/examples/") for name in tracked.stdout.split()}
    assert held == (expected if tracked.returncode == 0 else held)
    assert {"chatmem/py.typed", "chatmem/scripts/append.lua", "chatmem/embedded/supervisor.py"} <= held
    assert "pytest_chatmem.py" in held
    assert {"chatmem/examples/fastapi_chat/app.py", "chatmem/examples/fastapi_chat/static/index.html"} <= held
    assert any(name.endswith("licenses/LICENSE") for name in zipfile.ZipFile(wheel).namelist())


def test_every_text_names_this_distribution() -> None:
    """The distribution is chatmem-redis: the one named like the package is somebody else's, with other extras."""
    files = [*ROOT.glob("*.*"), *(file for folder in FOLDERS for file in (ROOT / folder).rglob("*"))]
    texts = {file: file.read_text() for file in files if file.suffix in SUFFIXES and file.is_file()}
    assert len(texts) > 300
    for file, text in texts.items():
        assert not re.search(r"\bchatmem(?!-redis)\\?\[", text), file


def test_its_metadata(wheel: Path) -> None:
    """Python 3.11 and later, MIT, four run-time dependencies, the extras, the console script, the pytest plugin."""
    archive = zipfile.ZipFile(wheel)
    (folder,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
    metadata = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "MIT"
    required = [one for one in metadata.get_all("Requires-Dist", []) if "extra ==" not in one]
    assert sorted(one.split(">")[0].split("<")[0] for one in required) == [
        "anyio",
        "langchain-core",
        "msgspec",
        "redis[hiredis]",
    ]
    extras = set(metadata.get_all("Provides-Extra", []))
    assert {"embedded", "cli", "fastapi", "upstash", "zstd", "demo", "dev"} <= extras
    entry_points = archive.read(f"{folder}/entry_points.txt")
    assert b"chatmem = chatmem.cli:main" in entry_points
    assert b"[pytest11]\npytest_chatmem = pytest_chatmem\n" in entry_points


def test_it_works_alone(wheel: Path, tmp_path: Path, url: str) -> None:
    """Unpacked elsewhere and imported from there, it stores and reads a message."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    script = (
        "import sys, chatmem, chatmem.sync\n"
        f"assert chatmem.__file__.startswith({str(tmp_path / 'site')!r}), chatmem.__file__\n"
        f"with chatmem.sync.connect({url!r}, ttl=60) as memory:\n"
        "    history = memory.history('from the wheel')\n"
        "    history.append('hi')\n"
        "    print(memory.langchain('from the wheel').messages[0].content)\n"
        "    history.clear()\n"
    )
    paths = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
    done = subprocess.run([sys.executable, "-c", paths + script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("hi\n", 0), done.stderr


def test_it_serves_the_demo(wheel: Path, tmp_path: Path, url: str) -> None:
    """`chatmem demo` from the unpacked wheel runs the application that is in it, and shows its page."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import chatmem.cli, chatmem.examples.fastapi_chat as example\n"
        "print(example.__file__, flush=True)\n"
        "chatmem.cli.main()\n"
    )
    command = [sys.executable, "-c", script, "demo", "--port", "0", "--url", url]
    environment = {**os.environ, "CHATMEM_DEMO_SECRET": "of the tests"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as demo:
        try:
            assert demo.stdout is not None
            assert demo.stdout.readline().startswith(str(tmp_path / "site" / "chatmem" / "examples"))
            address = demo.stdout.readline().split()[0]
            for path in ("/", "/static/js/main.js", "/healthz"):
                assert httpx.get(address + path, trust_env=False).status_code == 200
        finally:
            demo.kill()
