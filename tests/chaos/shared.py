"""Sessions to which all workers append at once: with ids, with a key, with neither, bound to a version."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from langchain_core import messages as lc

import chatmem
from tests.chaos.journal import Journal, Line
from tests.chaos.story import AGAIN, Tally

SESSIONS = 6
USER = "everyone"
HOWS = ("ids", "key", "neither", "version")


def name_of(number: int) -> str:
    return f"shared {number}"


async def append(memory: chatmem.ChatMemory, rng: random.Random, journal: Journal, tally: Tally) -> None:
    """Append a few messages, and keep what was said of it. What may be sent again is, until it is acknowledged."""
    session, how = name_of(rng.randrange(SESSIONS)), rng.choice(HOWS)
    texts = [f"shared {rng.getrandbits(48):x}" for _ in range(rng.randint(1, 3))]
    with_ids = how == "ids" or (how == "version" and rng.random() < 0.5)
    journal.write(shared=session, texts=texts)
    history = memory.history(session, user=USER)
    given = [lc.HumanMessage(text, id=text if with_ids else None) for text in texts]
    key = texts[0] if how == "key" else None
    expected: int | None = None
    while True:
        try:
            if how == "version" and expected is None:
                expected = (await history.info()).version
            done = await history.append(*given, idempotency_key=key, expected_version=expected)
        except chatmem.UnavailableError as error:
            tally.error(error)
            if not with_ids and key is None:
                journal.write(maybe=session, texts=texts)
                return
            await asyncio.sleep(AGAIN)
        except chatmem.ConflictError as error:
            tally.error(error)
            journal.write(refused=session, texts=texts)
            return
        except (chatmem.ChatMemError, ValueError) as error:
            tally.wrong(f"{session}: an append is refused: {error!r}")
            return
        else:
            told = [done.version, done.first, done.last, done.duplicates]
            journal.write(stored=session, texts=texts, told=told)
            return


@dataclass
class Claims:
    """What the workers of a run were told of one session."""

    stored: list[list[Line]] = field(default_factory=list)
    """what was acknowledged, in the order in which it was, a list for each journal"""
    maybe: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


def claims(journals: Iterable[Iterable[Line]]) -> dict[str, Claims]:
    """Return what was told, by session."""
    found: dict[str, Claims] = defaultdict(Claims)
    for journal in journals:
        own: dict[str, list[Line]] = defaultdict(list)
        pending: Line | None = None
        for line in journal:
            if "shared" in line:
                if pending:  # its process was killed
                    found[pending["shared"]].maybe.update(pending["texts"])
                pending = line
            elif "stored" in line:
                own[line["stored"]].append(line)
                pending = None
            elif "maybe" in line or "refused" in line:
                kind = "maybe" if "maybe" in line else "refused"
                getattr(found[line[kind]], kind).update(line["texts"])
                pending = None
        if pending:
            found[pending["shared"]].maybe.update(pending["texts"])
        for session, lines in own.items():
            found[session].stored.append(lines)
    return found


def verdicts(session: str, told: Claims, entries: list[chatmem.Entry]) -> Iterable[tuple[str, str]]:
    """Yield a kind and a text for each thing that is not as it was told."""
    texts = [str(entry.message.content) for entry in entries if entry.message is not None]
    there = Counter(texts)
    acknowledged = [text for lines in told.stored for line in lines for text in line["texts"]]
    for text in acknowledged:
        if not there[text]:
            yield "lost", f"{session}: {text!r} was acknowledged, and is not there"
    for text, count in there.items():
        if count > 1:
            yield "doubled", f"{session}: {text!r} is there {count} times"
        if text in told.refused:
            yield "wrong", f"{session}: {text!r} was refused, and is there"
    if unknown := set(there) - set(acknowledged) - set(told.maybe) - set(told.refused):
        yield "wrong", f"{session}: nobody said {unknown}"
    seqs = [entry.seq for entry in entries]
    if seqs != sorted(set(seqs)):
        yield "wrong", f"{session}: its positions are {seqs}"
    yield from _order(session, told, texts)
    yield from _versions(session, told, {entry.seq: str(entry.message.content) for entry in entries if entry.message})


def _order(session: str, told: Claims, texts: list[str]) -> Iterable[tuple[str, str]]:
    """What one writer was told comes in the order in which it was told."""
    index = {text: place for place, text in enumerate(texts)}
    for lines in told.stored:
        places = [index[text] for line in lines for text in line["texts"] if text in index]
        if places != sorted(places):
            yield "wrong", f"{session}: a writer's messages are not in their order: {places}"


def _versions(session: str, told: Claims, by_seq: dict[int, str]) -> Iterable[tuple[str, str]]:
    """No version was given twice, none to a later message than another; and each position is the message's."""
    given: dict[int, int] = {}
    for line in (line for lines in told.stored for line in lines):
        version, first, last, duplicates = line["told"]
        if duplicates:
            continue
        if version in given:
            yield "wrong", f"{session}: version {version} was given to {given[version]} and to {first}"
        given[version] = first
        if [by_seq.get(seq) for seq in range(first, last + 1)] != line["texts"]:
            yield "wrong", f"{session}: at {first} to {last} is not what was said to be there"
    ordered = [first for _, first in sorted(given.items())]
    if ordered != sorted(ordered):
        yield "wrong", f"{session}: a later version has an earlier position"
