"""The files in tests/typing, which type checkers read, leave out nothing that is public."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from pathlib import Path

import pytest

import chatmem
import chatmem.sync

FOLDER = Path(__file__).parent / "typing"
FACADES = {"asynchronous.py": (chatmem.ChatMemory, chatmem.History)} | {
    "synchronous.py": (chatmem.sync.ChatMemory, chatmem.sync.History)
}
VALUES = [value for name in chatmem.__all__ if dataclasses.is_dataclass(value := getattr(chatmem, name))]


def used(file: str) -> set[str]:
    """Return the attributes that a file uses, each as "variable.attribute"."""
    nodes = ast.walk(ast.parse((FOLDER / file).read_text()))
    return {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize(
    ("file", "variable", "facade"),
    [
        (file, variable, facade)
        for file, facades in FACADES.items()
        for variable, facade in zip(("memory", "history"), facades, strict=True)
    ],
)
def test_every_method_of_a_facade(file: str, variable: str, facade: type) -> None:
    """Each public method is used on a variable of its class."""
    names = {name for name, _ in inspect.getmembers(facade, callable) if not name.startswith("_")}
    assert {f"{variable}.{name}" for name in names} <= used(file)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_every_field_of_a_result(value: type) -> None:
    """Each field of what a method returns is used in a function that takes this type."""
    assert dataclasses.is_dataclass(value)
    tree = ast.parse((FOLDER / "values.py").read_text())
    taken = f": chatmem.{value.__name__}"
    (function,) = [node for node in tree.body if ast.unparse(node).partition(") ->")[0].endswith(taken)]
    accessed = {node.attr for node in ast.walk(function) if isinstance(node, ast.Attribute)}
    assert {field.name for field in dataclasses.fields(value)} <= accessed


def test_every_public_name() -> None:
    """Each name in `chatmem.__all__` occurs."""
    names = {text for file in ("asynchronous.py", "values.py") for text in used(file)}
    assert {f"chatmem.{name}" for name in chatmem.__all__} <= names
