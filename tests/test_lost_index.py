"""Sessions that lost a key, and were edited before they were rebuilt."""

from __future__ import annotations

import pytest
import redis
from langchain_core.messages import HumanMessage

import chatmem.sync
from chatmem.core.keys import session_keys


@pytest.mark.parametrize("edit", ["delete", "replace", "truncate"])
def test_an_edit_by_position_does_not_make_a_lost_index_whole(url: str, prefix: str, edit: str) -> None:
    """A known id is still stored once, after whatever edit that needs no index."""
    with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory, redis.Redis.from_url(url) as raw:
        history = memory.history("a")
        messages = [HumanMessage(f"t{number}", id=f"t{number}") for number in range(4)]
        history.append(*messages)
        raw.delete(session_keys(prefix, "a").ids)
        edits = {
            "delete": lambda: history.delete(3),
            "replace": lambda: history.replace(3, HumanMessage("new", id="new")),
            "truncate": lambda: history.truncate(after=2),
        }
        edits[edit]()
        assert history.append(messages[1]).duplicates == 1
        assert [one.text for one in history.messages()] == ["t0", "t1", "t2", *(["new"] if edit == "replace" else [])]


def test_positions_go_on_after_a_compaction_of_everything(url: str, prefix: str) -> None:
    """Also where the state is lost after it."""
    with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory, redis.Redis.from_url(url) as raw:
        history = memory.history("a")
        history.append("a", "b", "c")
        history.compact(up_to=2, replacement=["summary"])
        raw.delete(session_keys(prefix, "a").state)
        assert history.append("d").first == 3


def test_nobody_compacts_anothers_session(url: str, prefix: str) -> None:
    """It is another's, which is no conflict."""
    with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory:
        memory.history("a", user="alice").append("a")
        with pytest.raises(chatmem.NotYoursError):
            memory.history("a", user="bob").compact(up_to=0, replacement=["b"])
