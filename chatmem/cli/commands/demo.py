"""`chatmem demo`: the chat application of `examples/fastapi_chat`, served."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from chatmem.cli.commands.chat import find_model
from chatmem.errors import UnsupportedError
from chatmem.sync import connect

if TYPE_CHECKING:
    from fastapi import FastAPI

_NEEDED = ("fastapi.sse", "itsdangerous", "starlette.middleware.body_limit", "uvicorn")
_STOPS_WITHIN = 3
"""Seconds that answers under way have when the server is to stop."""
_HEAD, _CONNECTIONS = 16_384, 200
"""Limits: bytes of a request's first line and headers, and connections at once."""


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
    os.environ["CHATMEM_DEMO_HOSTS"] = f"{os.environ.get('CHATMEM_DEMO_HOSTS', '')} {host}"
    app = _application()
    find_model(os.environ.get("CHATMEM_DEMO_MODEL") or None)  # while what is wrong with it can be said in a line
    import uvicorn  # noqa: PLC0415 - of the extra, which is there now

    with connect() as memory:
        memory.ping()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listening:
        shown = f"[{host}]" if ":" in host else host
        print(f"http://{shown}:{listening.getsockname()[1]} (Ctrl-C stops it)", flush=True)  # noqa: T201
        if not _is_private(host):
            print("Who reaches this address can be any user: there are no passwords.", file=sys.stderr)  # noqa: T201
        config = uvicorn.Config(
            app,
            log_level="warning",
            http="h11",  # httptools would take headers of any size
            ws="none",
            h11_max_incomplete_event_size=_HEAD,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_STOPS_WITHIN,
        )
        server = uvicorn.Server(config)
        with contextlib.suppress(KeyboardInterrupt):
            server.run([listening])
    if not server.started:  # it has logged why; later releases of uvicorn end here by themselves
        sys.exit(1)


def _application() -> FastAPI:
    if not all(map(_is_there, _NEEDED)):
        raise UnsupportedError("the demo needs: pip install 'chatmem-redis[demo]'")
    package = "chatmem.examples"
    if importlib.util.find_spec(package) is None:  # a source tree, where it is beside the package
        package = "examples"
        sys.path.insert(0, str(Path(__file__).parents[2]))
    app: FastAPI = importlib.import_module(f"{package}.fastapi_chat.app").app
    return app


def _is_private(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    return all(ipaddress.ip_address(found[4][0]).is_loopback for found in socket.getaddrinfo(host, None))


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package it is in
        return False
