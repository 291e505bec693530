"""What `History` keeps beside the messages: a summary, and annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import MessageLikeRepresentation

from chatmem.core.annotations import encoded, sealed
from chatmem.core.checks import as_messages, target
from chatmem.core.reader import Reader
from chatmem.core.session import FIRST_OF_SUMMARY, Session
from chatmem.core.telemetry import observed
from chatmem.core.writer import Writer
from chatmem.errors import ConflictError, NotFoundError, NotYoursError
from chatmem.model import Edited, Summary


class Annotating:
    """Keeps a summary and annotations of one conversation."""

    _session: Session
    _reader: Reader
    _writer: Writer

    @observed
    async def summarize(
        self,
        *,
        up_to: str | int,
        summary: Sequence[MessageLikeRepresentation],
        expected_version: int | None = None,
    ) -> Edited:
        """Store a summary of the beginning of the conversation, from which `window` goes on. One round trip, atomic.

        Nothing is removed: `messages`, `page` and `search` still show everything. A window begins with the system
        message and the summary, and goes on behind `up_to`. If a tool exchange reaches across `up_to`, all of it is
        left out of the summary and stays in the window. A new summary takes the place of the old one. The session's
        version and its place in its user's list stay.

        Args:
            up_to: the id or position of the last message that the summary speaks of.
            summary: the messages that stand for those up to there.
            expected_version: the session's version as you know it; leave it out if others may append meanwhile.

        Returns:
            The version, the position of the last message that the summary stands for, and the number of those
            messages. The position is None, and nothing is stored, if the conversation begins with a tool exchange that
            reaches across `up_to`.

        Raises:
            ConflictError: the active branch does not show the message `up_to` any more, a stored summary speaks of
                later messages, or the session is not at `expected_version`. Nothing was changed.
            EncodingError: a message holds a value that cannot be stored. Nothing was sent.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part. Nothing was changed.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: an argument is wrong.
        """
        where = target("up_to", up_to)
        if isinstance(summary, str) or not isinstance(summary, Sequence) or not summary:
            raise ValueError("summary must be a list of messages, at least one")
        parts = await self._writer.encode(as_messages("summary", summary))
        places = range(FIRST_OF_SUMMARY, FIRST_OF_SUMMARY + len(parts))
        try:
            return await self._writer.edit(
                b"summarize", *where, parts=parts, places=places, expected_version=expected_version, how=None
            )
        except NotYoursError:
            raise
        except NotFoundError as error:
            with self._session.named:
                what = f"the conversation has changed: its active branch shows no message {up_to!r}; read it again"
                raise ConflictError(what) from error

    @observed
    async def summary(self) -> Summary | None:
        """Return the stored summary of the active branch, or None if there is none. One round trip.

        Raises:
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost its messages.
            UnavailableError: the server did not answer.
        """
        answer, _ = await self._reader.ask(self._session.reads.summary())
        if answer.last is None:
            return None
        decoder = self._reader.decoder
        messages = decoder.readable(await decoder.entries(answer.elements))
        return Summary(answer.last if answer.last >= 0 else None, messages)

    @observed
    async def annotate(self, message: str | int, annotations: Mapping[str, Any]) -> Edited:
        """Keep something beside a message: a rating, a label, feedback, a status. One round trip, atomic.

        Annotations are merged by key. The message, its time, the session's version and its place in its user's list
        stay. `page`, `entries` and `get` return annotations; the removal of a message removes them. With encryption,
        a call that names the message by id takes two round trips.

        Args:
            message: the id or position of the message, on any branch.
            annotations: values that JSON can represent, by key. None removes a key.

        Returns:
            The version, the position of the message, and a count of 1.

        Raises:
            EncodingError: JSON cannot represent a value. Nothing was sent.
            NotFoundError: there is no such message.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part. Nothing was changed.
            UnavailableError: the server did not confirm; you can repeat the call.
            ValueError: an argument is wrong.
        """
        where = target("message", message)
        if not isinstance(annotations, Mapping):
            raise ValueError(f"annotations must be a dict, not {type(annotations).__name__}")
        with self._session.named:
            pairs = encoded(annotations)
        place = message if isinstance(message, int) else max(self._session.next_position - 1, 0)
        return await self._writer.edit(
            b"annotate", *where, places=[place], how=None, pack=lambda places: sealed(self._session, pairs, places[0])
        )
