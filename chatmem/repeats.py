"""Ids for messages that have none of their own, so that a call that is repeated after an error stores them once."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chatmem.errors import UnavailableError

_MOST = 100
"""How many failed calls are remembered."""


class Repeats:
    """Names calls that store something, and gives a call the name of the failed one that it repeats.

    A failed call is remembered until the next call to the same session, or until 100 later ones have failed.
    """

    def __init__(self) -> None:
        self._failed: dict[str, tuple[Any, str]] = {}

    @contextmanager
    def named(self, session_id: str, given: Any) -> Iterator[str]:
        """Yield a name for a call, from which to make the ids of its messages.

        Args:
            session_id: the session that the call writes to.
            given: what it stores. If the last call to this session had equal content, and may have failed after it had
                stored it, the name is the same.
        """
        failed = self._failed.pop(session_id, None)
        name = failed[1] if failed is not None and failed[0] == given else secrets.token_urlsafe(9)
        try:
            yield name
        except BaseException as error:
            if isinstance(error, UnavailableError) or not isinstance(error, Exception):  # it may have been stored
                self._failed[session_id] = copy.deepcopy(given), name
                while len(self._failed) > _MOST:
                    del self._failed[next(iter(self._failed))]
            raise
