"""The names of classes in records, and how a name is resolved to a class.

Names are only looked up: among the classes that the application registered, and in fixed lists of LangChain's and
Python's own classes, in modules that are already imported. A record can never cause an import.
"""

from __future__ import annotations

import builtins
import sys
from typing import Any

from langchain_core import agents, prompt_values
from langchain_core.documents import base
from langchain_core.outputs import chat_generation, chat_result, generation, llm_result, run_info

classes: dict[str, type[Any]] = {}
"""the registered classes, each by its name in records and by its full name"""
LANGCHAIN, PYTHON = "langchain:", "python:"
"""The names of LangChain's and Python's own classes begin with these, and registered names do not."""
_HERE = {
    base.__name__: ("Document", "Blob"),
    generation.__name__: ("Generation", "GenerationChunk"),
    chat_generation.__name__: ("ChatGeneration", "ChatGenerationChunk"),
    chat_result.__name__: ("ChatResult",),
    llm_result.__name__: ("LLMResult",),
    run_info.__name__: ("RunInfo",),
    prompt_values.__name__: ("StringPromptValue", "ChatPromptValue", "ChatPromptValueConcrete", "ImagePromptValue"),
    agents.__name__: ("AgentAction", "AgentActionMessageLog", "AgentStep", "AgentFinish"),
    "langchain_core.messages.base": ("BaseMessage",),
    "langchain_core.messages.human": ("HumanMessage", "HumanMessageChunk"),
    "langchain_core.messages.ai": ("AIMessage", "AIMessageChunk"),
    "langchain_core.messages.system": ("SystemMessage", "SystemMessageChunk"),
    "langchain_core.messages.tool": ("ToolMessage", "ToolMessageChunk"),
    "langchain_core.messages.chat": ("ChatMessage", "ChatMessageChunk"),
    "langchain_core.messages.function": ("FunctionMessage", "FunctionMessageChunk"),
    "langchain_core.messages.modifier": ("RemoveMessage",),
}
"""classes in modules that are imported with chatmem"""
_ELSEWHERE = {
    "langchain_core.prompts.chat": (
        *("ChatPromptTemplate", "MessagesPlaceholder", "ChatMessagePromptTemplate", "HumanMessagePromptTemplate"),
        *("AIMessagePromptTemplate", "SystemMessagePromptTemplate"),
    ),
    "langchain_core.prompts.prompt": ("PromptTemplate",),
    "langchain_core.prompts.image": ("ImagePromptTemplate",),
    "langchain_core.prompts.dict": ("DictPromptTemplate",),
    "langchain_core.prompts.few_shot": ("FewShotPromptTemplate", "FewShotChatMessagePromptTemplate"),
    "langchain_core.prompts.few_shot_with_templates": ("FewShotPromptWithTemplates",),
    "langchain_core.exceptions": ("LangChainException", "OutputParserException"),
    "langchain_core.tools.base": ("ToolException",),
}
"""classes in modules that take a third of a second to import, and so are found only if the application imported them"""
_MODULES = {name: module for module, own in {**_HERE, **_ELSEWHERE}.items() for name in own}


def full_name(cls: type[Any]) -> str:
    """Return the default name of a class: its module and qualified name."""
    return f"{cls.__module__}.{cls.__qualname__}"


def name_of(cls: type[Any]) -> str:
    """Return the name in records of a value's class."""
    name: str = cls.__name__
    if _MODULES.get(name) == cls.__module__:
        return LANGCHAIN + name
    if vars(builtins).get(name) is cls:
        return PYTHON + name
    return next((known for known, registered in tuple(classes.items()) if registered is cls), None) or full_name(cls)


def is_own(name: str) -> bool:
    """Return whether the name is one of LangChain's or Python's own classes, which need no registration."""
    return name.startswith((LANGCHAIN, PYTHON))


def find(name: str) -> type[Any] | None:
    """Return the class of a name in a record, or None if this process does not know it."""
    scope, colon, own = name.partition(":")
    if scope + colon == LANGCHAIN:
        module = sys.modules.get(_MODULES.get(own, ""))
        return None if module is None else vars(module).get(own)  # getattr could import, as modules load names lazily
    if scope + colon == PYTHON:
        cls = vars(builtins).get(own)
        return cls if isinstance(cls, type) and issubclass(cls, BaseException) else None
    return classes.get(name)
