"""The half of `History` for answers that run."""

from __future__ import annotations

from datetime import timedelta

from langchain_core.messages import MessageLikeRepresentation

from chatmem.core.answering.draft import Draft
from chatmem.core.answering.following import Following
from chatmem.core.checks import as_messages, check_count
from chatmem.core.checks import seconds as seconds_of
from chatmem.core.feed import Changes
from chatmem.core.healing import cannot_mend, mend
from chatmem.core.keys import field, stream_of
from chatmem.core.reader import Reader
from chatmem.core.session import ATTEMPTS, Session
from chatmem.core.telemetry import observed
from chatmem.core.writer import Writer
from chatmem.model import Chunk
from chatmem.scripts import answering, answers


class Answering:
    """Answers of one conversation that are written as they are generated."""

    _session: Session
    _reader: Reader
    _writer: Writer

    def answer(
        self,
        *messages: MessageLikeRepresentation,
        id: str | None = None,  # noqa: A002 - what everybody calls it
        alone: bool = True,
        expected_version: int | None = None,
        lease: float | timedelta = 30.0,
    ) -> Draft:
        """Return an answer to write while it is generated, as a context manager: `async with history.answer(question)`.

        Readers in any process follow it while it grows. At the end of the block its messages are stored, in one atomic
        step. An error in the block stores what there is, as "failed", and is raised on. If the block is cancelled, what
        there is is stored as "interrupted". If the process dies, the next one that reads or writes the session after
        the lease does that. `stop` cancels the block (in synchronous code, the next `write` ends it), stores what there
        is as "stopped", and nothing is raised.

        One round trip at the beginning, one at the end, and one for each 0.05 seconds in which something is written. A
        silent producer renews its lease in one.

        Args:
            messages: the question, or whatever is to be appended in the step that begins the answer.
            id: the id of the answer, and of the first message that it stores; by default a new one. Further messages
                have the ids "<id>.1", "<id>.2" and so on.
            alone: whether it is an error if another answer runs in this session.
            expected_version: the session's version as you know it.
            lease: seconds or a `timedelta` after which an answer whose producer is silent counts as interrupted.

        Raises:
            ValueError: an argument is wrong. What can go wrong with the server is raised when the block begins:
                `append` says what, and ConflictError says too that another answer runs.
        """
        check_count("expected_version", expected_version, least=0)
        if id is not None and (not isinstance(id, str) or not id):
            raise ValueError(f"id must be a non-empty string, or None for a new one, not {id!r}")
        limit = seconds_of("lease", lease)
        return Draft(
            self._session,
            self._writer,
            as_messages("messages", messages),
            answer_id=id,
            alone=alone,
            expected_version=expected_version,
            lease=limit or 0.0,
        )

    def follow(
        self, answer_id: str, *, after: str | None = None, timeout: float | timedelta | None = None
    ) -> Changes[Chunk]:
        """Iterate over an answer while it is written, in whatever process; the last part has its status.

        You get what there is already in a few large parts, then each part as it comes. After the end you get one part
        with the finished messages. If the producer died, that is so once its lease is over. A reader costs the producer
        nothing.

        One round trip at the beginning and one at the end, and one each 5 seconds of silence. Where the server cannot
        push, one each 0.25 seconds.

        Args:
            answer_id: the answer, as `SessionInfo.answers` names it.
            after: the `cursor` of the last part that you know; by default from the beginning.
            timeout: end the iteration after so many seconds, or a `timedelta`, without a part. By default never.

        Raises:
            NotFoundError: the session has no such answer.
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part.
            UnavailableError: the server did not answer the first question, or denies this user a right.
            ValueError: an argument is wrong.
        """
        return Following(self._session, self._reader.decoder, answer_id, after, seconds_of("timeout", timeout))

    @observed
    async def stop(self, answer_id: str | None = None) -> bool:
        """Ask a running answer to stop, whatever process writes it. One round trip.

        Its producer hears of it at once where the server can push, else within a second. What there is of it is kept.

        Args:
            answer_id: the answer; None for whichever runs.

        Returns:
            Whether it runs.

        Raises:
            NotYoursError: the session does not belong to this history's user.
            TornSessionError: the session has lost a part.
            UnavailableError: the server did not answer.
            ValueError: `answer_id` is not an id.
        """
        if answer_id is not None and (not isinstance(answer_id, str) or not answer_id):
            raise ValueError(f"answer_id must be the id of an answer, or None for any, not {answer_id!r}")
        session = self._session
        asking = answering.Asking((*session.keys, stream_of(session.keys)), session.user_name, session.claim)
        read = asking.stop(b"" if answer_id is None else field(answer_id))
        for _ in range(ATTEMPTS):
            (reply,) = await session.run(read.command)
            refusal = answers.refusal(reply)
            if refusal is None:
                return bool(read.answer(reply[1:]))
            await mend(session, refusal)
        raise cannot_mend(session)
