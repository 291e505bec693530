"""The options that commands share, and what they open and end with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from chatmem.cli.completion import session_ids

if TYPE_CHECKING:
    from chatmem.cli.store import Store

Session = Annotated[str, typer.Argument(help="The conversation's id.", autocompletion=session_ids)]
Sessions = Annotated[
    list[str] | None, typer.Argument(metavar="[SESSION]...", help="Their ids.", autocompletion=session_ids)
]
Url = Annotated[
    str | None,
    typer.Option(
        envvar="CHATMEM_URL",
        show_envvar=True,
        help="redis://, rediss://, unix:// or embedded:///folder; by default a server of its own in your data folder.",
    ),
]
Prefix = Annotated[
    str, typer.Option(envvar="CHATMEM_PREFIX", show_envvar=True, help="What chatmem's own keys begin with.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
User = Annotated[str | None, typer.Option(help="Only this user's sessions.")]
Match = Annotated[str | None, typer.Option(help="Only sessions whose ids match this glob.", metavar="GLOB")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only look.")]


@contextmanager
def opened(url: str | None, prefix: str) -> Iterator[Store]:
    """Open what a command works on. What was complained of meanwhile makes the exit code 1."""
    from chatmem.cli.store import Store  # noqa: PLC0415 - when a command is called

    with errors(), Store(url, prefix, os.environ.get("CHATMEM_KEYS")) as store:
        yield store
        if store.complaints.count:
            raise typer.Exit(1)


@contextmanager
def errors() -> Iterator[None]:
    """Make a line on stderr and exit code 1 of what is no bug of chatmem's."""
    from chatmem import ChatMemError  # noqa: PLC0415 - when a command is called
    from chatmem.cli.terminal import console, one_line  # noqa: PLC0415 - as above

    try:
        yield
    except BrokenPipeError:
        raise
    except (ChatMemError, ValueError, OSError) as error:
        console(stderr=True).print(f"error: {one_line(error)}", style="red", soft_wrap=True)
        raise typer.Exit(1) from None


def one_of(**given: object) -> None:
    """End with exit code 2 where more than one of some arguments is given."""
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise typer.BadParameter(f"give {' or '.join(names)}, not both")
