"""The half of the synchronous `History` for answers that run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from langchain_core.messages import MessageLikeRepresentation

from chatmem import history as core
from chatmem.core.answering.draft import Draft as CoreDraft
from chatmem.model import AnswerStatus, Appended, Chunk
from chatmem.transports.driving import drive, iterate


class Draft:
    """An answer while its producer writes it; see `chatmem.Draft`, whose methods these are.

    A thread of its own sends what was written, so it goes out even while the block waits for the model.
    """

    def __init__(self, draft: CoreDraft) -> None:
        self._core = draft
        self.id = draft.id

    @property
    def begun(self) -> Appended | None:
        """What was stored when it began."""
        return self._core.begun

    @property
    def stopping(self) -> bool:
        """Whether somebody has asked it to stop."""
        return self._core.stopping

    @property
    def appended(self) -> Appended | None:
        """What was stored when it ended."""
        return self._core.appended

    @property
    def status(self) -> AnswerStatus | None:
        """How it ended; None while it runs."""
        return self._core.status

    def __enter__(self) -> Self:
        drive(self._core.__aenter__())
        return self

    def write(self, *chunks: Any) -> None:
        """Add to the answer. No round trip: what is written is sent a moment later, at most 20 times a second.

        If somebody has asked the answer to stop, this ends the `with` block.

        Args:
            chunks: text, chunks of messages, or whole messages, as models and agents stream them. Of what LangGraph
                streams, write everything: tuples of a message and its metadata, with or without their mode and
                namespace, and parts of version 2. Other modes than "messages" are passed over, and so are messages that
                neither the model nor a tool wrote.

        Raises:
            ConflictError: the answer does not run any more, because the session was cleared or the lease was over.
            ValueError: a chunk is none of these, or the answer is not begun, or has ended.
        """
        drive(self._core.write(*chunks))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return drive(self._core.__aexit__(kind, error, trace))


class Answering:
    """Answers of one conversation that are written as they are generated; see `chatmem.core.answering`."""

    _core: core.History

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
        return Draft(self._core.answer(*messages, id=id, alone=alone, expected_version=expected_version, lease=lease))

    def follow(
        self, answer_id: str, *, after: str | None = None, timeout: float | timedelta | None = None
    ) -> Iterator[Chunk]:
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
        return iterate(self._core.follow(answer_id, after=after, timeout=timeout))

    def stop(self, answer_id: str | None = None) -> bool:
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
        return drive(self._core.stop(answer_id))
