"""Asking before something is done that cannot be undone."""

from __future__ import annotations

import sys

import typer


def ask(what: str) -> bool:
    """Ask on the terminal.

    Raises:
        BadParameter: nobody is there to answer; it ends the program with exit code 2.
    """
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"nobody is there to confirm: {what}? --yes does")
    typer.echo(f"{what}? [y/N] ", err=True, nl=False)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
