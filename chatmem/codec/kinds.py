"""The kinds of LangChain messages. Each has a letter, a class, and the Struct that its records' bodies decode to.

The letters, and the short names in the bodies, are part of the stored format. A Struct has its fields in the order of
the message class, so a decoded Struct as a dict is the message's `__dict__`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from langchain_core import messages as lc
from msgspec import Struct, field

from chatmem.codec.extensions import from_extension
from chatmem.codec.values import ATOMS, is_plain

_Blocks = list[str | dict[Any, Any]]
_Calls = list[dict[Any, Any]]


class Message(Struct, kw_only=True, omit_defaults=True, gc=False):
    """The fields that every message has."""

    content: str | _Blocks = field(name="c", default="")
    additional_kwargs: dict[Any, Any] = field(name="a", default_factory=dict)
    response_metadata: dict[Any, Any] = field(name="r", default_factory=dict)
    type: str = field(name="t")
    name: str | None = field(name="n", default=None)
    id: str | None = field(name="i", default=None)


class Human(Message, kw_only=True, omit_defaults=True, gc=False):
    type: str = field(name="t", default="human")


class HumanChunk(Message, kw_only=True, omit_defaults=True, gc=False):
    type: str = field(name="t", default="HumanMessageChunk")


class System(Message, kw_only=True, omit_defaults=True, gc=False):
    type: str = field(name="t", default="system")


class SystemChunk(Message, kw_only=True, omit_defaults=True, gc=False):
    type: str = field(name="t", default="SystemMessageChunk")


class AI(Message, kw_only=True, omit_defaults=True, gc=False):
    type: str = field(name="t", default="ai")
    tool_calls: _Calls = field(name="tc", default_factory=list)
    invalid_tool_calls: _Calls = field(name="ic", default_factory=list)
    usage_metadata: dict[Any, Any] | None = field(name="u", default=None)


class AIChunk(AI, kw_only=True, omit_defaults=True, gc=False):
    type: str = field(name="t", default="AIMessageChunk")
    tool_call_chunks: _Calls = field(name="cc", default_factory=list)
    chunk_position: str | None = field(name="p", default=None)


class Tool(Message, kw_only=True, omit_defaults=True, gc=False):
    type: str = field(name="t", default="tool")
    tool_call_id: str = field(name="ti")
    artifact: Any = field(name="ar", default=None)
    status: str = field(name="s", default="success")


class ToolChunk(Tool, kw_only=True, omit_defaults=True, gc=False):
    type: str = field(name="t", default="ToolMessageChunk")


class Chat(Message, kw_only=True, omit_defaults=True, gc=False):
    type: str = field(name="t", default="chat")
    role: str = field(name="ro")


class ChatChunk(Chat, kw_only=True, omit_defaults=True, gc=False):
    type: str = field(name="t", default="ChatMessageChunk")


class Function(Message, kw_only=True, omit_defaults=True, gc=False):
    type: str = field(name="t", default="function")


class FunctionChunk(Message, kw_only=True, omit_defaults=True, gc=False):
    type: str = field(name="t", default="FunctionMessageChunk")


class Remove(Message, kw_only=True, omit_defaults=True, gc=False):
    type: str = field(name="t", default="remove")


class Extension(Struct, kw_only=True, omit_defaults=True, gc=False):
    """The parts of a message that its Struct cannot hold."""

    cls: str | None = field(name="k", default=None)
    """the name of the message's class, if it is not LangChain's"""
    fields: dict[str, Any] = field(name="f", default_factory=dict)
    """fields that the Struct lacks, or whose values do not have the Struct's types"""
    extra: dict[Any, Any] = field(name="x", default_factory=dict)
    """pydantic's extra fields"""
    private: dict[str, Any] | None = field(name="p", default=None)
    """pydantic's private attributes"""
    unset: list[str] = field(name="u", default_factory=list)
    """which of the fields above are not in the message's field set"""
    exact: list[str] = field(name="e", default_factory=list)
    """which of the fields above are not validated when they are read, as their annotations would not accept them"""


_Types = frozenset[type]
_STRING: _Types = frozenset({str})
_OPTIONAL: _Types = frozenset({str, type(None)})
_DICT: _Types = frozenset({dict})
_LIST: _Types = frozenset({list})
_TYPES: dict[str, _Types] = {
    "content": _STRING | _LIST,
    "additional_kwargs": _DICT,
    "response_metadata": _DICT,
    "type": _STRING,
    "name": _OPTIONAL,
    "id": _OPTIONAL,
    "tool_calls": _LIST,
    "invalid_tool_calls": _LIST,
    "usage_metadata": _DICT | {type(None)},
    "tool_call_chunks": _LIST,
    "chunk_position": _OPTIONAL,
    "tool_call_id": _STRING,
    "status": _STRING,
    "role": _STRING,
    "artifact": ATOMS | _DICT | _LIST,
}
_ITEM_TYPES: dict[str, _Types] = {
    "content": _STRING | _DICT,
    **dict.fromkeys(("tool_calls", "invalid_tool_calls", "tool_call_chunks"), _DICT),
}


class Kind:
    """A kind of message, with everything that the codec computes once for it."""

    def __init__(self, letter: str, cls: type[lc.BaseMessage], struct: type[Message]) -> None:
        self.code = ord(letter)
        self.cls = cls
        self.struct = struct
        self.names = struct.__struct_fields__
        self.types = tuple((name, _TYPES[name]) for name in self.names)
        self.decode = msgspec.msgpack.Decoder(struct, ext_hook=from_extension).decode
        self.decode_extended = msgspec.msgpack.Decoder(
            tuple[struct, Extension],  # type: ignore[valid-type]  # `struct` is a variable, which msgspec allows
            ext_hook=from_extension,
        ).decode
        self.type: str | None = cls.model_fields["type"].default if struct is not Message else None
        self.is_chunk = issubclass(cls, lc.BaseMessageChunk)
        # Another langchain-core may know more fields of a message than this chatmem, or fewer.
        self.matches_class = set(self.names) == set(cls.model_fields)
        self._masks: dict[frozenset[str], int] = {}
        self._field_sets: dict[int, frozenset[str]] = {}

    def mask(self, fields_set: set[str]) -> int:
        """Return the field set as one bit per field of the Struct. Other names have no bit."""
        names = frozenset(fields_set)
        mask = self._masks.get(names)
        if mask is None:
            mask = sum(1 << bit for bit, name in enumerate(self.names) if name in names)
            if names <= set(self.names):  # other names have no limit, and would fill the cache
                self._masks[names] = mask
        return mask

    def field_set(self, mask: int) -> frozenset[str]:
        """Return the names whose bits are set."""
        try:
            return self._field_sets[mask]
        except KeyError:
            names = frozenset(name for bit, name in enumerate(self.names) if mask >> bit & 1)
            self._field_sets[mask] = names
            return names


def is_typed(name: str, value: Any) -> bool:
    """Return whether a Struct's field of that name can hold the value and gives it back unchanged."""
    kind = type(value)
    return kind in _TYPES[name] and (kind in ATOMS or not value or has_typed_parts(name, value))


def has_typed_parts(name: str, value: dict[Any, Any] | list[Any]) -> bool:
    """Return what `is_typed` does, for a value that has one of the field's types and is not empty."""
    if name in _ITEM_TYPES and type(value) is list:
        items = _ITEM_TYPES[name]
        for item in value:
            if type(item) not in items:
                return False
    return is_plain(value)


KINDS = tuple(
    Kind(*row)
    for row in (
        ("h", lc.HumanMessage, Human),
        ("H", lc.HumanMessageChunk, HumanChunk),
        ("a", lc.AIMessage, AI),
        ("A", lc.AIMessageChunk, AIChunk),
        ("s", lc.SystemMessage, System),
        ("S", lc.SystemMessageChunk, SystemChunk),
        ("t", lc.ToolMessage, Tool),
        ("T", lc.ToolMessageChunk, ToolChunk),
        ("c", lc.ChatMessage, Chat),
        ("C", lc.ChatMessageChunk, ChatChunk),
        ("f", lc.FunctionMessage, Function),
        ("F", lc.FunctionMessageChunk, FunctionChunk),
        ("r", lc.RemoveMessage, Remove),
        ("b", lc.BaseMessage, Message),
    )
)
BY_CODE: dict[int, Kind] = {kind.code: kind for kind in KINDS}
BY_CLASS: dict[type[lc.BaseMessage], Kind] = {kind.cls: kind for kind in KINDS}


def kind_of(cls: type[lc.BaseMessage]) -> Kind:
    """Return the kind of a message class: its own, or that of the LangChain class it derives from."""
    return next(BY_CLASS[base] for base in cls.__mro__ if base in BY_CLASS)
