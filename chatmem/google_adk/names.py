"""The ids of the sessions in which the adapter stores what it keeps, and of their owners."""

from __future__ import annotations

_FIRST = "adk"


def joined(*parts: str) -> str:
    """Return an id for names of an app, a user and a session. Different names never give the same id.

    `joined(app)` holds the app's state, `joined(app, user)` the user's state, and `joined(app, user, session)` the
    events. Each belongs to the id before it, as chatmem's user.
    """
    return ":".join([_FIRST, *(part.replace("%", "%25").replace(":", "%3A") for part in parts)])


def last_of(name: str) -> str:
    """Return the last of the names that `joined` was given."""
    return name.rpartition(":")[2].replace("%3A", ":").replace("%25", "%")
