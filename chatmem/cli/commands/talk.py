"""Talking: `chat`, `demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from chatmem.cli.options import Prefix, Url, errors, opened

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
    from chatmem.cli.commands.chat import Chat, find_model  # noqa: PLC0415 - when it is called

    with opened(url, prefix) as store:
        Chat(store.memory.history(session), find_model(model), system).run()


@app.command()
def demo(
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any that is free.")] = 8000,
    url: Url = None,
) -> None:
    """Serve a chat application, and print its address. CHATMEM_DEMO_MODEL=provider:name gives it another model."""
    from chatmem.cli.commands.demo import serve  # noqa: PLC0415 - when it is called

    with errors():
        serve(host, port, url)
