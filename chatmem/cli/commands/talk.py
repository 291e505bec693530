"""Talking: `chat`."""

from __future__ import annotations

from typing import Annotated

import typer

from chatmem.cli.options import Prefix, Url, opened

app = typer.Typer()


@app.command()
def chat(
    session: Annotated[str, typer.Argument(help="Which conversation to go on with.")] = "default",
    model: Annotated[
        str | None,
        typer.Option(help="A LangChain chat model as provider:name, such as openai:gpt-4o; by default an offline one."),
    ] = None,
    system: Annotated[str | None, typer.Option(help="A system prompt for a new session.")] = None,
    prefix: Prefix = "chatmem",
    url: Url = None,
) -> None:
    """Talk in the terminal. The history is kept: come back and go on."""
    from chatmem.cli.chat import Chat, find_model  # noqa: PLC0415 - when it is called

    with opened(url, prefix) as store:
        Chat(store.memory.history(session), find_model(model), system).run()
