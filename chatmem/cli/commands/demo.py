"""`chatmem demo`: serves the chat application of `examples/fastapi_chat`."""

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
_GRACE = 3
"""Seconds that open streams get to end when the server stops."""
_HEAD, _CONNECTIONS = 16_384, 200
"""Limits: bytes of a request line with its headers, and concurrent connections."""


def serve(host: str, port: int, url: str | None) -> None:
    """Serve the application until Ctrl-C, and print its address.

    Args:
        host: the address to listen on.
        port: the port; 0 for any free port.
        url: the URL of the memory's server, as `chatmem.connect` takes it.

    Raises:
        OSError: the address cannot be listened on.
        UnavailableError: the memory's server does not answer.
        UnsupportedError: the extra `demo` is not installed.
        ValueError: `url` is not valid, or the model of CHATMEM_DEMO_MODEL is not available.
    """
    if url is not None:
        os.environ["CHATMEM_URL"] = url
    os.environ["CHATMEM_DEMO_HOSTS"] = f"{os.environ.get('CHATMEM_DEMO_HOSTS', '')} {host}"
    find_model(os.environ.get("CHATMEM_DEMO_MODEL") or None)  # the application would say less of what is wrong with it
    app = _application()
    import uvicorn  # noqa: PLC0415 - the extra is known to be installed here

    with connect() as memory:
        memory.ping()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listening:
        shown = f"[{host}]" if ":" in host else host
        print(f"http://{shown}:{listening.getsockname()[1]} (Ctrl-C stops it)", flush=True)  # noqa: T201
        if not _is_private(host):
            print("Anyone who can reach this address can act as any user: the demo has no passwords.", file=sys.stderr)  # noqa: T201
        config = uvicorn.Config(
            app,
            log_level="warning",
            http="h11",  # httptools accepts headers of any size
            ws="none",
            h11_max_incomplete_event_size=_HEAD,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE,
        )
        server = uvicorn.Server(config)
        with contextlib.suppress(KeyboardInterrupt):
            server.run([listening])
    if not server.started:  # uvicorn has logged why; later releases exit by themselves
        sys.exit(1)


def _application() -> FastAPI:
    if not all(map(_is_installed, _NEEDED)):
        raise UnsupportedError("the demo needs: pip install 'chatmem-redis[demo]'")
    package = "chatmem.examples"
    if importlib.util.find_spec(package) is None:  # a source tree, where the examples lie beside the package
        package = "examples"
        sys.path.insert(0, str(Path(__file__).parents[3]))
    app: FastAPI = importlib.import_module(f"{package}.fastapi_chat.app").app
    return app


def _is_private(host: str) -> bool:
    """Return whether only this machine can reach the address."""
    return all(ipaddress.ip_address(found[4][0]).is_loopback for found in socket.getaddrinfo(host, None))


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False
