"""Would a cache of decoded messages pay? `python -m benchmarks.cached` tells.

A caller may change the messages it was given, content and tool calls included, so a cache would have to hand out
copies. This sets the time of the cheapest such copies, from templates made once, against that of decoding the records
again: what a cache could save.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import chain, islice
from typing import Any

from langchain_core.messages import BaseMessage

from chatmem.codec import plain, record
from chatmem.codec.messages import _build
from tests.samples import conversations

MESSAGES, TIMES, RUNS = 50, 400, 15


class Template:
    """A message, taken apart so that copies of it are made as fast as Python can."""

    def __init__(self, message: BaseMessage) -> None:
        self._cls = type(message)
        self._values = dict(message.__dict__)
        self._names = frozenset(message.model_fields_set)
        self._containers = [name for name, value in self._values.items() if isinstance(value, dict | list)]

    def copy(self) -> BaseMessage:
        """Return an equal message that shares nothing with any other which could be changed."""
        values = self._values.copy()
        for name in self._containers:
            values[name] = _copy(values[name])
        return _build(self._cls, values, set(self._names), {}, None)


def _copy(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copy(item) for key, item in value.items()} if value else {}
    if type(value) is list:
        return [_copy(item) for item in value] if value else []
    return value


def microseconds(do: Callable[[], object]) -> float:
    """Return the best of some runs: what else the machine does only ever adds."""
    best = float("inf")
    for _ in range(RUNS):
        began = time.perf_counter()
        for _ in range(TIMES):
            do()
        best = min(best, time.perf_counter() - began)
    return best / TIMES * 1e6


def main() -> None:
    """Print what decoding and copying the messages of a turn take."""
    messages = list(islice(chain.from_iterable(conversations().values()), MESSAGES))
    elements = [b"%d:%b" % (i, record.encode(one, i, 0).record) for i, one in enumerate(messages)]
    templates = [Template(one) for one in messages]
    decoding = microseconds(lambda: plain.decode_messages(elements))
    copying = microseconds(lambda: [template.copy() for template in templates])
    print(f"{MESSAGES} messages: decoded {decoding:.0f} us, copied {copying:.0f} us, {copying / decoding:.2f} of it")


if __name__ == "__main__":
    main()
