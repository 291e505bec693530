"""Random operations against the plainest model of a conversation: a list of positions and messages in Python."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem.transports.driving import drive
from tests.exchanges import conversations, halves

_numbers = itertools.count()


class Conversation(RuleBasedStateMachine):
    """Every rule does the same to chatmem and to the model; the invariants compare all that can be read."""

    url = ""
    compression: Any = None

    @initialize(most=st.none() | st.integers(1, 12))
    def begin(self, most: int | None) -> None:
        self.most = most
        self.memory = chatmem.sync.connect(
            self.url, prefix=f"model-{next(_numbers)}", ttl=600, max_messages=most, compression=self.compression
        )
        self.history = self.memory.history("s")
        self.model: list[tuple[int, lc.BaseMessage]] = []
        self.next = self.version = self.names = self.pinned = 0
        self.complete = True

    def teardown(self) -> None:
        if hasattr(self, "memory"):
            self.history.clear()
            self.memory.close()

    def named(self, message: lc.BaseMessage) -> lc.BaseMessage:
        self.names += 1
        return message.model_copy(update={"id": f"m{self.names}"})

    def whole(self, index: int) -> int:
        """Return where the model can be cut, at this index or before it."""
        at = min(index, len(self.model) - 1)
        while at > 0 and self.model[at][1].type == "tool":
            at -= 1
        last_waits = bool(getattr(self.model[at][1], "tool_calls", None)) if self.model else False
        return at if index < len(self.model) or last_waits else len(self.model)

    def trim(self) -> None:
        if self.most is None or not self.model:
            return
        cut = self.whole(max(len(self.model) - self.most, 0))
        head = [one for one in self.model if one[0] < self.pinned]
        if not head and self.model[0][1].type == "system":
            head = self.model[:1]
        if cut > len(head):
            self.model = head + self.model[cut:]

    @rule(messages=conversations(complete=True), with_ids=st.booleans())
    def append(self, messages: list[lc.BaseMessage], with_ids: bool) -> None:
        messages = [self.named(message) if with_ids else message for message in messages]
        done = self.history.append(*messages, expected_version=self.version)
        self.model += [(self.next + i, message) for i, message in enumerate(messages)]
        self.next += len(messages)
        self.version += bool(messages)
        if messages:
            self.trim()
        assert done.version == self.version

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def append_again(self, data: st.DataObject) -> None:
        seq, message = data.draw(st.sampled_from(self.model))
        if message.id is not None:
            assert self.history.append(message) == chatmem.Appended(self.version, seq, seq, 1)

    @precondition(lambda self: self.model)
    @rule(data=st.data(), by_id=st.booleans())
    def replace(self, data: st.DataObject, by_id: bool) -> None:
        index = data.draw(st.integers(0, len(self.model) - 1))
        seq, old = self.model[index]
        if old.type in ("tool", "ai"):  # another would tear the exchange
            return
        new = self.named(type(old)("new"))
        done = self.history.replace(old.id if by_id and old.id else seq, new)
        self.version += 1
        assert done == chatmem.Edited(self.version, seq, 1)
        self.model[index] = (seq, new)

    @rule(data=st.data(), text=st.text(max_size=5))
    def put(self, data: st.DataObject, text: str) -> None:
        known = [
            (index, message) for index, (_, message) in enumerate(self.model) if message.id and message.type == "human"
        ]
        self.version += 1
        over: bool = data.draw(st.booleans())
        if known and over:
            index, old = data.draw(st.sampled_from(known))
            new: lc.BaseMessage = lc.HumanMessage(text, id=old.id)
            seq = self.model[index][0]
            self.model[index] = (seq, new)
            assert self.history.put(new) == chatmem.Edited(self.version, seq, 1)
        else:
            new = self.named(lc.HumanMessage(text))
            self.model.append((self.next, new))
            self.next += 1
            assert self.history.put(new) == chatmem.Edited(self.version, self.next - 1, 0)
            self.trim()

    @precondition(lambda self: self.model)
    @rule(data=st.data(), by_id=st.booleans())
    def delete(self, data: st.DataObject, by_id: bool) -> None:
        index = data.draw(st.integers(0, len(self.model) - 1))
        seq, old = self.model[index]
        if old.type in ("tool", "ai"):
            return
        done = self.history.delete(old.id if by_id and old.id else seq)
        self.version += 1
        assert done == chatmem.Edited(self.version, seq, 1)
        del self.model[index]
        assert self.history.delete(seq).count == 0

    @rule(after=st.integers(-1, 60))
    def truncate(self, after: int) -> None:
        kept = [one for one in self.model if one[0] <= after]
        removed = len(self.model) - len(kept)
        self.version += removed > 0
        assert self.history.truncate(after=after).count == removed
        self.complete = self.complete and not halves([message for _, message in kept])
        self.model = kept

    @rule(first=st.integers(0, 60), length=st.integers(0, 60), count=st.integers(0, 2))
    def keep(self, first: int, length: int, count: int) -> None:
        writer = self.memory.core.writer("s", blocking=True)
        added = [self.named(lc.HumanMessage("instead")) for _ in range(count)]
        last = first + length - 1
        kept = [one for one in self.model if first <= one[0] <= last]
        removed = len(self.model) - len(kept)
        self.version += removed + count > 0
        done = drive(writer.keep(first, last, drive(writer.encode(added)), expected_version=None))
        assert done == chatmem.Edited(self.version, self.next if count else None, removed)
        self.complete = self.complete and not halves([message for _, message in kept])
        self.model = kept + list(enumerate(added, self.next))
        self.next += count

    @precondition(lambda self: self.model)
    @rule(data=st.data(), count=st.integers(0, 2))
    def compact(self, data: st.DataObject, count: int) -> None:
        index = data.draw(st.integers(0, len(self.model) - 1))
        seq = self.model[index][0]
        cut = self.whole(index + 1)
        summary = [self.named(lc.AIMessage("summary")) for _ in range(count)]
        if cut and count > self.model[cut - 1][0] + 1:
            with pytest.raises(ValueError, match="no more than"):
                self.history.compact(up_to=seq, replacement=summary)
            return
        self.version += cut > 0
        assert self.history.compact(up_to=seq, replacement=summary, expected_version=None).count == cut
        if cut:
            self.pinned = count
            self.model = list(enumerate(summary)) + self.model[cut:]

    @invariant()
    def the_same_messages(self) -> None:
        if not hasattr(self, "model"):
            return
        entries = list(self.history.entries())
        assert [(entry.seq, entry.message) for entry in entries] == self.model
        info = self.history.info()
        assert (info.version, info.count) == (self.version, len(self.model))

    @invariant()
    def the_same_by_id_and_position(self) -> None:
        if not hasattr(self, "model"):
            return
        for seq, message in self.model:
            found = self.history.get(seq)
            assert found is not None
            assert found.message == message
            if message.id is not None:
                found = self.history.get(message.id)
                assert found is not None
                assert found.seq == seq
        if self.model:
            middle = self.model[len(self.model) // 2][0]
            older = [entry.seq for entry in self.history.page(before=middle, limit=3).entries]
            assert older == [seq for seq, _ in self.model if seq < middle][::-1][:3]
            newer = [entry.seq for entry in self.history.page(after=middle, limit=3, newest_first=False).entries]
            assert newer == [seq for seq, _ in self.model if seq > middle][:3]

    @invariant()
    def no_half_exchanges(self) -> None:
        if hasattr(self, "model"):
            assert not halves(self.history.window(messages=5))
            assert not (self.complete and halves(self.history.messages()))


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_random_operations(url: str, compression: Any) -> None:
    """On a server, plain and compressed."""
    machine: Any = type("Machine", (Conversation,), {"url": url, "compression": compression})
    test = machine.TestCase
    test.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
    test().runTest()


def test_random_operations_over_rest(rest_url: str) -> None:
    """Over REST, where records are in base64, and the scripts read them there."""
    machine: Any = type("Machine", (Conversation,), {"url": rest_url})
    test = machine.TestCase
    test.settings = settings(max_examples=10, stateful_step_count=15, deadline=None)
    test().runTest()


@pytest.fixture(scope="module")
def rest_url() -> Any:
    from contextlib import ExitStack

    from tests.conftest import start
    from tests.servers import SERVERS

    with ExitStack() as stack:
        yield start(next(server for server in SERVERS if "Upstash" in server.name), stack)
