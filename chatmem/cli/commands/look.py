"""Looking: `sessions`, `show`, `search`, `stats`, `tail`, `doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chatmem.cli.options import AsJson, Match, Prefix, Session, Url, User, one_of, opened

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
    from chatmem.cli.commands.sessions import sessions as list_sessions  # noqa: PLC0415 - when it is called

    with opened(url, prefix) as store:
        list_sessions(store, user=user, match=match, limit=limit, as_json=as_json)


@app.command()
def show(
    session: Session,
    last: Annotated[int | None, typer.Option(min=1, help="Only so many messages from the end.")] = None,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Print a conversation, with roles, times and tool calls."""
    from chatmem.cli.commands.show import show as print_session  # noqa: PLC0415 - when it is called

    with opened(url, prefix) as store:
        print_session(store, session, last=last, as_json=as_json)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help='Words, and "phrases in quotation marks".')],
    session: Annotated[str | None, typer.Option(help="Only this session.")] = None,
    user: User = None,
    match: Match = None,
    limit: Annotated[int, typer.Option(min=1, help="How many messages, the best.")] = 10,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Find messages by their words, the best first. All of the sessions are read."""
    from chatmem.cli.commands.search import search as find_messages  # noqa: PLC0415 - when it is called

    one_of(**{"--session": session, "--user or --match": user or match})
    with opened(url, prefix) as store:
        find_messages(store, query, session=session, user=user, match=match, limit=limit, as_json=as_json)


@app.command()
def stats(
    match: Match = None,
    largest: Annotated[int, typer.Option(min=1, help="How many of the largest sessions to list.")] = 10,
    plot: Annotated[
        Path | None, typer.Option(help="Draw it into this file too, a .png or .svg.", metavar="FILE")
    ] = None,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Count sessions, messages, bytes and users; sizes, ages and times to live as tables with bars."""
    from chatmem.cli.commands.stats import stats as count_all  # noqa: PLC0415 - when it is called

    with opened(url, prefix) as store:
        count_all(store, match=match, largest=largest, plot=plot, as_json=as_json)


@app.command()
def tail(
    session: Session,
    last: Annotated[int, typer.Option(min=0, help="How many messages to begin with.")] = 10,
    interval: Annotated[float, typer.Option(min=0.01, help="Seconds between two looks.")] = 0.5,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Print the end of a conversation, and what is appended, until Ctrl-C."""
    from chatmem.cli.commands.tail import Tail  # noqa: PLC0415 - when it is called

    with opened(url, prefix) as store:
        Tail(store, session, as_json=as_json).follow(last, interval)


@app.command()
def doctor(
    match: Match = None,
    limit: Annotated[int, typer.Option(min=0, help="The messages of how many sessions to read.")] = 1000,
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended of sessions and users' lists.")] = False,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Look for what is wrong with the server, this user's rights, the settings and the sessions; say what to do."""
    from chatmem.cli.commands.doctor import doctor as examine  # noqa: PLC0415 - when it is called

    with opened(url, prefix) as store:
        if not examine(store, match=match, limit=limit, fix=fix, as_json=as_json):
            raise typer.Exit(1)
