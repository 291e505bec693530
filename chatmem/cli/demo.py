"""`chatmem demo`: the chat application of `examples/fastapi_chat`, served."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from chatmem.cli.chat import find_model
from chatmem.errors import UnsupportedError
from chatmem.sync import connect

if TYPE_CHECKING:
    from fastapi import FastAPI

_NEEDED = ("fastapi.sse", "itsdangerous", "uvicorn")
_STOPS_WITHIN = 3
"""Seconds that answers under way have when the server is to stop."""


def serve(host: str, port: int, url: str | None) -> None:
    """Serve the application until Ctrl-C, and print its address.

    Args:
        host: the address to listen at.
        port: the port; 0 for any that is free.
        url: the memory's, as `connect` takes it.

    Raises:
        OSError: nothing can listen there.
        UnavailableError: the memory does not answer.
        UnsupportedError: the extra `demo` is not installed.
        ValueError: `url` names no server, or CHATMEM_DEMO_MODEL no model that is to be had.
    """
    if url is not None:
        os.environ["CHATMEM_URL"] = url
    app = _application()
    find_model(os.environ.get("CHATMEM_DEMO_MODEL") or None)  # while what is wrong with it can be said in a line
    import uvicorn  # noqa: PLC0415 - of the extra, which is there now

    with connect() as memory:
        memory.ping()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listening:
        shown = f"[{host}]" if ":" in host else host
        print(f"http://{shown}:{listening.getsockname()[1]} (Ctrl-C stops it)", flush=True)  # noqa: T201
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_STOPS_WITHIN)
        server = uvicorn.Server(config)
        with contextlib.suppress(KeyboardInterrupt):
            server.run([listening])
    if not server.started:  # it has logged why; later releases of uvicorn end here by themselves
        sys.exit(1)


def _application() -> FastAPI:
    if not all(map(_is_there, _NEEDED)):
        raise UnsupportedError("the demo needs: pip install 'chatmem[demo]'")
    package = "chatmem.examples"
    if importlib.util.find_spec(package) is None:  # a source tree, where it is beside the package
        package = "examples"
        sys.path.insert(0, str(Path(__file__).parents[2]))
    app: FastAPI = importlib.import_module(f"{package}.fastapi_chat.app").app
    return app


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package it is in
        return False
