"""The application: what lives as long as it does, its routes, and what errors are to the browser."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.sessions import SessionMiddleware

import chatmem

from . import chats, errors, users  # relative: the wheel has this package elsewhere than the repository
from .dependencies import Memory
from .guard import Guard, own_names
from .limits import Patience, Streams
from .model import find_model
from .secret import secret

STATIC = Path(__file__).with_name("static")
DAY = 86_400
LARGEST = 1_000_000
"""Bytes of a message."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the memory, once for all requests, and close it when the application ends."""
    app.state.model, app.state.streams = find_model(), Streams()
    async with chatmem.connect(ttl=90 * DAY, max_message_bytes=LARGEST, publish=True) as app.state.memory:
        gc.collect()
        gc.freeze()  # otherwise each full collection goes through all imported modules: a pause of some 0.1 s
        yield


# Its pages for developers load scripts from elsewhere, which could read the chats.
app = FastAPI(title="chatmem demo", lifespan=lifespan, docs_url=None, redoc_url=None)
app.add_middleware(SessionMiddleware, secret_key=secret(), session_cookie="chatmem_demo", same_site="strict")
app.add_middleware(Patience)
app.add_middleware(RequestBodyLimitMiddleware, max_body_size=2 * LARGEST)  # JSON is longer than what it says
app.add_middleware(Guard, names=own_names())
app.exception_handler(chatmem.ChatMemError)(errors.respond)
app.exception_handler(RequestValidationError)(errors.refuse)
app.include_router(users.router)
app.include_router(chats.router)
app.mount("/static", StaticFiles(directory=STATIC))


@app.get("/", include_in_schema=False)
def page() -> FileResponse:
    """Return the page."""
    return FileResponse(STATIC / "index.html")


@app.get("/healthz")
async def health(memory: Memory) -> dict[str, bool]:
    """Say whether the memory answers: 200, or 503."""
    return {"ok": await memory.ping()}
