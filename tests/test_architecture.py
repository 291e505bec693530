"""The rules of the tree: what may import what, and whose names anybody may use."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
CORE = ("core", "codec", "search", "scripts", "errors", "model", "deprecated", "history")
"""What runs over any transport: packages and modules of chatmem."""
FORBIDDEN = {
    *("redis", "hiredis", "asyncio", "anyio", "trio", "sniffio", "httpx", "requests", "aiohttp", "urllib3"),
    *("upstash_redis", "http", "socket", "ssl", "selectors"),
}
"""What the core must not import: clients, event loops, sockets."""


class Import(NamedTuple):
    """A name that a module imports: `from module import name`, or `import module`."""

    module: str
    name: str | None
    line: int
    at_run_time: bool
    """False under `if TYPE_CHECKING:`"""


def name_of(path: Path) -> str:
    """Return the dotted name of a file's module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_in(source: str) -> Iterator[Import]:
    """Yield all imports of a module, those inside functions too."""
    tree = ast.parse(source)
    typed: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            typed |= {id(inner) for part in node.body for inner in ast.walk(part)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno, id(node) not in typed)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            for alias in node.names:
                yield Import(node.module or "", alias.name, node.lineno, id(node) not in typed)


FILES = {name_of(path): path for path in sorted(ROOT.glob("chatmem/**/*.py"))}
IMPORTS = {name: list(imports_in(path.read_text())) for name, path in FILES.items()}


def targets(given: Import) -> set[str]:
    """Return the modules of chatmem that an import runs: the module, and the packages that it is in."""
    named = f"{given.module}.{given.name}"
    whole = named if named in FILES else given.module
    parts = whole.split(".")
    return {".".join(parts[: end + 1]) for end in range(1, len(parts))} & FILES.keys()


def is_core(module: str) -> bool:
    return module.split(".")[1:2] != [] and module.split(".")[1] in CORE


def test_the_core_is_all_there() -> None:
    """Each part of the core is a module or a package, so that a new file in one is covered by being there."""
    assert {part for part in CORE if f"chatmem.{part}" not in FILES} == set()


@pytest.mark.parametrize("module", [name for name in FILES if is_core(name)])
def test_the_core_imports_no_client_and_no_event_loop(module: str) -> None:
    """It imports none of them directly, nor through another module of chatmem."""
    reached, todo = {module}, [module]
    while todo:
        here = todo.pop()
        for one in IMPORTS[here]:
            if not one.at_run_time:
                continue
            assert one.module.split(".")[0] not in FORBIDDEN, f"{here}:{one.line} imports {one.module}"
            fresh = targets(one) - reached
            reached |= fresh
            todo += fresh


@pytest.mark.parametrize("module", FILES)
def test_private_names_stay_at_home(module: str) -> None:
    """A name that begins with an underscore is for its own package alone."""
    home = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    for one in IMPORTS[module]:
        if one.module.split(".")[0] != "chatmem":
            continue
        private = [
            part for part in (*one.module.split("."), one.name or "") if part.startswith("_") and part != "__init__"
        ]
        assert not private or one.module.startswith(home), f"{module}:{one.line} imports {private[0]} of {one.module}"


def own_names(tree: ast.AST) -> set[str]:
    """Return the private names that a module defines: attributes of `self`, methods, classes, functions, variables."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
            found.add(node.attr)
        elif isinstance(node, ast.Name | ast.arg):
            found.add(node.id if isinstance(node, ast.Name) else node.arg)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # __slots__
            found.add(node.value)
    return {name for name in found if name.startswith("_")}


OF_LIBRARIES = {"retry._backoff", "http._retries", "http._client", "arrived._buffer"}
"""Attributes of other libraries' objects, named as some of chatmem's are."""
DEFINED = {name: own_names(ast.parse(path.read_text())) for name, path in FILES.items()}


@pytest.mark.parametrize("module", FILES)
def test_private_attributes_stay_at_home(module: str) -> None:
    """`thing._attribute` is used in the package that defines it; other libraries have private ones too."""
    home = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    here = {name for other, names in DEFINED.items() if other.startswith(home) for name in names}
    elsewhere = {name for names in DEFINED.values() for name in names} - here
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Attribute) and node.attr in elsewhere and not node.attr.startswith("__"):
            assert ast.unparse(node) in OF_LIBRARIES, f"{module}:{node.lineno} uses {ast.unparse(node)}"


def test_no_import_circles() -> None:
    """Not even by way of imports inside functions, other than those that an `__init__` makes on demand."""
    graph = {
        name: {target for one in imports if one.at_run_time for target in targets(one)} - {name, "chatmem"}
        for name, imports in IMPORTS.items()
    }
    packages = {name for name, path in FILES.items() if path.name == "__init__.py"}
    for name in graph:  # a module does not depend on the package that it is in, which gathers its modules' names
        graph[name] -= {package for package in packages if name.startswith(f"{package}.")}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", FILES)
def test_no_file_is_long(module: str) -> None:
    """At most 400 lines, docstrings included."""
    assert len(FILES[module].read_text().splitlines()) <= 400
