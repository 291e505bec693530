"""The branches half of the synchronous `History`."""

from __future__ import annotations

from chatmem import history as core
from chatmem.model import Branch, Edited, Switched
from chatmem.transports.driving import drive


class Branching:
    """Branches of one conversation; see `chatmem.core.branching`."""

    _core: core.History

    def branch(self, *, after: str | int, expected_version: int | None = None) -> Switched:
        """Begin a new branch behind a message, and make it the active one. One round trip, atomic.

        Use it to edit a question or to regenerate an answer and keep the old one. The new branch shows the messages up
        to `after`, and what you append next. The old branch stays as it is. If nothing follows `after`, or if the
        active branch shows no message of its own yet, no branch is added.

        Args:
            after: the id or position of a message of the active branch; -1 for a branch that begins anew.
            expected_version: the session's version as you know it.

        Returns:
            The version, and the id of the active branch.

        Raises:
            ConflictError: the session is not at `expected_version`. Nothing was changed.
            NotFoundError: the active branch shows no such message.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part. Nothing was changed.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: the session has too many branches (more than about a thousand), or an argument is wrong.
        """
        return drive(self._core.branch(after=after, expected_version=expected_version))

    def switch(self, branch: int, *, expected_version: int | None = None) -> Switched:
        """Make a branch the active one: reads show its messages, and appends go to its end. One round trip, atomic.

        Args:
            branch: its id, as `branches` and `Entry.siblings` say it.
            expected_version: the session's version as you know it.

        Returns:
            The version, and the id of the active branch.

        Raises:
            ConflictError: the session is not at `expected_version`. Nothing was changed.
            NotFoundError: there is no such branch.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part. Nothing was changed.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: an argument is wrong.
        """
        return drive(self._core.switch(branch, expected_version=expected_version))

    def delete_branch(self, branch: int, *, expected_version: int | None = None) -> Edited:
        """Remove a branch, and the messages that only it shows. One round trip, atomic.

        Args:
            branch: its id. It must not be the active branch.
            expected_version: the session's version as you know it.

        Returns:
            The version, and the number of messages removed.

        Raises:
            ConflictError: the branch is active: switch to another one first. Or the session is not at
                `expected_version`. Nothing was changed.
            NotFoundError: there is no such branch.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part. Nothing was changed.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: an argument is wrong.
        """
        return drive(self._core.delete_branch(branch, expected_version=expected_version))

    def branches(self) -> list[Branch]:
        """Return the branches, oldest first. One round trip.

        A session whose messages never branched has one; a session that does not exist has none.

        Raises:
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost its messages.
            UnavailableError: the server did not answer.
        """
        return drive(self._core.branches())
