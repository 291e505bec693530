"""What a process knows about the sessions it uses: its calls in flight, and which sessions hold messages."""

from __future__ import annotations

import itertools
import os
import secrets
import threading
from typing import NamedTuple

MOST_SEEN = 20_000
"""After so many sessions, `Seen` starts over."""


class Call(NamedTuple):
    """One call of a script that writes."""

    key: bytes
    number: int
    token: bytes
    """`writer:number:back`; see `recent.lua`"""


class Calls:
    """The calls in flight, by session.

    A client repeats a call that got no reply, so the server has to remember what each call did, as long as it may be
    repeated. To tell the server when that ends, each call carries the lowest number of this process' calls to the
    session that are still in flight. The server forgets those below it, and refuses them if they arrive late.

    You may use it from many threads, from a signal handler, and after a fork.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may write while its thread is in `begin`
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._process = os.getpid()
        self._writer = secrets.token_hex(3)
        self._numbers = itertools.count(1)
        self._beginning = 0
        self._open: dict[bytes, dict[int, None]] = {}

    def begin(self, key: bytes) -> Call:
        """Return a new call for a script that writes to the session with this key."""
        with self._lock:
            if os.getpid() != self._process:
                self._begin_anew()
            # A signal handler may call this between any two lines. The call that it interrupts may have a lower number.
            self._beginning += 1
            try:
                calls = self._open.setdefault(key, {})
                number = next(self._numbers)
                calls[number] = None
                floor = min(calls) if self._beginning == 1 else 0
            finally:
                self._beginning -= 1
            return Call(key, number, b"%b:%x:%x" % (self._writer.encode(), number, number - floor))

    def end(self, call: Call) -> None:
        """Note that a call has ended, with or without an error: nobody will repeat it."""
        with self._lock:
            calls = self._open.get(call.key, {})
            calls.pop(call.number, None)
            if not calls and not self._beginning:
                self._open.pop(call.key, None)


class Seen:
    """Sessions of which something was seen, as a hint: that they hold messages, or that they have marks."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()

    def add(self, key: bytes) -> None:
        """Note it of a session."""
        if len(self._keys) >= MOST_SEEN:
            self._keys = set()
        self._keys.add(key)

    def __contains__(self, key: bytes) -> bool:
        return key in self._keys

    def discard(self, key: bytes) -> None:
        """Forget it of a session."""
        self._keys.discard(key)
