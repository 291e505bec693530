"""chatmem in LangChain: an agent's middleware, and the deprecated `BaseChatMessageHistory`, each imported on use."""

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
    with needed("agents need", "langchain", "langchain"):
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
