"""Asking before something is done that cannot be undone."""

from __future__ import annotations

import sys

import typer


def ask(what: str) -> bool:
    """Ask on the terminal.

    Raises:
        UsageError: nobody is there to answer; it ends the program with exit code 2.
    """
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"nobody is there to confirm: {what}? --yes does")
    return typer.confirm(f"{what}?", err=True)
