"""Which requests are let in: those from pages that this application served itself, under its own name.

A page elsewhere can let its name point to this machine (DNS rebinding); then its requests say that name. Or it can send
requests here as it is, another application on this machine among them, whose cookies are the same: then they say where
they come from.
"""

from __future__ import annotations

import ipaddress
import os

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HARMLESS = {"GET", "HEAD", "OPTIONS"}
"""Methods that change nothing here."""
SENT = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types dompurify",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""Headers of every answer."""


def own_names() -> frozenset[str]:
    """Return the names of this application: `localhost`, and those in CHATMEM_DEMO_HOSTS, with spaces between them."""
    return frozenset(["localhost", *os.environ.get("CHATMEM_DEMO_HOSTS", "").lower().split()])


class Guard:
    """ASGI middleware that answers what may not be asked, and adds headers to what is answered."""

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or not."""
        if scope["type"] == "websocket":  # there are none here
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http" and (refused := self._refusal(scope["method"], Headers(scope=scope))):
            status, text = refused
            await JSONResponse({"detail": text}, status)(scope, receive, send)
        else:
            await self._app(scope, receive, _adding(send))

    def _refusal(self, method: str, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._is_own(host):
            return 400, "This application has another name. CHATMEM_DEMO_HOSTS can name more."
        if method not in HARMLESS and _is_elsewhere(host, headers):
            return 403, "This request comes from another site."
        return None

    def _is_own(self, host: str) -> bool:
        name, colon, port = host.rpartition(":")
        if not colon or not port.isdecimal():
            name = host
        return name.lower() in self._names or _is_address(name)


def _is_address(name: str) -> bool:
    """Return whether it is an IP address, which nobody can let point elsewhere."""
    try:
        ipaddress.ip_address(name[1:-1] if name[:1] + name[-1:] == "[]" else name)
    except ValueError:
        return False
    return True


def _is_elsewhere(host: str, headers: Headers) -> bool:
    """Return whether a browser says that another site's page made a request; other clients say nothing of it."""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2] != host


def _adding(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(SENT)
        await send(message)

    return send_with_headers
