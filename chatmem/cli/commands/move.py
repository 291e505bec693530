"""Moving: `export`, `import`, `migrate`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from chatmem.cli.options import AsJson, DryRun, Match, Prefix, Sessions, Url, User, Yes, errors, one_of, opened

app = typer.Typer()

NewOwner = Annotated[str | None, typer.Option("--user", help="Whose the sessions are that have no other owner.")]
OwnersFile = Annotated[
    Path | None,
    typer.Option("--users", help="Whose each session is: CSV (session,user) or JSON lines.", metavar="FILE"),
]


class Layout(StrEnum):
    """The packages whose sessions can be moved."""

    COMMUNITY = "langchain-community"
    UPSTASH = "upstash"
    JAVASCRIPT = "langchain-js"
    MEMORYSTORE = "memorystore"
    LANGCHAIN_REDIS = "langchain-redis"
    OPENAI = "openai-agents"


class Form(StrEnum):
    """What `export` writes."""

    JSONL = "jsonl"
    MARKDOWN = "markdown"
    OPENAI = "openai"
    LANGCHAIN = "langchain"


@app.command()
def export(
    sessions: Sessions = None,
    user: User = None,
    match: Match = None,
    form: Annotated[
        Form, typer.Option("--format", help="jsonl holds everything, exactly; the others hold what they can.")
    ] = Form.JSONL,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file, which appears when it is whole; .gz is gzipped.")
    ] = None,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Write conversations out, by default all. What is encrypted is written in the clear."""
    from chatmem.cli.commands.export import export as write_out  # noqa: PLC0415 - when it is called

    one_of(**{"sessions": sessions, "--user or --match": user or match})
    with opened(url, prefix) as store:
        infos = list(store.named(sessions) if sessions else store.chosen(user, match))
        write_out(store, infos, form=form.value, output=output)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="JSONL or JSON, gzipped or not; - for standard input.")],
    user: NewOwner = None,
    users: OwnersFile = None,
    prefix_session: Annotated[str, typer.Option(help="What every session's id begins with.")] = "",
    append: Annotated[bool, typer.Option(help="Append to sessions that hold something else already.")] = False,
    max_line: Annotated[int, typer.Option(min=1, help="MiB that a line of the file may have.")] = 16,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Store conversations: what `export` wrote, or one {"id": ..., "messages": [...]} a line in OpenAI's or LangChain's
    form. Twice stores nothing twice.
    """  # noqa: D205 - a help text
    from chatmem.cli.commands.import_ import Import  # noqa: PLC0415 - when it is called
    from chatmem.cli.owners import read_owners  # noqa: PLC0415 - as above

    with opened(url, prefix) as store:
        work = Import(store, read_owners(user, users), prefix=prefix_session, append=append)
        work.run(file, max_line=max_line, as_json=as_json)


@app.command()
def migrate(
    source: Annotated[
        str,
        typer.Argument(
            envvar="CHATMEM_SOURCE_URL", help="Where the sessions are: redis://, redis+cluster://, upstash://, ..."
        ),
    ],
    layout: Annotated[Layout, typer.Option("--from", help="Which package wrote them.")],
    match: Annotated[
        str | None, typer.Option(help="Only sessions whose ids match this glob; needed where keys have no prefix.")
    ] = None,
    key_prefix: Annotated[
        str | None, typer.Option(help="What their keys begin with; by default the package's.")
    ] = None,
    user: NewOwner = None,
    users: OwnersFile = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    delete_source: Annotated[bool, typer.Option(help="Remove each source once its copy is verified.")] = False,
    token: Annotated[str | None, typer.Option(envvar="UPSTASH_REDIS_REST_TOKEN", help="Of an https:// source.")] = None,
    as_json: AsJson = False,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Move other packages' sessions here: looks first, asks, moves, verifies. Again goes on where it ended."""
    from chatmem.cli.asking import ask  # noqa: PLC0415 - when it is called
    from chatmem.cli.commands.migrate import migrate as run_migration  # noqa: PLC0415 - as above
    from chatmem.cli.owners import read_owners  # noqa: PLC0415 - as above

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
            only_look=dry_run,
            remove=delete_source,
            confirm=(lambda _: True) if yes else ask,
            as_json=as_json,
        )
    if not whole:
        raise typer.Exit(1)
