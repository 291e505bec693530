"""What a process spends its CPU on, by samples of the code that runs."""

from __future__ import annotations

import signal
from collections import Counter
from functools import cache
from types import CodeType, FrameType, TracebackType
from typing import Self

SAMPLED = ("parse", "decode", "encode", "event loop", "client")
"""The parts of user time that samples tell apart. The event loop's is what tasks, futures and its transports take, and
the client's all the rest, the program's own coroutines included."""
COLLECTOR = "collector"
"""The part of a sample that had to wait for a collection to end. It does not count: collections are timed."""
PLACES = (
    ("transports/multiplexed.py:MultiplexedConnection.data_received", "parse"),
    ("/redis/_parsers/", "parse"),
    ("systems/by_hand.py:System._reply", "parse"),
    ("worker.py:Measured._note_collection", COLLECTOR),
    ("codec/plain.py:decode_messages", "decode"),
    ("core/decoder.py:", "decode"),
    ("codec/record.py:encode", "encode"),
    ("core/writer.py:Writer.encode", "encode"),
    ("/json/__init__.py:loads", "decode"),
    ("/json/__init__.py:dumps", "encode"),
    ("/redis/", "client"),  # before asyncio: redis-py has a folder of that name
    ("/asyncio/", "event loop"),
    ("/selectors.py:", "event loop"),
    ("/chatmem/codec/", None),
    ("/json/", None),
    ("/langchain_core/", None),
    ("/pydantic/", None),
)
"""Where code stands, and its part. None: that of its caller, as other parts use it too."""
EVERY = 0.001
"""Seconds of user time between two samples, at best; by the system's clock it is four to ten times that."""


class Sampler:
    """Notes where the main thread is, from now until `stop`, while the context is entered, once or again and again.

    The timer goes on between two entries: the system starts it late, by more than a short entry takes.
    """

    def __init__(self) -> None:
        self._counted: Counter[str] = Counter()
        self._counts = False
        signal.signal(signal.SIGVTALRM, self._note)
        signal.setitimer(signal.ITIMER_VIRTUAL, EVERY, EVERY)

    def stop(self) -> dict[str, float]:
        """Return what part of the samples each part has. Without a sample, all is the client's."""
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        del self._counted[COLLECTOR]
        counted = self._counted or Counter({SAMPLED[-1]: 1})
        return {name: counted[name] / counted.total() for name in SAMPLED}

    def __enter__(self) -> Self:
        self._counts = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._counts = False

    def _note(self, _number: int, frame: FrameType | None) -> None:
        """Count the part of the innermost function that has one."""
        while self._counts and frame is not None:
            part = _part(frame.f_code)
            if part is not None:
                self._counted[part] += 1
                return
            frame = frame.f_back


@cache
def _part(code: CodeType) -> str | None:
    place = f"{code.co_filename}:{code.co_qualname}"
    return next((part for fragment, part in PLACES if fragment in place), "client")
