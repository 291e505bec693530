"""The signatures of all commands. What a command does is in `chatmem.cli.commands`, and is imported when it is called.

So `--help` and completion load neither LangChain nor redis.
"""

from __future__ import annotations

import io
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from chatmem.cli.options import (
    AsJson,
    DryRun,
    Form,
    Glob,
    Layout,
    Match,
    NewOwner,
    OwnersFile,
    Prefix,
    Session,
    Sessions,
    SourceMatch,
    Url,
    User,
    Yes,
    errors,
    one_of,
    opened,
)

app = typer.Typer(
    help="Chat histories on Redis: talk, inspect, move, erase.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's tables cut options and their texts at 80 columns
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run() -> None:
    """Run the command that the arguments name.

    Exit codes: 0 success; 1 failure, explained on stderr; 2 wrong usage; 130 interrupted by Ctrl-C.
    """
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal whose encoding lacks some characters
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="chatmem")
    except BrokenPipeError:  # `chatmem show ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _open_streams() -> None:
    """Open streams that the caller closed, as some schedulers do: there is no input, and the output goes nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - until the end


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"chatmem {version('chatmem-redis')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


@app.command()
def chat(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="The session to continue or to begin.")] = "default",
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A LangChain chat model as provider:name, such as openai:gpt-4o. Default: a small offline model.",
        ),
    ] = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="A system prompt for a new session.")] = None,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Chat in the terminal. The history is stored, so a later chat can continue it."""
    from chatmem.cli.commands.chat import Chat, find_model

    with opened(url, prefix) as store:
        Chat(store.memory.history(session), find_model(model), system).run()


@app.command()
def demo(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="The port; 0 picks any free port.")] = 8000,
    url: Url = None,
) -> None:
    """Serve a chat application in the browser. CHATMEM_DEMO_MODEL=provider:name gives it another model."""
    from chatmem.cli.commands.demo import serve

    with errors():
        serve(host, port, url)


@app.command()
def sessions(
    user: User = None,
    match: Match = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only the N sessions that were written last.")
    ] = None,
    archived: Annotated[
        bool | None, typer.Option("--archived/--not-archived", help="Only archived sessions, or only others.")
    ] = None,
    pinned: Annotated[
        bool | None, typer.Option("--pinned/--not-pinned", help="Only pinned sessions, or only others.")
    ] = None,
    tag: Annotated[str | None, typer.Option(metavar="TAG", help="Only sessions with this tag.")] = None,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only sessions whose titles contain this text, in any case.")
    ] = None,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """List sessions, most recently written first."""
    from chatmem.cli.commands.sessions import sessions as list_sessions
    from chatmem.core.marks import Wanted

    with opened(url, prefix) as store:
        wanted = Wanted(archived, pinned, tag, title)
        list_sessions(store, user=user, match=match, wanted=wanted, limit=limit, as_json=as_json)


@app.command()
def show(
    session: Session,
    last: Annotated[int | None, typer.Option(metavar="N", min=1, help="Only the last N messages.")] = None,
    branch: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="This branch; by default the active one.")
    ] = None,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Print a session with roles, times and tool calls."""
    from chatmem.cli.commands.show import show as print_session

    with opened(url, prefix) as store:
        print_session(store, session, last=last, branch=branch, as_json=as_json)


@app.command()
def search(
    query: Annotated[str, typer.Argument(metavar="QUERY", help='Words and "phrases in quotation marks".')],
    session: Annotated[str | None, typer.Option(metavar="SESSION", help="Only this session.")] = None,
    user: User = None,
    match: Match = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most N messages.")] = 10,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Find messages by their words, best match first. This reads all messages of the sessions."""
    from chatmem.cli.commands.search import search as find_messages

    one_of(**{"--session": session, "--user or --match": user or match})
    with opened(url, prefix) as store:
        find_messages(store, query, session=session, user=user, match=match, limit=limit, as_json=as_json)


@app.command()
def stats(
    match: Match = None,
    largest: Annotated[int, typer.Option(metavar="N", min=1, help="List the N largest sessions.")] = 10,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also draw the charts into this .png or .svg file.")
    ] = None,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Count sessions, messages, memory and users. Charts show sizes, ages and times to live."""
    from chatmem.cli.commands.stats import stats as count_all

    with opened(url, prefix) as store:
        count_all(store, match=match, largest=largest, plot=plot, as_json=as_json)


@app.command()
def tail(
    session: Session,
    last: Annotated[int, typer.Option(metavar="N", min=0, help="Begin with the last N messages.")] = 10,
    interval: Annotated[float, typer.Option(metavar="SECONDS", min=0.01, help="Look this often.")] = 0.5,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Follow a session. New messages are printed until Ctrl-C."""
    from chatmem.cli.commands.tail import Tail

    with opened(url, prefix) as store:
        Tail(store, session, as_json=as_json).follow(last, interval)


@app.command()
def doctor(
    match: Match = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Read the messages of at most N sessions.")] = 1000,
    fix: Annotated[bool, typer.Option("--fix", help="Repair what can be repaired without loss.")] = False,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Check the server, your rights, settings and sessions. Each problem comes with what to do about it."""
    from chatmem.cli.commands.doctor import doctor as examine

    with opened(url, prefix) as store:
        if not examine(store, match=match, limit=limit, fix=fix, as_json=as_json):
            raise typer.Exit(1)


@app.command()
def export(
    sessions: Sessions = None,
    user: User = None,
    match: Match = None,
    form: Annotated[
        Form,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="jsonl (complete and exact), openai, langchain or markdown.",
        ),
    ] = Form.JSONL,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write to this file; a name that ends with .gz is gzipped."
        ),
    ] = None,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Export sessions, by default all of them. Encrypted messages are exported decrypted."""
    from chatmem.cli.commands.export import export as write_out

    one_of(**{"sessions": sessions, "--user or --match": user or match})
    with opened(url, prefix) as store:
        infos = list(store.named(sessions) if sessions else store.chosen(user, match))
        write_out(store, infos, form=form.value, output=output)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="JSONL or JSON, gzipped or not; - for stdin.")],
    user: NewOwner = None,
    users: OwnersFile = None,
    prefix_session: Annotated[str, typer.Option(metavar="TEXT", help="Prepend this to every session's id.")] = "",
    append: Annotated[bool, typer.Option("--append", help="Also append to sessions with other messages.")] = False,
    max_line: Annotated[int, typer.Option(metavar="MIB", min=1, help="The largest line, in MiB.")] = 16,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Import conversations from a file. It holds what `export` wrote, or one {"id": ..., "messages": [...]} per line
    in OpenAI's or LangChain's format. Importing the same file again stores nothing new.
    """  # noqa: D205 - a help text
    from chatmem.cli.commands.import_ import Import
    from chatmem.cli.owners import read_owners

    with opened(url, prefix) as store:
        work = Import(store, read_owners(user, users), prefix=prefix_session, append=append)
        work.run(file, max_line=max_line, as_json=as_json)


@app.command()
def migrate(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            envvar="CHATMEM_SOURCE_URL",
            help="The server that holds the sessions: redis://, redis+cluster://, upstash:// ...",
        ),
    ],
    layout: Annotated[
        Layout,
        typer.Option(
            "--from", metavar="PACKAGE", help=f"The package that wrote them: {', '.join(Layout)}.", show_choices=False
        ),
    ],
    match: SourceMatch = None,
    key_prefix: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The prefix of their keys. Default: that of the package.")
    ] = None,
    user: NewOwner = None,
    users: OwnersFile = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    delete_source: Annotated[
        bool, typer.Option("--delete-source", help="Delete each source session after its copy is verified.")
    ] = False,
    token: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", envvar="UPSTASH_REDIS_REST_TOKEN", help="The token of an https:// source."),
    ] = None,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Move sessions of other packages to chatmem. It first shows what it found, asks, and then moves and verifies
    session by session. Run it again to resume after an interruption.
    """  # noqa: D205 - a help text
    from chatmem.cli.commands.migrate import migrate as run_migration
    from chatmem.cli.owners import read_owners
    from chatmem.cli.terminal import ask

    with errors():
        whole = run_migration(
            source,
            token=token if source.startswith(("https://", "http://")) else None,
            layout=layout.value,
            key_prefix=key_prefix,
            match=match,
            owners=read_owners(user, users),
            url=url,
            prefix=prefix,
            dry_run=dry_run,
            delete_source=delete_source,
            confirm=(lambda _: True) if yes else ask,
            as_json=as_json,
        )
    if not whole:
        raise typer.Exit(1)


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
    """Erase whole sessions. It shows how many sessions and messages these are, and asks first."""
    from chatmem.cli.commands.erase import Erase
    from chatmem.cli.terminal import ask

    one_of(**{"sessions": sessions, "--user or --match": user or match})
    if not (sessions or user or match):
        raise typer.BadParameter("name the sessions, or pass --user or --match (--match '*' for all sessions)")
    with opened(url, prefix) as store:
        work = Erase(store, sessions, user=user, match=match)
        work.run(dry_run=dry_run, confirm=(lambda _: True) if yes else ask, as_json=as_json)


@app.command()
def reencrypt(
    match: Glob = "*",
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Re-encrypt sessions with the newest key. CHATMEM_KEYS holds the keys, newest last: "name=base64 name=base64"."""
    from chatmem.cli.commands.reencrypt import reencrypt as reencrypt_all

    if not os.environ.get("CHATMEM_KEYS"):
        with errors():
            raise ValueError("set CHATMEM_KEYS to the keys, newest last: name=base64 name=base64")
    with opened(url, prefix) as store:
        reencrypt_all(store, match, as_json=as_json)
