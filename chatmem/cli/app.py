"""The commands and their options; what they do is in a file each, imported when it is called."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from chatmem.sync import ChatMemory

app = typer.Typer(
    help="Chat histories on Redis: talk, look, import, migrate.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


class Layout(StrEnum):
    """The packages whose sessions can be moved."""

    COMMUNITY = "langchain-community"
    UPSTASH = "upstash"
    JAVASCRIPT = "langchain-js"
    MEMORYSTORE = "memorystore"
    LANGCHAIN_REDIS = "langchain-redis"
    OPENAI = "openai-agents"


Url = Annotated[
    str | None,
    typer.Option(
        envvar="CHATMEM_URL",
        show_envvar=True,
        help="redis://, rediss://, unix:// or embedded:///folder; by default a server of its own in your data folder.",
    ),
]


def run() -> None:
    """Run the command that was called; a user's mistake is one line on stderr and exit code 1."""
    try:
        app()
    except BrokenPipeError:  # `chatmem show ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@contextmanager
def _memory(url: str | None) -> Iterator[ChatMemory]:
    import chatmem.sync  # noqa: PLC0415 - imports langchain-core, which takes a while

    keys = os.environ.get("CHATMEM_KEYS")
    with _errors(), chatmem.sync.connect(url, encryption=chatmem.KeyRing.parse(keys) if keys else None) as memory:
        yield memory


@contextmanager
def _errors() -> Iterator[None]:
    from chatmem import ChatMemError  # noqa: PLC0415 - as above
    from chatmem.cli.text import one_line  # noqa: PLC0415 - as above

    try:
        yield
    except (ChatMemError, ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        typer.secho(f"error: {one_line(error)}", fg="red", err=True)
        raise typer.Exit(1) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"chatmem {version('chatmem')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


@app.command()
def chat(
    session: Annotated[str, typer.Argument(help="Which conversation to go on with.")] = "default",
    model: Annotated[
        str | None,
        typer.Option(help="A LangChain chat model as provider:name, such as openai:gpt-4o; by default an offline one."),
    ] = None,
    system: Annotated[str | None, typer.Option(help="A system prompt for a new session.")] = None,
    url: Url = None,
) -> None:
    """Talk in the terminal. The history is kept: come back and go on."""
    from chatmem.cli.chat import Chat, find_model  # noqa: PLC0415 - when it is called

    with _memory(url) as memory:
        Chat(memory.history(session), find_model(model), system).run()


@app.command()
def show(
    session: Annotated[str, typer.Argument(help="The conversation's id.")],
    last: Annotated[int | None, typer.Option(min=1, help="Only so many messages from the end.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    url: Url = None,
) -> None:
    """Print a conversation, with roles, times and tool calls."""
    from chatmem.cli.show import show as print_session  # noqa: PLC0415 - when it is called

    with _memory(url) as memory:
        print_session(memory.history(session), last=last, as_json=as_json)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="JSONL or JSON, gzipped or not; - for standard input.")],
    prefix: Annotated[str, typer.Option("--prefix-session", help="What every session's id begins with.")] = "",
    append: Annotated[bool, typer.Option(help="Append to sessions that hold something else already.")] = False,
    url: Url = None,
) -> None:
    """Store conversations in OpenAI's format: one {"id": ..., "messages": [...]} a line. Twice stores nothing twice."""
    from chatmem.cli.importing import Import  # noqa: PLC0415 - when it is called

    with _memory(url) as memory:
        if not Import(memory, prefix=prefix, append=append).run(file):
            raise typer.Exit(1)


@app.command()
def reencrypt(
    match: Annotated[str, typer.Argument(help="Only sessions whose ids match this glob.")] = "*",
    url: Url = None,
) -> None:
    """Encrypt all sessions with the newest of the keys in CHATMEM_KEYS ("name=base64 ...", the newest last)."""
    from chatmem.cli.rotating import Reencrypt  # noqa: PLC0415 - when it is called

    if not os.environ.get("CHATMEM_KEYS"):
        with _errors():
            raise ValueError("set CHATMEM_KEYS to the keys, the newest last: name=base64 name=base64")
    with _memory(url) as memory:
        if not Reencrypt(memory, url).run(match):
            raise typer.Exit(1)


@app.command()
def demo(
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any that is free.")] = 8000,
    url: Url = None,
) -> None:
    """Serve a chat application, and print its address. CHATMEM_DEMO_MODEL=provider:name gives it another model."""
    from chatmem.cli.demo import serve  # noqa: PLC0415 - when it is called

    with _errors():
        serve(host, port, url)


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
    dry_run: Annotated[bool, typer.Option(help="Only look.")] = False,
    yes: Annotated[bool, typer.Option(help="Do not ask before moving.")] = False,
    delete_source: Annotated[bool, typer.Option(help="Remove each source once its copy is verified.")] = False,
    token: Annotated[str | None, typer.Option(envvar="UPSTASH_REDIS_REST_TOKEN", help="Of an https:// source.")] = None,
    prefix: Annotated[str, typer.Option(help="What chatmem's own keys begin with at the target.")] = "chatmem",
    url: Url = None,
) -> None:
    """Move other packages' sessions here: looks first, asks, moves, verifies. Again goes on where it ended."""
    from chatmem.cli.migrating import ask  # noqa: PLC0415 - when it is called
    from chatmem.cli.migrating import migrate as run_migration  # noqa: PLC0415 - when it is called

    with _errors():
        whole = run_migration(
            source,
            token=token if source.startswith(("https://", "http://")) else None,
            layout=layout.value,
            key_prefix=key_prefix,
            match=match,
            url=url,
            prefix=prefix,
            only_look=dry_run,
            remove=delete_source,
            confirm=(lambda _: True) if yes else ask,
        )
    if not whole:
        raise typer.Exit(1)
