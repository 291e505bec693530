"""The run under way: whose conversation it is, and whether another run around it keeps the same one."""

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

_around: ContextVar[frozenset[Run]] = ContextVar("chatmem_runs_around", default=frozenset())


@dataclass(frozen=True)
class Run:
    """A session of a memory, as a run names it."""

    connection: int
    prefix: str
    session_id: str
    user: str | None = field(compare=False)

    @property
    def is_nested(self) -> bool:
        """Return whether a run around this one keeps the same session, and called a tool or a model that is this run.

        It names no session of its own then, but got that of the other with its config: between the other's call and
        the result it must not write.
        """
        return self in _around.get()

    @contextmanager
    def around(self) -> Iterator[None]:
        """Make runs that begin here know this one."""
        token = _around.set(_around.get() | {self})
        try:
            yield
        finally:
            _around.reset(token)


def current(memory: Memory) -> Run:
    """Return the run under way.

    Raises:
        ValueError: it names no session, or its session or user is nothing that can be a name.
    """
    context = get_runtime().context
    configurable: Mapping[str, Any] = get_config().get("configurable", {})
    session = _value(context, "session_id") or configurable.get("session_id") or configurable.get("thread_id")
    if not session:
        raise ValueError('say which session it is: invoke(..., {"configurable": {"session_id": "..."}})')
    core = memory.core
    return Run(id(core.connection), core.policy.prefix, _name("session_id", session), _user(context, configurable))


def _value(context: Any, name: str) -> Any:
    return context.get(name) if isinstance(context, Mapping) else getattr(context, name, None)


def _user(context: Any, configurable: Mapping[str, Any]) -> str | None:
    given = _value(context, "user")
    given = configurable.get("user") if given is None else given
    user = None if given is None else _name("user", _identity(given))
    server = configurable.get("langgraph_auth_user")  # LangGraph Platform says here whom it authenticated
    identity = None if server is None or not getattr(server, "is_authenticated", True) else _identity(server)
    if not identity:
        return user
    if user not in (None, str(identity)):
        raise ValueError("user must be the one whom the server authenticated, or be left out")
    return str(identity)


def _identity(user: Any) -> Any:
    """Return what names a user: the `identity` that users of LangGraph Platform and Starlette have, else itself."""
    identity = _value(user, "identity")
    return user if identity is None else identity


def _name(argument: str, value: Any) -> str:
    if isinstance(value, str | int | UUID) and not isinstance(value, bool):
        return str(value)
    what = f"{argument} must be a string, a whole number or a UUID, not {type(value).__name__}"
    raise ValueError(what if argument != "user" else f"{what}: pass the user's id, or an object with an `identity`")
