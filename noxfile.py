"""What is checked, a session each: `nox` runs them all, `nox -s tests` one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PROJECT = tomllib.loads(Path(__file__).with_name("pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOWEST = ("cli", "upstash", "zstd", "crypto", "fastapi", "demo")
AGENTS = ("agent-framework", "chatkit", "langchain", "langgraph", "openai-agents", "pydantic-ai")
AGENTS_TESTS = [
    f"tests/test_{name}.py"
    for name in (
        *("agent_framework", "chatkit", "docs", "docs_types", "extras", "kill", "langgraph", "middleware"),
        *("openai_agents", "pydantic_ai", "pydantic_store", "pydantic_store_endpoints", "pydantic_store_twin"),
    )
]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    session.install("-e", ".[dev]")
    session.run("pytest", "-n", "3", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """`nox -s faults -- SEED COUNT`: so many faults over each transport, drawn by the seed; then cancelled callers."""
    seed, count = [*session.posargs, *("1", "3000")[len(session.posargs) :]]
    session.install("-e", ".[dev]")
    env = {"CHATMEM_SEED": seed, "CHATMEM_FAULTS": count}
    session.run("pytest", "-s", "tests/test_faults.py", "tests/test_cancellation.py", env=env)


@nox.session
def lint(session: nox.Session) -> None:
    session.install("-e", ".[dev]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Run mypy on everything and basedpyright, which brings its own Node, on the public API."""
    session.install("-e", ".[dev]", "basedpyright")
    session.run("mypy")
    session.run("basedpyright")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, into `site/`. A warning, such as a broken link, fails the build."""
    session.install("-e", ".[docs]")
    without_banner = {"NO_MKDOCS_2_WARNING": "1"}  # mkdocs-material's notice of its successor
    session.run("mkdocs", "build", "--strict", *session.posargs, env=without_banner)


@nox.session
def wheel(session: nox.Session) -> None:
    """The built wheel alone, with the source tree out of the way."""
    session.install("-e", ".[dev]")
    session.run("pytest", "tests/test_package.py", *session.posargs)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """The lowest versions that pyproject.toml allows, without the agents' frameworks, which want later ones."""
    _install_lowest(session, "test", [*PROJECT["dependencies"], *(one for name in LOWEST for one in EXTRAS[name])])
    without = [f"--ignore={file}" for file in AGENTS_TESTS]
    session.run("pytest", "-n", "3", *without, *session.posargs)


@nox.session(python=PYTHONS[0])
def lowest_agents(session: nox.Session) -> None:
    """The lowest versions of the agents' frameworks."""
    _install_lowest(session, "dev", [one for name in AGENTS for one in EXTRAS[name]])
    langgraphs = "ignore:The default value of `allowed_objects`"  # a warning of its import, not of ours
    later = ("--deselect", "tests/test_docs_types.py")  # the examples are written for what pip installs today
    session.run("pytest", "-W", langgraphs, *later, *AGENTS_TESTS, *session.posargs)


def _install_lowest(session: nox.Session, extra: str, requirements: list[str]) -> None:
    constraints = Path(session.create_tmp(), "lowest.txt")
    pins = [
        re.sub(r"\[.*?\]|[,;].*", "", one).replace(">=", "==") for one in requirements if "chatmem-redis[" not in one
    ]
    constraints.write_text("\n".join(pins))
    session.install("-e", f".[{extra}]", "--constraint", str(constraints))


@nox.session
@nox.parametrize(
    "extra, module, tests",
    [
        nox.param("agent-framework-ag-ui", "agent_framework_ag_ui", "ag_ui", id="ag-ui"),
        nox.param("claude-agents", "claude_agent_sdk", "claude_agents", id="claude"),
        nox.param("google-adk", "google.adk", "google_adk", id="adk"),
        nox.param("llama-index", "llama_index.core", "llama_index", id="llama-index"),
    ],
)
def adapters(session: nox.Session, extra: str, module: str, tests: str) -> None:
    """The adapters whose frameworks are too large for `dev`, or need older versions of what it installs."""
    session.install("-e", f".[dev,{extra}]")
    session.run("mypy")
    session.run("python", "-c", f"import {module}")  # else the tests would be skipped
    files = [f"tests/test_{name}.py" for name in (tests, "docs", "extras", "kill")]
    session.run("pytest", "-n", "2", *files, *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """A million hostile records."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.fuzz", *(session.posargs or ("--inputs", "1000000")))


@nox.session
def soak(session: nox.Session) -> None:
    """Ten minutes of load, then fifty listeners and fifty writers for a minute."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.soak", *(session.posargs or ("--minutes", "10")))
    env = {"CHATMEM_LISTENING_SECONDS": "60"}
    session.run("pytest", "tests/test_changes_faults.py", "-k", "fifty", env=env)


@nox.session
def chaos(session: nox.Session) -> None:
    """`nox -s chaos -- --rows Redis --operations 50000 --seed 7`: by default 200,000 operations on all rows."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.chaos", *session.posargs)
