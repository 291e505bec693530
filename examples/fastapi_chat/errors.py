"""What chatmem's errors are to the browser."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from chatmem import (
    ChatMemError,
    ConflictError,
    CorruptRecordError,
    DuplicateIdError,
    EncodingError,
    MessageTooLargeError,
    NotFoundError,
    TornSessionError,
    UnavailableError,
    UnsupportedError,
)

logger = logging.getLogger(__name__)

STATUS: dict[type, tuple[int, str]] = {
    ConflictError: (409, "This chat has changed meanwhile, perhaps in another tab. Here is what it is now."),
    CorruptRecordError: (500, "Something in this chat cannot be read."),
    DuplicateIdError: (409, "Another message has this one's id."),
    EncodingError: (422, "This message holds something that cannot be stored."),
    MessageTooLargeError: (413, "This message is too long to be stored."),
    NotFoundError: (404, "This message has been removed, perhaps in another tab."),
    TornSessionError: (500, "A part of this chat is lost. It can be deleted."),
    UnavailableError: (503, "The memory does not answer. Try again in a moment."),
    UnsupportedError: (501, "The server cannot do this."),
    ChatMemError: (500, "The memory failed."),
}


def explain(error: ChatMemError) -> tuple[int, str]:
    """Return an error's status, and what to tell the user. The error's own text is for the log: it names keys."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def respond(_: Request, error: ChatMemError) -> JSONResponse:
    """Make a response of an error of chatmem's, and log what is not the browser's fault."""
    status, text = explain(error)
    if status >= 500:
        logger.error("answered %d: %s", status, error)
    return JSONResponse({"detail": text}, status, {"retry-after": "1"} if status == 503 else None)


def refuse(_: Request, error: RequestValidationError) -> JSONResponse:
    """Say what is wrong with a request, in words, and without what was sent, which may be nothing that JSON carries."""
    texts = (f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
    return JSONResponse({"detail": "; ".join(texts)}, 422)


@contextmanager
def arguments_checked() -> Iterator[None]:
    """Make a 422 of what chatmem says of wrong arguments, where they are the browser's own."""
    try:
        yield
    except ChatMemError:  # some of which are ValueErrors too
        raise
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
