"""What errors are to a client: a status, a text for people, and the error's name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import Any, TypeAlias

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.types import Message, Receive

from chatmem.core.jsonable import text
from chatmem.errors import (
    ChatMemError,
    ConflictError,
    CorruptRecordError,
    DuplicateIdError,
    EncodingError,
    MessageTooLargeError,
    NotFoundError,
    TornSessionError,
    UnavailableError,
)
from chatmem.fastapi.limits import LARGEST_BODY

logger = logging.getLogger(__name__)

_RUNNING = "An answer is being written in this chat. Wait for its end, or stop it."
_STATUS: dict[type[ChatMemError], tuple[int, str]] = {
    NotFoundError: (404, "There is no such chat, or no such message in it."),
    ConflictError: (409, "This chat has changed meanwhile. Read it again, then repeat the request."),
    DuplicateIdError: (409, "Another message of this chat has this id."),
    MessageTooLargeError: (413, "This message is too long to be stored."),
    EncodingError: (422, "This holds something that cannot be stored."),
    UnavailableError: (503, "The chats cannot be reached. Try again in a moment."),
    TornSessionError: (500, "A part of this chat is lost. It can be deleted."),
    CorruptRecordError: (500, "Something in this chat cannot be read."),
    ChatMemError: (500, "The chats failed."),
}


class ChatProblem(BaseModel):
    """Why a request was not carried out.

    Attributes:
        detail: a text for people. It names no key and no address.
        error: the name of chatmem's error, or `RequestValidationError`.
        answer: the id of the answer that is being written, if that is the reason.
    """

    detail: str
    error: str
    answer: str | None = None


class Refused(HTTPException):
    """A request that is not carried out, for a reason that this router says in its own words.

    It is an HTTPException because FastAPI takes any other error in a body for a malformed one.
    """

    def __init__(self, status: int, problem: ChatProblem) -> None:
        super().__init__(status, problem.detail)
        self.problem = problem

    def response(self) -> Response:
        """Return what the client gets."""
        headers = {"retry-after": "1"} if self.status_code == 503 else None
        return JSONResponse(self.problem.model_dump(), self.status_code, headers)


class NothingToStreamError(Exception):
    """A stream that has nothing to say: a 204, after which an EventSource does not come back."""


def refused_for(error: ChatMemError) -> Refused:
    """Return what an error of chatmem's is to the client. The error's own text is for the log: it names keys."""
    kind = next(kind for kind in type(error).__mro__ if kind in _STATUS)
    status, said = _STATUS[kind]
    answer = getattr(error, "answer", None)
    if status >= 500:
        logger.error("answered %d: %s", status, error)
    return Refused(status, ChatProblem(detail=_RUNNING if answer else said, error=kind.__name__, answer=answer))


def malformed(text: str) -> Refused:
    """Return what to raise for a request that makes no sense: a 422 with this text."""
    return Refused(422, ChatProblem(detail=text, error=RequestValidationError.__name__))


@contextmanager
def arguments_checked() -> Iterator[None]:
    """Make a 422 of what chatmem says of wrong arguments, where they are the client's own."""
    try:
        yield
    except ChatMemError:  # some of which are ValueErrors too
        raise
    except ValueError as error:
        raise malformed(text(str(error))) from None


class _Request(Request):
    """A request that limits its body, and says of bodies that are no JSON what the router says of wrong requests."""

    def __init__(self, request: Request) -> None:
        super().__init__(request.scope, _limited(request.receive))

    async def json(self) -> Any:
        try:
            return await super().json()
        except JSONDecodeError:
            raise  # FastAPI says where it is
        except (ValueError, RecursionError) as error:  # bytes that are no text, numbers and brackets without end
            raise malformed("body: this is no JSON, or more of it than can be read") from error


class Route(APIRoute):
    """A route that limits bodies and answers errors itself: the application needs no handlers for them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what handles a request."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(_Request(request))
            except Refused as error:
                return error.response()
            except ChatMemError as error:
                return refused_for(error).response()
            except RequestValidationError as error:
                return malformed(_in_words(error)).response()
            except NothingToStreamError:
                return Response(status_code=204)

        return handle


def _in_words(error: RequestValidationError) -> str:
    """Say what is wrong with a request without what was sent, which may be nothing that JSON can represent."""
    return text("; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()))


def _limited(receive: Receive) -> Receive:
    """Return a `receive` that refuses a body above the limit."""
    size = 0

    async def receive_some() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > LARGEST_BODY:
            limit = f"A request may have {LARGEST_BODY:,} bytes."
            raise Refused(413, ChatProblem(detail=limit, error=MessageTooLargeError.__name__))
        return message

    return receive_some


Responses: TypeAlias = dict[int | str, dict[str, Any]]
_SCHEMA = {"$ref": f"#/components/schemas/{ChatProblem.__name__}"}
_DESCRIPTIONS = {
    404: "There is no such chat or message, or it is another user's",
    409: "The chat has changed meanwhile, or an answer is being written",
    413: "The message or the body is too large",
    422: "Something in the request is wrong",
    500: "Something that is stored cannot be read",
    503: "Redis does not answer: repeat the request after the seconds that `Retry-After` says",
}
RESPONSES: Responses = {status: {"description": about, "model": ChatProblem} for status, about in _DESCRIPTIONS.items()}
"""What routes can answer besides their result, for OpenAPI."""
STREAM_RESPONSES: Responses = {
    status: {"description": about, "content": {"application/json": {"schema": _SCHEMA}}}
    for status, about in _DESCRIPTIONS.items()
}
"""The same for streams, for which FastAPI would take errors for events."""
NOTHING: Responses = {204: {"description": "There is nothing to stream"}}
