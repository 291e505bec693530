"""The arguments and options that commands share, and how a command opens its store and ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from chatmem.cli.completion import session_ids


class Layout(StrEnum):
    """The packages whose sessions `migrate` can move."""

    COMMUNITY = "langchain-community"
    UPSTASH = "upstash"
    JAVASCRIPT = "langchain-js"
    MEMORYSTORE = "memorystore"
    LANGCHAIN_REDIS = "langchain-redis"
    LLAMA_INDEX = "llama-index"
    OPENAI = "openai-agents"


class Form(StrEnum):
    """The formats that `export` writes."""

    JSONL = "jsonl"
    MARKDOWN = "markdown"
    OPENAI = "openai"
    LANGCHAIN = "langchain"


if TYPE_CHECKING:
    from chatmem.cli.store import Store


def _some(glob: str | None) -> str | None:
    """Refuse an empty glob, such as that of a variable without a value: it must not stand for all sessions."""
    if glob == "":
        raise typer.BadParameter("the glob is empty: '*' matches all sessions")
    return glob


Session = Annotated[str, typer.Argument(metavar="SESSION", help="The id of the session.", autocompletion=session_ids)]
Sessions = Annotated[
    list[str] | None, typer.Argument(metavar="SESSION", help="The ids of sessions.", autocompletion=session_ids)
]
Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="CHATMEM_URL",
        show_envvar=True,
        help="The server: redis://, rediss://, unix://, embedded:///folder ... "
        "Default: an embedded server in your data folder.",
    ),
]
Prefix = Annotated[
    str, typer.Option(metavar="TEXT", envvar="CHATMEM_PREFIX", show_envvar=True, help="The prefix of chatmem's keys.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
User = Annotated[str | None, typer.Option(metavar="USER", help="Only the sessions of this user.")]
Match = Annotated[
    str | None, typer.Option(metavar="GLOB", help="Only sessions whose ids match this glob.", callback=_some)
]
SourceMatch = Annotated[
    str | None,
    typer.Option(
        "--match",
        metavar="GLOB",
        help="Only sessions whose ids match this glob; needed where keys have no prefix.",
        callback=_some,
    ),
]
Glob = Annotated[str, typer.Argument(metavar="GLOB", help="Only sessions whose ids match this glob.", callback=_some)]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")]
NewOwner = Annotated[
    str | None, typer.Option("--user", metavar="USER", help="The owner of all sessions that have no other owner.")
]
OwnersFile = Annotated[
    Path | None,
    typer.Option("--users", metavar="FILE", help="The owner of each session, as CSV (session,user) or as JSON lines."),
]


@contextmanager
def opened(url: str | None, prefix: str) -> Iterator[Store]:
    """Open the store that a command works on. The exit code is 1 if the command reported problems."""
    from chatmem.cli.store import Store  # noqa: PLC0415 - completion and --help load no more than they need

    with errors(), Store(url, prefix, os.environ.get("CHATMEM_KEYS")) as store:
        yield store
        if store.problems.count:
            raise typer.Exit(1)


@contextmanager
def errors() -> Iterator[None]:
    """Print expected errors as one line on stderr, and end with exit code 1."""
    from chatmem import ChatMemError  # noqa: PLC0415 - as above
    from chatmem.cli.terminal import console, one_line  # noqa: PLC0415 - as above

    try:
        yield
    except BrokenPipeError:
        raise
    except (ChatMemError, ValueError, OSError) as error:
        console(stderr=True).print(f"error: {one_line(error)}", style="red", soft_wrap=True)
        raise typer.Exit(1) from None


def one_of(**given: object) -> None:
    """End with exit code 2 if more than one of these arguments is given."""
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise typer.BadParameter(f"pass {' or '.join(names)}, not both")
