"""Changes of state, by their scope: the session's own, its user's (`user:`), its app's (`app:`), or none (`temp:`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from google.adk.sessions.state import State
from pydantic_core import to_jsonable_python

from chatmem.errors import EncodingError

_NOT_OWN = (State.APP_PREFIX, State.USER_PREFIX, State.TEMP_PREFIX)


def in_json(state: dict[str, Any]) -> dict[str, Any]:
    """Return values as JSON has them; what JSON cannot represent becomes a text, as in ADK's own services.

    Raises:
        EncodingError: bytes are no UTF-8, or a value contains itself.
    """
    with storable("the state"):
        value: dict[str, Any] = to_jsonable_python(state, serialize_unknown=True)
    return value


@contextmanager
def storable(what: str) -> Iterator[None]:
    """Turn pydantic's errors about values that JSON cannot represent into chatmem's."""
    try:
        yield
    except ValueError as error:
        why = str(error)
    else:
        return
    # Raised outside of the except block, so that no value shows up as the context.
    raise EncodingError(f"{what} holds a value that cannot be written as JSON ({why}): put it there as text")


def own(delta: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a delta that is the session's own."""
    return {key: value for key, value in delta.items() if not key.startswith(_NOT_OWN)}


def of_app(delta: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a delta that is the app's, without the prefix."""
    return _without(State.APP_PREFIX, delta)


def of_user(delta: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a delta that is the user's, without the prefix."""
    return _without(State.USER_PREFIX, delta)


def whole(session: dict[str, Any], app: dict[str, Any], user: dict[str, Any]) -> dict[str, Any]:
    """Return the state of all three scopes, with prefixes."""
    state = dict(session)
    state.update((State.APP_PREFIX + key, value) for key, value in app.items())
    state.update((State.USER_PREFIX + key, value) for key, value in user.items())
    return state


def _without(prefix: str, delta: dict[str, Any]) -> dict[str, Any]:
    return {key.removeprefix(prefix): value for key, value in delta.items() if key.startswith(prefix)}
