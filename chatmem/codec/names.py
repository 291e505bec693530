"""What records call the classes of values, and which class a name means.

A name is only ever looked up: among the classes that the application registered, and among fixed lists of LangChain's
and Python's own, in modules that are imported already. Data never says what to import.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from langchain_core import agents, prompt_values
from langchain_core.documents import base
from langchain_core.outputs import chat_generation, chat_result, generation, llm_result, run_info

classes: dict[str, type[Any]] = {}
"""what was registered, by the name that records carry, and by the class' full name"""
LANGCHAIN, PYTHON = "langchain:", "python:"
"""What the names of LangChain's and Python's own begin with; no registered name does."""
_CORE = "langchain_core"
_HERE = {
    **dict.fromkeys(("Document", "Blob"), base.__name__),
    **dict.fromkeys(("Generation", "GenerationChunk"), generation.__name__),
    **dict.fromkeys(("ChatGeneration", "ChatGenerationChunk"), chat_generation.__name__),
    **{"ChatResult": chat_result.__name__, "LLMResult": llm_result.__name__, "RunInfo": run_info.__name__},
    **dict.fromkeys(("StringPromptValue", "ChatPromptValue", "ImagePromptValue"), prompt_values.__name__),
    "ChatPromptValueConcrete": prompt_values.__name__,
    **dict.fromkeys(("AgentAction", "AgentActionMessageLog", "AgentStep", "AgentFinish"), agents.__name__),
    **dict.fromkeys(("HumanMessage", "HumanMessageChunk"), f"{_CORE}.messages.human"),
    **dict.fromkeys(("AIMessage", "AIMessageChunk"), f"{_CORE}.messages.ai"),
    **dict.fromkeys(("SystemMessage", "SystemMessageChunk"), f"{_CORE}.messages.system"),
    **dict.fromkeys(("ToolMessage", "ToolMessageChunk"), f"{_CORE}.messages.tool"),
    **dict.fromkeys(("ChatMessage", "ChatMessageChunk"), f"{_CORE}.messages.chat"),
    **dict.fromkeys(("FunctionMessage", "FunctionMessageChunk"), f"{_CORE}.messages.function"),
    **{"RemoveMessage": f"{_CORE}.messages.modifier", "BaseMessage": f"{_CORE}.messages.base"},
}
"""These are imported with chatmem."""
_ELSEWHERE = {
    **dict.fromkeys(
        (
            *("ChatPromptTemplate", "MessagesPlaceholder", "ChatMessagePromptTemplate", "HumanMessagePromptTemplate"),
            *("AIMessagePromptTemplate", "SystemMessagePromptTemplate"),
        ),
        f"{_CORE}.prompts.chat",
    ),
    **{"PromptTemplate": f"{_CORE}.prompts.prompt", "ImagePromptTemplate": f"{_CORE}.prompts.image"},
    "DictPromptTemplate": f"{_CORE}.prompts.dict",
    **dict.fromkeys(("FewShotPromptTemplate", "FewShotChatMessagePromptTemplate"), f"{_CORE}.prompts.few_shot"),
    "FewShotPromptWithTemplates": f"{_CORE}.prompts.few_shot_with_templates",
    **dict.fromkeys(("LangChainException", "OutputParserException"), f"{_CORE}.exceptions"),
    "ToolException": f"{_CORE}.tools.base",
}
"""These take a third of a second to import: they come back as themselves where the application imported them."""
_MODULES = {**_HERE, **_ELSEWHERE}
_Known = Literal["all", "own", "none"]
_known: ContextVar[_Known] = ContextVar("_known", default="all")


@contextmanager
def only_known(which: _Known) -> Iterator[None]:
    """Read as a process does in which nothing is registered ("own"), or as one that knows no class at all ("none")."""
    token = _known.set(which)
    try:
        yield
    finally:
        _known.reset(token)


def full_name(cls: type[Any]) -> str:
    """Return the name of a class that was given none."""
    return f"{cls.__module__}.{cls.__qualname__}"


def name_of(cls: type[Any]) -> str:
    """Return the name that records carry for a value of this class."""
    name: str = cls.__name__
    if _MODULES.get(name) == cls.__module__:
        return LANGCHAIN + name
    if vars(builtins).get(name) is cls:
        return PYTHON + name
    return next((known for known, registered in classes.items() if registered is cls), None) or full_name(cls)


def is_own(name: str) -> bool:
    """Return whether every chatmem knows what the name means."""
    return name.startswith((LANGCHAIN, PYTHON))


def find(name: str) -> type[Any] | None:
    """Return the class that a record's name means, or None where this process does not know it."""
    known = _known.get()
    if known == "none":
        return None
    scope, colon, own = name.partition(":")
    if scope + colon == LANGCHAIN:
        module = sys.modules.get(_MODULES.get(own, ""))
        return None if module is None else vars(module).get(own)  # getattr would import what is lazy there
    if scope + colon == PYTHON:
        cls = vars(builtins).get(own)
        return cls if isinstance(cls, type) and issubclass(cls, BaseException) else None
    return classes.get(name) if known == "all" else None
