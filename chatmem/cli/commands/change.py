"""Changing what is there: `reencrypt`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from chatmem.cli.options import AsJson, Prefix, Url, errors, opened

app = typer.Typer()


@app.command()
def reencrypt(
    match: Annotated[str, typer.Argument(help="Only sessions whose ids match this glob.")] = "*",
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Encrypt all sessions with the newest of the keys in CHATMEM_KEYS ("name=base64 ...", the newest last)."""
    from chatmem.cli.rotating import reencrypt as seal_all  # noqa: PLC0415 - when it is called

    if not os.environ.get("CHATMEM_KEYS"):
        with errors():
            raise ValueError("set CHATMEM_KEYS to the keys, the newest last: name=base64 name=base64")
    with opened(url, prefix) as store:
        seal_all(store, match, as_json=as_json)
