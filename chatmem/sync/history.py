"""The synchronous `History`: each method runs the coroutine of the same name to its end."""

from __future__ import annotations

from chatmem import history as core
from chatmem.deprecated import renamed_argument
from chatmem.sync.annotating import Annotating
from chatmem.sync.answering import Answering
from chatmem.sync.branching import Branching
from chatmem.sync.reading import Reads
from chatmem.sync.writing import Writes
from chatmem.transports.driving import drive


class History(Reads, Writes, Branching, Annotating, Answering):
    """One conversation; see `chatmem.History`, whose methods these are."""

    def __init__(self, history: core.History) -> None:
        self._core = history
        self.session_id = history.session_id

    def __repr__(self) -> str:
        return f"sync.{self._core!r}"

    @renamed_argument("upto", "up_to")
    def fork(
        self, new_session_id: str, *, up_to: str | int | None = None, expected_version: int | None = None
    ) -> History:
        """Copy the conversation, or its beginning, into a new session of the same user.

        The copy shows the conversation at one moment, and is stored as a whole or not at all. Its positions begin at
        0; ids, times and annotations stay, and so does the summary if it speaks only of what is copied. You can repeat
        a fork after an error. It takes two round trips for each 256 messages or 1 MB, and one more if there is a
        summary; a longer copy is built aside, so nobody else has to wait for it.

        Args:
            new_session_id: the id of the new session, which must not exist.
            up_to: the id or position of the last message to copy; by default all are copied.
            expected_version: this session's version as you know it.

        Returns:
            The new conversation.

        Raises:
            ConflictError: the new session exists, or this one is not at `expected_version`.
            NotFoundError: there is no message `up_to`.
            NotYoursError: this session does not belong to this history's user.
            TornSessionError: this session has lost its messages.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: an argument is wrong.
        """
        return History(drive(self._core.fork(new_session_id, up_to=up_to, expected_version=expected_version)))

    def reencrypt(self) -> int:
        """Encrypt with the memory's newest key whatever another key encrypted, or none, all branches included.

        Title, metadata, annotations and summary are encrypted anew, too.

        Positions, ids and times stay. One round trip for each 256 messages, and one for each message that is encrypted
        anew. If others write meanwhile, more round trips read those messages again.

        Returns:
            The number of messages that were encrypted. Messages that cannot be read stay as they are, and so do
            messages that the session's index of ids does not know.

        Raises:
            NotYoursError: the session does not belong to this history's user.
            UnavailableError: the server did not confirm; repeat the call to encrypt the remaining messages.
            ValueError: the memory has no `encryption`.
        """
        return drive(self._core.reencrypt())
