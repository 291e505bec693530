"""Answers over connections that fail at any moment: each is stored at most once, none in part twice, and none hangs.

Fifty faults a row by default; `CHATMEM_FAULTS=5000 CHATMEM_SEED=7 pytest -s tests/test_answer_faults.py` for more. `-s`
shows the table.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from langchain_core import messages as lc

import chatmem
import chatmem.sync
from chatmem.backends import upstash
from tests.coroutines import as_coroutines
from tests.faults import Schedule
from tests.test_faults import KEYS, PATIENCE, ROWS, SEED, Row, Site, over_redis

FAULTS = int(os.environ.get("CHATMEM_FAULTS", "50"))
PRODUCERS = 6
LEASE = 3.0
WORDS = [f"{number} " for number in range(12)]


@dataclass
class Ledger:
    """What became of the answers."""

    ended: Counter[str] = field(default_factory=Counter)
    raised: int = 0
    wrong: list[str] = field(default_factory=list)


class Producer:
    """Asks and answers in a session of its own, again and again, until the schedule is over."""

    def __init__(self, number: int, memory: chatmem.ChatMemory, site: Site, ledger: Ledger) -> None:
        self._history = memory.history(f"s{number}", user=f"u{number}" if number % 2 else None)
        self._site, self._ledger = site, ledger
        self.answered: list[str] = []
        self.turn = 0

    async def run(self) -> None:
        while not self._site.schedule.is_over:
            await self._answer(f"a{self.turn}")
            self.turn += 1

    async def _answer(self, answer: str) -> None:
        question = lc.HumanMessage("q", id=f"q{answer}")
        try:
            async with self._history.answer(question, id=answer, lease=LEASE, alone=self.turn % 3 > 0) as draft:
                for word in WORDS:
                    await draft.write(word)
                    await asyncio.sleep(0.02)
        except (chatmem.UnavailableError, chatmem.ConflictError):
            self._ledger.raised += 1  # it may run, or have ended, or never have begun
        else:
            self.answered.append(answer)
            self._ledger.ended[str(draft.status)] += 1


def check(producer: Producer, messages: list[lc.BaseMessage], ledger: Ledger, number: int) -> None:
    """Compare what a session holds with what its producer was told."""
    ids = Counter(one.id for one in messages)
    ledger.wrong += [f"s{number}: {one} is there {times} times" for one, times in ids.items() if times > 1]
    found = {str(one.id): one for one in messages}
    for turn in range(producer.turn):
        answer, text = found.get(f"a{turn}"), "".join(WORDS)
        if (answer is None) != (f"qa{turn}" not in found):
            ledger.wrong.append(f"s{number}: of a{turn} there is only the question, or only the answer")
        elif answer is None and f"a{turn}" in producer.answered:
            ledger.wrong.append(f"s{number}: a{turn} is lost")
        elif answer is not None and f"a{turn}" in producer.answered and answer.text != text:
            ledger.wrong.append(f"s{number}: of a{turn} there is {answer.text!r}")
        elif answer is not None and not text.startswith(answer.text):
            ledger.wrong.append(f"s{number}: a{turn} is {answer.text!r}")
        elif answer is not None and answer.text != text and answer.response_metadata != {"answer": "interrupted"}:
            ledger.wrong.append(f"s{number}: a{turn} is cut off, and says {answer.response_metadata}")


def follow(site: Site, session: str, answers: list[str], ledger: Ledger) -> None:
    """Follow each answer that was given; the parts are the whole."""
    with chatmem.sync.connect(site.direct_url(), encryption=KEYS) as direct:
        for answer in answers:
            *_, last = direct.history(session).follow(answer, timeout=5)
            if (last.status, last.messages[0].text) != ("complete", "".join(WORDS)):
                ledger.wrong.append(f"{session}: the end of {answer} is {last}")


@pytest.fixture(scope="module")
def table() -> Iterator[list[str]]:
    """Lines of figures, printed at the end."""
    lines: list[str] = []
    yield lines
    print("", *lines, sep="\n")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_answers_under_faults(row: Row, table: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was acknowledged is there once and whole; what raised at most once, and no session waits for it for ever."""
    monkeypatch.setitem(upstash.TIMEOUTS, "timeout", PATIENCE)
    monkeypatch.setitem(upstash._CLIENT, "rest_retry_interval", 0.01)
    schedule, ledger = Schedule(f"{SEED} {row.name}", FAULTS, weights=row.weights), Ledger()
    with row.site(schedule) as site:
        opened: Any = site.open(blocking=row.blocking, **row.options)
        memory = as_coroutines(opened) if row.blocking else opened
        producers = [Producer(number, memory, site, ledger) for number in range(PRODUCERS)]
        if row.blocking:  # a thread each
            await asyncio.gather(*(asyncio.to_thread(asyncio.run, one.run()) for one in producers))
        else:
            await asyncio.gather(*(one.run() for one in producers))
        await memory.aclose()
        await site.aclose()
        await asyncio.to_thread(site.settle)  # connections close only while the loop runs
        time.sleep(LEASE)  # noqa: ASYNC251 - nothing else runs
        with chatmem.sync.connect(site.direct_url(), encryption=KEYS) as direct:
            for number, producer in enumerate(producers):
                history = direct.history(f"s{number}")
                check(producer, history.messages(), ledger, number)
                if history.info().answers:
                    ledger.wrong.append(f"s{number}: an answer still runs")
                follow(site, f"s{number}", producer.answered, ledger)
    table.append(
        f"{row.name}: {schedule.drawn.total()} faults, {sum(one.turn for one in producers)} answers "
        f"({', '.join(f'{name} {count}' for name, count in ledger.ended.items())}), {ledger.raised} raised, "
        f"{len(ledger.wrong)} wrong"
    )
    assert ledger.wrong == []
    assert schedule.drawn.total() >= FAULTS


class Nth(Schedule):
    """Fails one command in one way, and no other."""

    def __init__(self, number: int, kind: str) -> None:
        super().__init__(0, 1)
        self._left, self._kind = number, kind

    def draw(self, request: bytes) -> str | None:
        self._left -= 1
        if self._left:
            return None
        self.drawn[self._kind] += 1
        return self._kind


@pytest.mark.parametrize("kind", ["cut before", "cut after", "half a reply", "swallow", "stall"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
async def test_a_reply_that_is_lost(kind: str, number: int) -> None:
    """Of the begin, a batch or the end: it is sent again, and nothing is stored or told twice."""
    schedule = Nth(number, kind)
    with over_redis(schedule) as site:
        async with site.open(blocking=False) as memory, chatmem.connect(site.direct_url()) as direct:
            async with memory.history("a").answer(lc.HumanMessage("q", id="q"), id="x") as draft:
                reader = asyncio.create_task(_parts(direct.history("a")))
                for word in WORDS:
                    await draft.write(word)
                    await asyncio.sleep(0.02)
            await asyncio.to_thread(site.settle)  # connections close only while the loop runs
            parts = await reader
            assert await direct.history("a").messages() == [
                lc.HumanMessage("q", id="q"),
                lc.AIMessage("".join(WORDS), id="x"),
            ]
            told = "".join(message.text for part in parts[:-1] for message in part.messages)
            assert "".join(WORDS).startswith(told)
            assert parts[-1].messages[0].text == "".join(WORDS)
            assert (await direct.history("a").info()).version == 2
    assert schedule.drawn.total() == 1


async def _parts(history: chatmem.History) -> list[chatmem.Chunk]:
    return [part async for part in history.follow("x", timeout=20)]
