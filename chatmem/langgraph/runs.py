"""The current run: which session and user it names, and whether an enclosing run keeps the same session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langgraph.config import get_config
from langgraph.runtime import get_runtime

from chatmem.sessions import Memory

_enclosing: ContextVar[frozenset[Run]] = ContextVar("chatmem_enclosing_runs", default=frozenset())


@dataclass(frozen=True)
class Run:
    """A run's session of a memory. Runs are equal if they keep the same session of the same memory."""

    connection: int
    """the `id()` of the memory's connection"""
    prefix: str
    session_id: str
    user: str | None = field(compare=False)

    @property
    def is_nested(self) -> bool:
        """Return whether this run is inside a tool or model call of a run that keeps the same session.

        Such a run names no session of its own: LangGraph passes the enclosing run's config on to it. It must not write
        to the session, where the enclosing run's call has no result yet.
        """
        return self in _enclosing.get()

    @contextmanager
    def enclosing(self) -> Iterator[None]:
        """Let runs that begin inside this block know that this run encloses them."""
        token = _enclosing.set(_enclosing.get() | {self})
        try:
            yield
        finally:
            _enclosing.reset(token)


def current_run(memory: Memory) -> Run:
    """Return the current run.

    Raises:
        ValueError: the run names no session, or its session or user is not an id.
    """
    context = get_runtime().context
    configurable: Mapping[str, Any] = get_config().get("configurable", {})
    session = _value(context, "session_id") or configurable.get("session_id") or configurable.get("thread_id")
    if not session:
        raise ValueError('the run names no session: pass one, invoke(..., {"configurable": {"session_id": "..."}})')
    core = memory.core
    return Run(id(core.connection), core.policy.prefix, _checked("session_id", session), _user(context, configurable))


def _value(context: Any, name: str) -> Any:
    return context.get(name) if isinstance(context, Mapping) else getattr(context, name, None)


def _user(context: Any, configurable: Mapping[str, Any]) -> str | None:
    given = _value(context, "user")
    given = configurable.get("user") if given is None else given
    user = None if given is None else _checked("user", _identity(given))
    server = configurable.get("langgraph_auth_user")  # set by LangGraph Platform
    authenticated = None if server is None or not getattr(server, "is_authenticated", True) else _identity(server)
    if not authenticated:
        return user
    if user not in (None, str(authenticated)):
        raise ValueError("user is not the one whom the server authenticated: pass that user, or leave user out")
    return str(authenticated)


def _identity(user: Any) -> Any:
    """Return the `identity` of a user object of LangGraph Platform or Starlette; anything else unchanged."""
    identity = _value(user, "identity")
    return user if identity is None else identity


def _checked(argument: str, value: Any) -> str:
    if isinstance(value, str | int | UUID) and not isinstance(value, bool):
        return str(value)
    what = f"{argument} must be a string, a whole number or a UUID, not {type(value).__name__}"
    raise ValueError(what if argument != "user" else f"{what}: pass the user's id, or an object with an `identity`")
