"""The application: what lives as long as it does, what it lets in, and the routes of `chatmem.fastapi`."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.sessions import SessionMiddleware

import chatmem
from chatmem.fastapi import router

from . import users  # relative: the wheel has this package elsewhere than the repository
from .guard import Guard, own_names
from .limits import Load, Patience, limited
from .model import find_model
from .secret import secret

STATIC = Path(__file__).with_name("static")
DAY = 86_400
LARGEST = 1_000_000
"""Bytes of a message."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the memory, once for all requests, and close it when the application ends."""
    app.state.load = Load()
    async with chatmem.connect(ttl=90 * DAY, max_message_bytes=LARGEST, publish=True) as app.state.memory:
        gc.collect()
        gc.freeze()  # otherwise each full collection goes through all imported modules: a pause of some 0.1 s
        yield


def memory(request: Request) -> chatmem.ChatMemory:
    """Return what the lifespan opened."""
    opened: chatmem.ChatMemory = request.app.state.memory
    return opened


# Its pages for developers load scripts from elsewhere, which could read the chats.
app = FastAPI(title="chatmem demo", lifespan=lifespan, docs_url=None, redoc_url=None)
app.add_middleware(SessionMiddleware, secret_key=secret(), session_cookie="chatmem_demo", same_site="strict")
app.add_middleware(Patience)
app.add_middleware(RequestBodyLimitMiddleware, max_body_size=2 * LARGEST)  # JSON is longer than what it says
app.add_middleware(Guard, names=own_names())
app.include_router(users.router)
app.include_router(
    router(memory, user=users.signed_in, model=find_model()),
    dependencies=[Depends(limited)],
)
app.mount("/static", StaticFiles(directory=STATIC))


@app.exception_handler(RequestValidationError)
def refuse(_: Request, error: RequestValidationError) -> JSONResponse:
    """Say what is wrong with a request without what was sent, which may be nothing that JSON can represent."""
    texts = (f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
    return JSONResponse({"detail": "; ".join(texts)}, 422)


@app.get("/", include_in_schema=False)
def page() -> FileResponse:
    """Return the page."""
    return FileResponse(STATIC / "index.html")


@app.get("/healthz")
async def health(request: Request) -> dict[str, bool]:
    """Say whether the memory answers: 200, or 503."""
    try:
        return {"ok": await memory(request).ping()}
    except chatmem.UnavailableError:
        raise HTTPException(503, "The memory does not answer.", {"retry-after": "1"}) from None
