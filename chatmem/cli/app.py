"""The program `chatmem`: its commands are in `chatmem.cli.commands`, a file a group."""

from __future__ import annotations

import io
import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from chatmem.cli.commands import change, look, move, talk

app = typer.Typer(
    help="Chat histories on Redis: talk, look, move, remove.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
for group in (talk, look, move, change):
    app.add_typer(group.app)


def run() -> None:
    """Run the command that was called.

    Exit codes: 0 done; 1 something failed, which stderr names; 2 the command was called wrongly; 130 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows few characters
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="chatmem")
    except BrokenPipeError:  # `chatmem show ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"chatmem {version('chatmem-redis')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""
