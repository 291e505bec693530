"""Random operations beside random damage: keys that are deleted, put back, or expire, other owners, other clocks.

The model knows what was acknowledged. Whatever is done to the keys, nothing of it may be lost without an error, nobody
may read another's messages, no version may be given twice, and every window must be one that providers take.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem.codec import record
from chatmem.core.keys import session_keys
from tests.providers import check_anthropic, check_gemini, check_openai

_numbers = itertools.count()
_now = record.now
PARTS = ("messages", "ids", "state")
STARTS = [
    lc.HumanMessage("hi"),
    lc.AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "call_0"}]),
    lc.ToolMessage("r", tool_call_id="call_0"),
    lc.AIMessage("done"),
    lc.SystemMessage("be kind"),
]


class TornSession(RuleBasedStateMachine):
    """Alice's session, whose keys suffer; and bob, who tries to get at it."""

    url = ""

    @initialize()
    def begin(self) -> None:
        self.prefix = f"torn-{next(_numbers)}"
        self.raw = redis.Redis.from_url(self.url)
        self.keys = session_keys(self.prefix, "s")
        self.memory = chatmem.sync.connect(self.url, prefix=self.prefix, ttl=600)
        self.alice = self.memory.history("s", user="alice")
        self.texts: list[tuple[str, str | None]] = []
        self.versions: set[int] = set()
        self.touched = set[str]()  # what was done to keys since the last time all was well
        self.saved: dict[str, bytes] = {}
        self.names = 0

    def teardown(self) -> None:
        record.now = _now
        if hasattr(self, "memory"):
            self.memory.history("s").clear()
            self.memory.close()
            self.raw.close()

    def tried(self, change: Callable[[], Any], after: Callable[[], None]) -> None:
        """Do a change; where it is acknowledged, the model follows. A torn session may refuse it."""
        try:
            done = change()
        except chatmem.TornSessionError:
            assert self.touched
            return
        except chatmem.NotFoundError:  # its owner cannot be known any more; or the message went with its key
            assert self.touched
            return
        after()
        if isinstance(done, chatmem.Appended) or done.count:
            assert done.version not in self.versions
            self.versions.add(done.version)

    def restart(self) -> None:
        self.texts, self.versions, self.touched, self.saved = [], set(), set(), {}

    @rule(kind=st.integers(0, len(STARTS) - 1), with_id=st.booleans(), key=st.booleans())
    def append(self, kind: int, with_id: bool, key: bool) -> None:
        self.names += 1
        name = f"m{self.names}" if with_id else None
        message = STARTS[kind].model_copy(update={"id": name, "content": f"alice {self.names}"})
        if self.gone("messages") and self.gone("state") and self.touched:
            self.restart()  # nothing is left of it, or only its index: it begins anew
        self.tried(
            lambda: self.alice.append(message, idempotency_key=f"k{self.names}" if key else None),
            lambda: self.texts.append((f"alice {self.names}", name)),
        )

    @precondition(lambda self: self.texts)
    @rule(data=st.data())
    def append_again(self, data: st.DataObject) -> None:
        """A message with an id that was acknowledged is stored once, or its session says that it is torn."""
        text, name = data.draw(st.sampled_from(self.texts))
        if name is None or (self.gone("messages") and self.gone("state")):
            return
        try:
            entry = self.alice.get(name)
        except (chatmem.TornSessionError, chatmem.NotFoundError):
            return
        if entry is not None and entry.message is not None:
            assert entry.message.content == text
            assert self.alice.append(entry.message).duplicates == 1

    @precondition(lambda self: self.texts)
    @rule(data=st.data(), by_id=st.booleans())
    def delete(self, data: st.DataObject, by_id: bool) -> None:
        index = data.draw(st.integers(0, len(self.texts) - 1))
        name = self.texts[index][1]
        if not by_id or name is None:
            return
        self.tried(lambda: self.alice.delete(name), lambda: self.texts.pop(index) and None)

    @precondition(lambda self: self.texts)
    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.texts) - 1))
        name = self.texts[index][1]
        if name is not None:
            self.tried(lambda: self.alice.truncate(after=name), lambda: self.cut(index + 1))

    def cut(self, length: int) -> None:
        del self.texts[length:]

    @rule()
    def clear(self) -> None:
        self.memory.history("s").clear()
        assert all(self.gone(part) for part in PARTS)
        self.restart()

    @rule()
    def forget(self) -> None:
        listed = any(one.session_id == "s" for one in self.memory.sessions("alice").sessions)
        self.memory.forget("alice")
        if listed:
            assert all(self.gone(part) for part in PARTS)
            self.restart()

    @rule()
    def save(self) -> None:
        """Keep what lies there now, to put parts of it back later."""
        if not self.touched:
            self.saved = {part: dump for part in PARTS if (dump := self.raw.dump(getattr(self.keys, part)))}

    @rule(part=st.sampled_from(PARTS), expires=st.booleans())
    def lose(self, part: str, expires: bool) -> None:
        key = getattr(self.keys, part)
        if self.raw.exists(key):
            self.raw.pexpire(key, 1) if expires else self.raw.delete(key)
            while self.raw.exists(key):
                pass
            self.touched.add(part)

    @precondition(lambda self: self.saved)
    @rule(part=st.sampled_from(PARTS))
    def put_back(self, part: str) -> None:
        """A restore in part: of an earlier moment, or of what was just lost."""
        dump = self.saved.get(part)
        if dump is not None and part != "messages":  # an older list alone is the "other" of test_torn.py
            self.raw.restore(getattr(self.keys, part), 600_000, dump, replace=True)
            self.touched.add(part)

    @rule(minutes=st.sampled_from((-10, 0, 10)))
    def clocks_differ(self, minutes: int) -> None:
        record.now = lambda: _now() + minutes * 60_000_000

    @rule()
    def bob_writes(self) -> None:
        if self.texts or self.touched:
            with pytest.raises((chatmem.NotFoundError, chatmem.TornSessionError)):
                if self.gone("messages") and self.gone("state"):
                    raise chatmem.NotFoundError("there is nothing of alice's to get at")
                self.memory.history("s", user="bob").append("bob")

    def gone(self, part: str) -> bool:
        return not self.raw.exists(getattr(self.keys, part))

    @invariant()
    def bob_reads_nothing(self) -> None:
        if hasattr(self, "memory"):
            bob = self.memory.history("s", user="bob")
            for read in (bob.messages, bob.window, lambda: bob.page().entries, lambda: bob.search("alice")):
                with contextlib.suppress(chatmem.NotFoundError, chatmem.TornSessionError):
                    assert not read()

    @invariant()
    def nothing_is_lost_in_silence(self) -> None:
        if not hasattr(self, "memory"):
            return
        try:
            found = [message.content for message in self.memory.history("s").messages()]
        except chatmem.TornSessionError:
            assert self.touched
            return
        if found or not all(self.gone(part) for part in PARTS):
            assert found == [text for text, _ in self.texts]
        else:
            assert not self.texts or self.touched

    @invariant()
    def windows_can_be_sent(self) -> None:
        if hasattr(self, "memory"):
            try:
                window = self.memory.history("s").window(messages=6)
            except chatmem.TornSessionError:
                return
            for check in (check_openai, check_anthropic, check_gemini):
                if window:
                    check(window)


def test_random_damage(url: str) -> None:
    """On a server, through the blocking facade."""
    machine: Any = type("Machine", (TornSession,), {"url": url})
    test = machine.TestCase
    test.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
    test().runTest()
