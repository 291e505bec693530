"""A user of the server who lacks one right: an operation is done, or refused before it has changed anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from langchain_core import messages as lc

import chatmem.sync
from chatmem.dropin.langchain_community import RedisChatMessageHistory
from tests.servers import LEAST_RIGHTS, debian_binary, run_server

Operation = Callable[[chatmem.sync.History], object]
OPERATIONS: dict[str, Operation] = {
    "begin": lambda history: history.fork("begun").append("x"),
    "append": lambda history: history.append("x"),
    "append with an id": lambda history: history.append(lc.HumanMessage("x", id="x")),
    "append with a key": lambda history: history.append("x", idempotency_key="k"),
    "append that replaces": lambda history: history.append(lc.HumanMessage("x", id="a"), on_known_id="replace"),
    "put": lambda history: history.put(lc.HumanMessage("x", id="a")),
    "replace": lambda history: history.replace("a", lc.HumanMessage("x", id="x")),
    "delete": lambda history: history.delete("a"),
    "truncate": lambda history: history.truncate(after="a"),
    "compact": lambda history: history.compact(up_to="b", replacement=[lc.HumanMessage("x", id="x")]),
    "summarize": lambda history: history.summarize(up_to="b", summary=["x"]),
    "annotate": lambda history: history.annotate("b", {"rating": 5}),
    "branch": lambda history: history.branch(after="a"),
    "switch": lambda history: history.switch(0),
    "update": lambda history: history.update(title="T"),
    "touch": lambda history: history.touch(ttl=6000),
    "clear": lambda history: history.clear(),
}


@pytest.fixture(scope="module")
def admin() -> Iterator[redis.Redis]:
    with run_server(debian_binary()) as url, redis.Redis.from_url(url) as client:
        yield client


def url_of(admin: redis.Redis, user: str = "") -> str:
    return f"redis://{user}127.0.0.1:{admin.connection_pool.connection_kwargs['port']}"


def lack(admin: redis.Redis, right: str) -> None:
    """Make the user `few` one who has all rights that the documentation lists, but this one."""
    rights = [one for one in LEAST_RIGHTS.split() if one != right]
    admin.execute_command("ACL", "SETUSER", "few", "reset", "on", ">s3cret", "~*", *rights)


def begin(history: chatmem.sync.History, *, rich: bool) -> None:
    history.append(*(lc.HumanMessage(name, id=name) for name in "abcd"))
    if rich:
        history.append("with a key", idempotency_key="other")
        history.annotate("a", {"rating": 1})
        history.branch(after="b")
        history.append(lc.AIMessage("e", id="e"))
        history.summarize(up_to="a", summary=["s"])


def stored(admin: redis.Redis) -> dict[Any, Any]:
    """Return all of what a server holds of sessions, but not what is built aside and expires by itself."""
    keys = [key for key in admin.keys("*") if key[-3:-1] == b"}:"]
    return {key: admin.dump(key) for key in keys}


@pytest.mark.parametrize("most", [None, 3])
@pytest.mark.parametrize("rich", [False, True])
@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_is_done_by_halves(admin: redis.Redis, name: str, rich: bool, most: int | None) -> None:
    """Whichever right is missing."""
    refusals: list[chatmem.UnavailableError] = []
    for right in set(LEAST_RIGHTS.split()) - {"+unlink", "+exists"}:  # `clear` needs these, and has no second half
        admin.flushall()
        with chatmem.sync.connect(url_of(admin), ttl=600) as memory:
            begin(memory.history("s"), rich=rich)
        before = stored(admin)
        lack(admin, right)
        with chatmem.sync.connect(url_of(admin, "few:s3cret@"), ttl=600, max_messages=most) as memory:
            try:
                OPERATIONS[name](memory.history("s"))
            except chatmem.UnavailableError as error:
                refusals.append(error)
            else:
                continue
        after = stored(admin)
        assert (right, {key: after.pop(key, None) for key in before}) == (right, before)
        if after:  # the fork was done, and the append to it refused
            assert messages_of(admin, "begun") == messages_of(admin, "s")
    assert refusals
    assert all(error.lacks_right for error in refusals)


def messages_of(admin: redis.Redis, session: str) -> list[lc.BaseMessage]:
    with chatmem.sync.connect(url_of(admin)) as memory:
        return memory.history(session).messages()


@pytest.mark.parametrize("right", ["+set", "+pexpire", "+lpush", "+time"])
def test_a_list_of_another_layout(admin: redis.Redis, right: str) -> None:
    """A message that a drop-in could not store is not in the list."""
    admin.flushall()
    rights = [one for one in (*LEAST_RIGHTS.split(), "+get", "+set") if one != right]
    admin.execute_command("ACL", "SETUSER", "few", "reset", "on", ">s3cret", "~*", *rights)
    history = RedisChatMessageHistory("a", url_of(admin, "few:s3cret@"), ttl=60)
    with pytest.raises(chatmem.UnavailableError, match="lacks a right"):
        history.add_user_message("x")
    assert admin.keys("*") == []
