"""Old names work for one more release, with a warning that names the new one."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import HumanMessage

import chatmem
import chatmem.sync


async def test_upto(url: str, prefix: str) -> None:
    """`upto=` of fork and compact is `up_to=`."""
    old: dict[str, Any] = {"upto": 0}
    async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
        history = memory.history("a")
        await history.append("one", "two")
        with pytest.warns(DeprecationWarning, match=r"fork\(upto=\) is deprecated: use up_to=") as caught:
            fork = await history.fork("b", **old)
        assert caught[0].filename == __file__
        assert await fork.count() == 1
        with pytest.warns(DeprecationWarning, match=r"compact\(upto=\) is deprecated: use up_to="):
            await history.compact(replacement=[HumanMessage("first")], **old)
        assert [message.content for message in await history.messages()] == ["first", "two"]


def test_upto_synchronously(url: str, prefix: str) -> None:
    """The warning names the caller's line here too."""
    old: dict[str, Any] = {"upto": 1}
    with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory:
        history = memory.history("a")
        history.append("one", "two", "three")
        with pytest.warns(DeprecationWarning, match="up_to=") as caught:
            assert history.fork("b", **old).count() == 2
        assert caught[0].filename == __file__


def test_position_of_an_error() -> None:
    """`EncodingError.position` is `EncodingError.index`."""
    error = chatmem.EncodingError("cannot be stored", index=3)
    with pytest.warns(DeprecationWarning, match=r"EncodingError\.position is deprecated: use EncodingError\.index"):
        assert error.position == 3


def test_both_names(url: str, prefix: str) -> None:
    """Neither silently wins."""
    both: dict[str, Any] = {"upto": 1, "up_to": 2}
    with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory, pytest.raises(TypeError, match="got both up_to="):
        memory.history("a").fork("b", **both)
