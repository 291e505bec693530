"""Branches, summaries and annotations: random operations beside a model in plain Python, on every server."""

from __future__ import annotations

import random
from typing import Any

import pytest
from langchain_core import messages as lc

import chatmem
from tests import providers
from tests.branch_model import BranchModel
from tests.conftest import Connect

OLD, NEW = {"k1": bytes(range(32))}, {"k2": bytes(32)}
KEYS = chatmem.KeyRing(OLD)
STEPS = 32
SEALED: dict[str, Any] = {"encryption": KEYS}
WAYS: list[dict[str, Any]] = [{}, {"max_messages": 5}, SEALED, {**SEALED, "compression": "zstd"}]


class Walk:
    """Random operations on a session, each done to the model too."""

    def __init__(
        self, history: chatmem.History, rng: random.Random, most: int | None, model: BranchModel | None = None
    ) -> None:
        self.history, self.rng, self.most = history, rng, most
        self.model = model or BranchModel()
        self.asked: list[tuple[Any, ...]] = []
        """what was done, to be read where the test fails"""
        self._texts, self._name = 0, "u" if model else "t"

    def _text(self) -> str:
        self._texts += 1
        return f"{self._name}{self._texts}"

    def _messages(self) -> list[lc.BaseMessage]:
        """Return one to three questions, or a question and a tool exchange."""
        rng = self.rng
        if self.most is None and rng.random() < 0.3:
            call = self._text()
            calls: Any = [{"name": "look", "args": {}, "id": call}]
            question, result, answer = self._text(), self._text(), self._text()
            return [
                lc.HumanMessage(question),
                lc.AIMessage(call, tool_calls=calls),
                lc.ToolMessage(result, tool_call_id=call),
                lc.AIMessage(answer, id=answer),
            ]
        texts = [self._text() for _ in range(rng.randint(1, 3))]
        return [lc.HumanMessage(text, id=text if rng.random() < 0.6 else None) for text in texts]

    async def step(self) -> None:
        """Do one operation."""
        model, rng = self.model, self.rng
        tasks = ["append"] * 5
        if model.shown:
            tasks += ["branch"] * 3 + ["switch"] * 2 + ["truncate", "delete", "compact", "replace"]
            tasks += ["summarize"] * 2 + ["annotate"] * 2
        if len(model.branches) > 1:
            tasks.append("delete_branch")
        task = rng.choice(tasks)
        self.asked.append((task,))
        await getattr(self, f"_{task}")()

    async def _append(self) -> None:
        messages = self._messages()
        done = await self.history.append(*messages)
        assert done.first == self.model.next
        self.model.append([one.text for one in messages], self.most)

    async def _branch(self) -> None:
        after = self.rng.choice([-1, *self.model.shown])
        self.asked.append((after,))
        assert (await self.history.branch(after=after)).branch == self.model.branch(after)

    async def _switch(self) -> None:
        branch = self.rng.choice([*self.model.branches])
        self.asked.append((branch,))
        assert (await self.history.switch(branch)).branch == branch
        self.model.active = branch

    async def _delete_branch(self) -> None:
        branch = self.rng.choice([one for one in self.model.branches if one != self.model.active])
        self.asked.append((branch,))
        assert (await self.history.delete_branch(branch)).count == self.model.delete_branch(branch)

    async def _truncate(self) -> None:
        after = self.rng.randrange(-1, self.model.next)
        self.asked.append((after,))
        assert (await self.history.truncate(after=after)).count == self.model.truncate(after)

    async def _delete(self) -> None:
        seq = self.rng.choice([*self.model.log])
        self.asked.append((seq,))
        await self.history.delete(seq)
        self.model.delete(seq)

    async def _replace(self) -> None:
        seq, text = self.rng.choice([*self.model.log]), self._text()
        await self.history.replace(seq, lc.HumanMessage(text))
        self.model.log[seq] = text

    async def _compact(self) -> None:
        up_to = self.rng.choice(self.model.shown)
        texts = [self._text() for _ in range(self.rng.randint(1, 2))][: up_to + 1]
        self.asked.append((up_to, texts))
        try:
            done = await self.history.compact(up_to=up_to, replacement=[lc.HumanMessage(text) for text in texts])
        except ValueError as error:  # a tool exchange that stays leaves fewer positions than are needed
            assert "no more than" in str(error)  # noqa: PT017
            return
        assert done.count <= self.model.shown.index(up_to) + 1
        if done.count:
            self.model.compact(done.count, texts)

    async def _summarize(self) -> None:
        up_to, texts = self.rng.choice(self.model.shown), [self._text()]
        self.asked.append((up_to, texts))
        try:
            done = await self.history.summarize(up_to=up_to, summary=[lc.HumanMessage(texts[0])])
        except chatmem.ConflictError:
            assert self.model.boundary is not None
            assert self.model.is_summarized
            return
        if done.seq is not None:
            assert done.seq <= up_to
            self.model.summarize(done.seq, texts)

    async def _annotate(self) -> None:
        seq = self.rng.choice([*self.model.log])
        values: dict[str, Any] = {
            self.rng.choice("abc"): self.rng.choice([None, 1, [], {"x": [1.5]}, "ü\n\t"]) for _ in range(2)
        }
        self.asked.append((seq, values))
        entry = await self.history.get(seq)
        assert entry is not None
        by_id = entry.id is not None and self.rng.random() < 0.5
        await self.history.annotate(entry.id if by_id and entry.id else seq, values)
        note = {**self.model.notes.get(seq, {}), **values}
        self.model.notes[seq] = {key: value for key, value in note.items() if value is not None}

    async def check(self) -> None:
        """Compare everything that can be read with the model."""
        model, history, rng = self.model, self.history, self.rng
        assert [one.text for one in await history.messages()] == model.texts
        last = rng.randint(1, 6)
        assert [one.text for one in await history.messages(last=last)] == model.texts[-last:]
        assert await history.count() == (await history.info()).count == len(model.shown)
        every = [entry async for entry in history.entries(all_branches=True)]
        assert [(one.seq, one.message.text) for one in every if one.message] == sorted(model.log.items())
        assert {one.seq: one.annotations for one in every if one.annotations} == {
            seq: note for seq, note in model.notes.items() if note
        }
        await self._check_pages()
        await self._check_branches()
        await self._check_window()

    async def _check_pages(self) -> None:
        model = self.model
        for newest_first in (True, False):
            cursor: dict[str, int] = {}
            entries: list[chatmem.Entry] = []
            while True:
                page = await self.history.page(limit=self.rng.randint(1, 5), newest_first=newest_first, **cursor)
                entries += page.entries
                if page.next is None:
                    break
                cursor = {"before" if newest_first else "after": page.next}
            assert [one.seq for one in entries] == (model.shown[::-1] if newest_first else model.shown)
            for entry in entries:
                assert entry.annotations == model.notes.get(entry.seq, {})
                expected = model.siblings(entry.seq)
                if expected is None:
                    assert entry.siblings is None
                    continue
                assert entry.siblings is not None
                assert entry.siblings.index == expected[0]
                for branch, seq in zip(entry.siblings.branches, expected[1], strict=True):
                    assert seq in model.branches[branch]

    async def _check_branches(self) -> None:
        model = self.model
        if not model.log:
            return
        branches = await self.history.branches()
        assert {one.id: one.head for one in branches} == {n: (s[-1] if s else None) for n, s in model.branches.items()}
        assert [one.id for one in branches if one.active] == [model.active]
        assert [one.after is None for one in branches] == [True] + [False] * (len(branches) - 1)

    async def _check_window(self) -> None:
        model = self.model
        window = await self.history.window(messages=self.rng.choice([None, 4]), tokens=self.rng.choice([None, 50]))
        providers.check(window)
        whole = await self.history.window()
        providers.check(whole)
        words = [word for message in whole for word in message.text.split()]
        summary = await self.history.summary()
        behind = model.shown
        if model.boundary is not None and model.is_summarized:
            assert summary is not None
            assert [one.text for one in summary.messages] == model.summary
            assert words[: len(model.summary)] == model.summary
            words = words[len(model.summary) :]
            behind = [seq for seq in behind if seq > (model.boundary or 0)]
        else:
            assert summary is None
        assert [word for word in words if word != "(empty)"] == [w for w in words if w in {*map(model.log.get, behind)}]


@pytest.mark.parametrize("seed", range(4))
async def test_random_operations(connect: Connect, seed: int) -> None:
    """Whatever is appended, branched, switched, edited, compacted, summarized and annotated, all reads fit."""
    options = WAYS[seed % len(WAYS)]
    memory = connect(**options)
    rng = random.Random(seed)
    walk = Walk(memory.history(f"walk {seed}", user=rng.choice([None, "alice"])), rng, options.get("max_messages"))
    for _ in range(STEPS):
        await walk.step()
        await walk.check()


async def test_new_keys(connect: Connect) -> None:
    """Branches, summary and annotations are encrypted anew, and are the same after that."""
    ways: list[tuple[dict[str, Any], dict[str, bytes], dict[str, bytes]]] = [
        ({}, OLD, OLD),
        (SEALED, {**OLD, **NEW}, NEW),
    ]
    for before, after, only in ways:
        walk = Walk(connect(**before).history("new keys"), random.Random(1), None)
        for _ in range(STEPS):
            await walk.step()
        walk.history = connect(encryption=chatmem.KeyRing(after)).history("new keys")
        await walk.history.reencrypt()
        await walk.check()
        walk.history = connect(encryption=chatmem.KeyRing(only, read_plain=False)).history("new keys")
        await walk.check()
        await walk.history.clear()


@pytest.mark.parametrize("seed", range(4))
async def test_forks(connect: Connect, seed: int) -> None:
    """A fork has the annotations of what it copies, and the summary if that speaks of nothing else."""
    options = WAYS[seed % len(WAYS)]
    memory = connect(**options)
    rng = random.Random(seed)
    walk = Walk(memory.history(f"forked {seed}", user="alice"), rng, options.get("max_messages"))
    for number in range(STEPS // 4):
        for _ in range(4):
            await walk.step()
        model, place = walk.model, rng.randrange(len(walk.model.shown) + 1)
        copied = model.shown[:place] or model.shown
        up_to = copied[-1] if place and copied else None
        if not copied:
            continue
        fork = await walk.history.fork(f"fork {seed} {number}", up_to=up_to)
        entries = [entry async for entry in fork.entries()]
        expected = [(place, model.log[seq], model.notes.get(seq, {})) for place, seq in enumerate(copied)]
        assert [(one.seq, one.message and one.message.text, one.annotations) for one in entries] == expected
        assert [branch.id for branch in await fork.branches()] == [0]
        summary = await fork.summary()
        if model.boundary is None or not model.is_summarized or model.boundary > copied[-1]:
            assert summary is None
            continue
        known = sum(seq <= model.boundary for seq in copied)
        assert summary is not None
        assert summary.up_to == (known - 1 if known else None)
        assert [one.text for one in summary.messages] == model.summary
