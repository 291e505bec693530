"""What importing chatmem loads, and what it does not."""

from __future__ import annotations

import subprocess
import sys
from typing import Literal, get_origin

import pytest

import chatmem

HEAVY = ("anyio", "asyncio", "langchain_core", "msgspec", "opentelemetry", "pydantic", "redis")


def loaded_by(statements: str) -> set[str]:
    """Return the top-level modules that a new process has after some statements."""
    script = f"import sys\n{statements}\nsys.stderr.write(' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize("statements", ["import chatmem", "from chatmem import ChatMemError", "import chatmem.errors"])
def test_the_package_and_its_errors_load_no_library(statements: str) -> None:
    """They are imported wherever a program only names chatmem: that takes as long as it takes to start Python."""
    assert loaded_by(statements) & {*HEAVY, "typer", "rich"} == set()


def test_help_loads_only_what_prints_it() -> None:
    """`chatmem --help` takes no longer than its one library, typer, takes to load."""
    statements = (
        "import chatmem.cli\nsys.argv = ['chatmem', '--help']\ntry: chatmem.cli.main()\nexcept SystemExit: pass"
    )
    assert loaded_by(statements) & {*HEAVY, "typer", "rich", "prompt_toolkit"} == {"typer"}


def test_every_name_is_there() -> None:
    """Each name of `__all__` can be imported, is listed, and is the object that the rest of the package has."""
    for name in chatmem.__all__:
        assert name in dir(chatmem)
        value = getattr(chatmem, name)
        assert get_origin(value) is Literal or value.__name__ == name
    assert chatmem.History is sys.modules["chatmem.history"].History


def test_no_other_name_is_there() -> None:
    """An unknown name is the error that Python gives for any module."""
    with pytest.raises(AttributeError, match="module 'chatmem' has no attribute 'Histroy'"):
        chatmem.Histroy  # type: ignore[attr-defined]  # noqa: B018
    assert not hasattr(chatmem, "Histroy")
