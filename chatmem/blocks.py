"""The content blocks of a message that another framework stored."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import BaseMessage

from chatmem.errors import UnsupportedError


def standard_blocks(message: BaseMessage) -> list[Any]:
    """Return LangChain's standard blocks for a message's content. LangChain itself does not check what it converts.

    Raises:
        UnsupportedError: a block is malformed, so no adapter can say what it means.
    """
    for block in [] if isinstance(message.content, str) else message.content:
        if isinstance(block, dict) and not _is_well_formed(block):
            raise UnsupportedError(f"a {type(message).__name__} with a malformed content block cannot be converted")
    return list(message.content_blocks)


def _is_well_formed(block: dict[str, Any]) -> bool:
    kind, value = block.get("type"), block.get("value")
    if kind == "non_standard":  # LangChain looks for a block of a provider in it
        return isinstance(value, dict) and isinstance(value.get("type", ""), str)
    return isinstance(kind, str)
