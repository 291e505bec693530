"""Changing what is there: `erase`, `reencrypt`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from chatmem.cli.options import AsJson, DryRun, Match, Prefix, Sessions, Url, User, Yes, errors, one_of, opened

app = typer.Typer()


@app.command()
def erase(
    sessions: Sessions = None,
    user: User = None,
    match: Match = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Erase whole sessions. It says how many, and asks."""
    from chatmem.cli.asking import ask  # noqa: PLC0415 - when it is called
    from chatmem.cli.commands.erase import Erase  # noqa: PLC0415 - as above

    one_of(**{"sessions": sessions, "--user or --match": user or match})
    if not (sessions or user or match):
        raise typer.BadParameter("say which: their ids, --user, or --match (all: --match '*')")
    with opened(url, prefix) as store:
        work = Erase(store, sessions, user=user, match=match)
        work.run(only_look=dry_run, confirm=(lambda _: True) if yes else ask, as_json=as_json)


@app.command()
def reencrypt(
    match: Annotated[str, typer.Argument(help="Only sessions whose ids match this glob.")] = "*",
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Encrypt all sessions with the newest of the keys in CHATMEM_KEYS ("name=base64 ...", the newest last)."""
    from chatmem.cli.commands.reencrypt import reencrypt as seal_all  # noqa: PLC0415 - when it is called

    if not os.environ.get("CHATMEM_KEYS"):
        with errors():
            raise ValueError("set CHATMEM_KEYS to the keys, the newest last: name=base64 name=base64")
    with opened(url, prefix) as store:
        seal_all(store, match, as_json=as_json)
