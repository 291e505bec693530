"""LangChain: `HistoryMiddleware` for agents, and `ChatMessageHistory` for `RunnableWithMessageHistory`.

Each is imported when it is first used: LangChain deprecates the base class of the second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from chatmem.extras import needed

if TYPE_CHECKING:
    from chatmem.langchain.history import ChatMessageHistory
    from chatmem.langchain.middleware import HistoryMiddleware

__all__ = ["ChatMessageHistory", "HistoryMiddleware"]

_MODULES = {"ChatMessageHistory": "history", "HistoryMiddleware": "middleware"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needed(f"chatmem.langchain.{name} needs", "langchain", "langchain"):
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
