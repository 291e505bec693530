"""What a process knows of the sessions that it works with: its calls under way, and which sessions hold messages."""

from __future__ import annotations

import itertools
import os
import secrets
import threading
from typing import NamedTuple

MOST_SEEN = 20_000


class Call(NamedTuple):
    """One call of a script that writes."""

    key: bytes
    number: int
    token: bytes
    """`writer:number:floor`; see `recent.lua`"""


class Calls:
    """The calls under way, by session: a server remembers what they did for as long as they may be sent again.

    Each call says which is the lowest number of this process that is still under way there. What arrives under a lower
    one is late, and is refused. Safe to use from many threads, from a signal handler, and after a fork.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may write while its own thread begins a call
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._process = os.getpid()
        self._writer = secrets.token_hex(3)
        self._numbers = itertools.count(1)
        self._beginning = 0
        self._open: dict[bytes, dict[int, None]] = {}

    def begin(self, key: bytes) -> Call:
        """Return a new call that writes to a session."""
        with self._lock:
            if os.getpid() != self._process:
                self._begin_anew()
            # A signal handler may begin a call at any of these lines: what it interrupts may have a lower number then.
            self._beginning += 1
            try:
                calls = self._open.setdefault(key, {})
                number = next(self._numbers)
                calls[number] = None
                floor = min(calls) if self._beginning == 1 else 0
            finally:
                self._beginning -= 1
            return Call(key, number, b"%b:%x:%x" % (self._writer.encode(), number, floor))

    def end(self, call: Call) -> None:
        """Take a call as over, however it ended: nobody sends it again."""
        with self._lock:
            calls = self._open.get(call.key, {})
            calls.pop(call.number, None)
            if not calls and not self._beginning:
                self._open.pop(call.key, None)


class Seen:
    """Which sessions were seen to hold messages. A hint: such a one may be read by a command, without a script."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()

    def add(self, key: bytes) -> None:
        """Note that a session holds messages."""
        if len(self._keys) >= MOST_SEEN:
            self._keys = set()
        self._keys.add(key)

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys
