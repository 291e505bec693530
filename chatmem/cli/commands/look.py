"""Looking: `sessions`, `show`."""

from __future__ import annotations

from typing import Annotated

import typer

from chatmem.cli.options import AsJson, Match, Prefix, Url, User, opened

app = typer.Typer()


@app.command()
def sessions(
    user: User = None,
    match: Match = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many, those written last.")] = None,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """List sessions, the one written last first."""
    from chatmem.cli.listing import sessions as list_sessions  # noqa: PLC0415 - when it is called

    with opened(url, prefix) as store:
        list_sessions(store, user=user, match=match, limit=limit, as_json=as_json)


@app.command()
def show(
    session: Annotated[str, typer.Argument(help="The conversation's id.")],
    last: Annotated[int | None, typer.Option(min=1, help="Only so many messages from the end.")] = None,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Print a conversation, with roles, times and tool calls."""
    from chatmem.cli.show import show as print_session  # noqa: PLC0415 - when it is called

    with opened(url, prefix) as store:
        print_session(store, session, last=last, as_json=as_json)
