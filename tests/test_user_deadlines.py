"""A user's index keeps a session at least as long as the session lives, whoever writes to it with whatever TTL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem
from chatmem.core.keys import session_keys, user_keys, user_lists, user_name
from tests.conftest import Connect

SHORT, LONG = 60, 6000  # seconds
WRITES: dict[str, Callable[[chatmem.History], Awaitable[object]]] = {
    "append": lambda history: history.append("x"),
    "append with an id": lambda history: history.append(lc.HumanMessage("x", id="x")),
    "append what is there": lambda history: history.append(lc.HumanMessage("a", id="a")),
    "append with a key": lambda history: history.append("x", idempotency_key="k"),
    "put": lambda history: history.put(lc.HumanMessage("b", id="a")),
    "replace": lambda history: history.replace("a", "b"),
    "delete": lambda history: history.delete("b"),
    "truncate": lambda history: history.truncate(after="a"),
    "compact": lambda history: history.compact(up_to="a", replacement=["b"]),
    "summarize": lambda history: history.summarize(up_to="a", summary=["b"]),
    "annotate": lambda history: history.annotate("a", {"rating": 5}),
    "branch": lambda history: history.branch(after="a"),
    "switch": lambda history: history.switch(0),
    "delete_branch": lambda history: history.delete_branch(1),
    "update": lambda history: history.update(title="T"),
    "update of metadata": lambda history: history.update(metadata={"a": 1}),
    "update of marks": lambda history: history.update(pinned=True),
    "archive": lambda history: history.update(archived=True),
    "touch": lambda history: history.touch(),
}


async def begin(memory: chatmem.ChatMemory, *, marked: bool) -> None:
    history = memory.history("s", user="alice")
    await history.append(lc.HumanMessage("a", id="a"), lc.AIMessage("b", id="b"), lc.HumanMessage("c", id="c"))
    await history.branch(after="b")
    await history.append("d")
    await history.switch(0)
    if marked:
        await history.update(tags=["work"])


def deadlines(raw: redis.Redis, prefix: str) -> tuple[int, float]:
    """Return when the session and its entry in the index expire, in milliseconds since 1970; infinity for never."""
    state = session_keys(prefix, "s").state
    index, until = user_keys(prefix, user_name("alice"))
    marked: Any = raw.hget(user_lists(prefix, user_name("alice"))[2], "s")
    assert marked or raw.zscore(index, "s") is not None
    kept = (marked or b"::").split(b":")[1] or raw.zscore(until, "s")
    return int(raw.hget(state, "until") or 0), float(kept or "inf")


@pytest.mark.parametrize("user", ["alice", None])
@pytest.mark.parametrize("marked", [False, True])
async def test_whatever_restarts_the_ttl(
    connect: Connect, raw: redis.Redis, prefix: str, user: str | None, marked: bool
) -> None:
    """Each kind of write restarts the session's TTL, and that of its entry in the index."""
    short, long = connect(ttl=SHORT), connect(ttl=LONG)
    for name, write in WRITES.items():
        await begin(short, marked=marked)
        await write(long.history("s", user=user))
        session, entry = deadlines(raw, prefix)
        assert (name, session > SHORT * 2000 + int(raw.time()[0]) * 1000) == (name, True)
        assert (name, entry > session - 1000) == (name, True)
        await short.forget("alice")
        assert (name, list(raw.scan_iter(f"{prefix}:{{s}}:*"))) == (name, [])


@pytest.mark.parametrize("user", ["alice", None])
@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("between", [None, "update"])
async def test_a_ttl_that_nothing_restarts(
    connect: Connect, raw: redis.Redis, prefix: str, user: str | None, marked: bool, between: str | None
) -> None:
    """Who never restarts a TTL does not shorten the entry's either, even behind a writer without one."""
    long, never = connect(ttl=LONG), connect(ttl=SHORT, ttl_refresh="never")
    forever = connect(ttl=None, prefix=prefix)
    for name, write in WRITES.items():
        await begin(long, marked=marked)
        if between:
            await WRITES[between](forever.history("s", user="alice"))
        if name != "touch":  # which names a TTL
            await write(never.history("s", user=user))
        session, entry = deadlines(raw, prefix)
        assert (name, session > SHORT * 2000 + int(raw.time()[0]) * 1000) == (name, True)
        assert (name, entry > session - 1000) == (name, True)
        await long.forget("alice")
        assert (name, list(raw.scan_iter(f"{prefix}:{{s}}:*"))) == (name, [])
