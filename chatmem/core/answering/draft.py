"""An answer that is being written: its chunks go to the server in batches, and its messages are stored at the end."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import uuid4

from langchain_core.messages import BaseMessage

from chatmem.codec.record import Encoded
from chatmem.core.answering.batches import packed
from chatmem.core.answering.collecting import Collector, finished
from chatmem.core.checks import milliseconds
from chatmem.core.healing import cannot_mend, mend
from chatmem.core.keys import field, stop_channel_of, stream_of
from chatmem.core.session import ATTEMPTS, Session
from chatmem.core.writer import Writer
from chatmem.errors import ChatMemError, ConflictError, EncodingError, UnavailableError
from chatmem.model import AnswerStatus, Appended
from chatmem.scripts import answering, answers
from chatmem.scripts.answers import Code
from chatmem.transports.base import Background

T = TypeVar("T")

BETWEEN_BATCHES = 0.05
"""Seconds from one batch of chunks to the next, at least."""
HEARTBEAT = 1.0
"""Seconds after which a producer that is silent asks whether it is to stop, at least where nobody can tell it."""
LAST_CALL = 10.0
"""Seconds in which a producer that was cancelled may still store what there is."""


class Draft:
    """An answer while its producer writes it. `History.answer` makes it; use it with `async with`.

    Attributes:
        id: the answer's id, and that of the first message that it stores.
        begun: what was stored when it began: the question. None before that.
        stopping: whether somebody has asked it to stop.
        appended: what was stored when it ended; None before that.
        status: how it ended; None while it runs.
    """

    def __init__(
        self,
        session: Session,
        writer: Writer,
        question: Sequence[BaseMessage],
        *,
        answer_id: str | None,
        alone: bool,
        expected_version: int | None,
        lease: float,
    ) -> None:
        self.id = answer_id or str(uuid4())
        self.begun: Appended | None = None
        self.stopping = False
        self.appended: Appended | None = None
        self.status: AnswerStatus | None = None
        self._session, self._writer, self._question = session, writer, question
        self._alone, self._expected = alone, expected_version
        self._name, self._token = field(self.id), secrets.token_hex(8).encode()
        self._lease, self._patience = milliseconds("lease", lease), lease / 3
        self._calls = answering.Asking((*session.keys, stream_of(session.keys)), session.user_name, session.claim)
        self._collector = Collector(self.id)
        self._number = 0
        self._records: list[bytes] = []
        """A batch that the server has not confirmed yet; it has the number that follows."""
        self._lost: ChatMemError | None = None
        self._background: Background

    async def __aenter__(self) -> Self:
        """Begin the answer: store the question, and take the session. One round trip."""
        if self.begun is not None:
            raise ValueError("this answer has begun already: call answer() again for another one")
        self._background = self._session.transport.background()
        try:
            await self._background.finish(self._begin, LAST_CALL)
        except BaseException:
            if self.begun is not None:  # it was cancelled meanwhile
                await self._background.finish(lambda: self._end("interrupted"), LAST_CALL)
            raise
        await self._background.start(self._tend, self._listen)
        return self

    async def _begin(self) -> None:
        parts = await self._writer.encode(self._question)
        begins = answering.begins(self._name, self._token, self._lease, alone=self._alone)
        self.begun = await self._writer.store(parts, expected_version=self._expected, answer=begins)

    async def write(self, *chunks: Any) -> None:
        """Add to the answer. No round trip: what is written is sent a moment later, at most 20 times a second.

        Args:
            chunks: text, chunks of messages, or whole messages, as models and agents stream them. Of what LangGraph
                streams, write everything: tuples of a message and its metadata, with or without their mode and
                namespace, and parts of version 2. Other modes than "messages" are passed over, and so are messages that
                neither the model nor a tool wrote.

        Raises:
            ConflictError: the answer does not run any more, because the session was cleared or the lease was over.
            ValueError: a chunk is none of these, or the answer is not begun, or has ended.
        """
        if self.begun is None or self.status is not None:
            raise ValueError("write needs an answer that runs: use it within `async with history.answer() as draft:`")
        if self._lost is not None:
            raise self._lost
        for chunk in chunks:
            self._collector.add(chunk)
        if self._collector.has_news:
            self._background.wake()
        await self._background.checkpoint()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """End the answer: store its messages, in one atomic step. One round trip.

        Returns:
            Whether the error is what ends the body of an answer that was stopped.
        """
        interrupted = await self._background.stop(error)
        status: AnswerStatus = "stopped" if self.stopping else "complete"
        if error is not None and not interrupted:
            status = "failed" if isinstance(error, Exception) else "interrupted"
        if self._lost is not None:
            if not isinstance(self._lost, ConflictError):  # it runs still: nobody is to wait for the end of its lease
                with suppress(ChatMemError):
                    await self._background.finish(lambda: self._end("failed"), LAST_CALL)
            raise self._lost
        await self._background.finish(lambda: self._end(status), LAST_CALL)
        return interrupted

    async def _end(self, status: AnswerStatus) -> None:
        try:
            parts = await self._writer.encode(self._collector.finished(status))
        except EncodingError:
            await self._store([], "failed")
            raise
        await self._store(parts, status)

    async def _store(self, parts: Sequence[Encoded], status: AnswerStatus) -> None:
        """Store the finished messages, or an empty one if there are none."""
        ends = answering.ends(self._name, self._token)
        stored = parts or await self._writer.encode(finished(self.id, [], status))
        self.appended = await self._writer.store(stored, answer=ends)
        self.status = status

    async def _tend(self) -> None:
        """Send what was written, and renew the lease."""
        wait = self._background.wait
        await wait(BETWEEN_BATCHES, wakes=False)
        while self._lost is None:
            if not (self._collector.has_news or self._records):
                await wait(2 * self._patience if self._background.listens else min(self._patience, HEARTBEAT))
            try:
                await self._send()
            except UnavailableError:
                await wait(1.0, wakes=False)  # the transport has tried for a while: the lease may still hold
            except ChatMemError as error:
                self._give_up(error)
            await wait(BETWEEN_BATCHES, wakes=False)

    async def _send(self) -> None:
        if not self._records and self._collector.has_news:
            self._records = await packed(self._session, self._name, self._number + 1, self._collector.take())
        number = self._number + bool(self._records)
        read = self._calls.write(self._name, self._token, self._lease, number, self._records)
        for _ in range(ATTEMPTS):
            (reply,) = await self._session.send(read.command)
            refusal = answers.refusal(reply)
            if refusal is None:
                self._number, self._records = number, []
                if read.answer(reply[1:]).stop and not self.stopping:
                    self.stopping = True
                    self._background.interrupt()
                return
            if refusal.code == Code.MISSING:
                with self._session.named:
                    what = "the answer does not run any more: its lease was over, or the session was cleared"
                    raise ConflictError(what)
            await mend(self._session, refusal)
        raise cannot_mend(self._session)

    def _give_up(self, error: ChatMemError) -> None:
        self._lost = error
        self._background.interrupt()

    async def _listen(self) -> None:
        """Send at once when somebody asks for a stop, and often enough that the lease holds."""
        subscription = self._session.transport.subscribe(stop_channel_of(self._session.keys))
        try:
            while True:
                await subscription.next(self._patience, min(self._patience, HEARTBEAT))
                self._background.wake()
        finally:
            await subscription.aclose()
