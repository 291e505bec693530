"""Ends an answer whose producer is gone: stores what there is of it."""

from __future__ import annotations

import logging

from langchain_core.messages import BaseMessage

from chatmem.core.answering.batches import unpacked
from chatmem.core.answering.collecting import finished, joined
from chatmem.core.decoder import Decoder
from chatmem.core.encoding import arguments_of, encode, sealed_for
from chatmem.core.keys import name_of, stream_of
from chatmem.core.session import ATTEMPTS, Session, answer_keys
from chatmem.errors import EncodingError
from chatmem.scripts import Command, answering, answers, calls
from chatmem.scripts.answers import Code, Refusal, Running
from chatmem.scripts.calls import Shared

_logger = logging.getLogger("chatmem")

ENTRIES_PER_CALL = 1000
"""How many entries of the stream a call looks at."""


async def settle(session: Session, answer: bytes, token: bytes) -> None:
    """Store what there is of an answer whose lease is over, as interrupted, unless somebody else ends it first.

    Args:
        session: the session.
        answer: its id.
        token: names its producer.
    """
    drained = await _drained(session, answer, token)
    if drained is None:
        return
    messages, number = drained
    try:
        parts = await encode(session, finished(name_of(answer), joined(messages), "interrupted"))
    except EncodingError as error:  # nobody else can store it either, and the session must go on
        _logger.warning("an interrupted answer cannot be stored, and is left empty: key %s: %s", session.key, error)
        parts = await encode(session, finished(name_of(answer), [], "interrupted"))
    start = session.next_position
    most = b"" if session.policy.max_messages is None else b"%d" % session.policy.max_messages
    for _ in range(ATTEMPTS):
        places = range(start, start + len(parts))
        arguments = await arguments_of(session, parts, places)
        sealed = await sealed_for(session, places)

        def command(shared: Shared, sealed: bytes = sealed, arguments: list[bytes] = arguments) -> Command:
            return calls.append(
                answer_keys(session),
                shared,
                arguments,
                max_messages=most,
                sealed_for=sealed,
                answer=answering.ends(answer, token, number),
            )

        done = await session.write(command, "CH")
        if not isinstance(done, Refusal) or done.code != Code.MOVED:
            return  # done, or the call that met it meets what is in the way, too
        start = done.details[0]


async def _drained(session: Session, answer: bytes, token: bytes) -> tuple[list[BaseMessage], int] | None:
    """Return what there is of an answer, and the number of its last batch; None if it does not run any more."""
    asking = answering.Asking((*session.keys, stream_of(session.keys)), session.user_name, session.claim)
    decoder, messages, after, number = Decoder(session), list[BaseMessage](), b"", None
    while number is None:
        read = asking.drain(answer, after, ENTRIES_PER_CALL, token)
        (reply,) = await session.run(read.command)
        if answers.refusal(reply):
            return None
        part = read.answer(reply[1:])
        if not isinstance(part, Running):
            return None
        for _, batch, records in part.entries:
            messages += await unpacked(decoder, answer, int(batch), records)
        after, number = part.last, None if part.more else part.told
    return messages, number
