"""How pydantic writes the public dataclasses as JSON, so that they can be FastAPI response models.

A message may hold values that JSON or UTF-8 cannot represent. None of them makes a response fail: a lone surrogate
becomes "?", NaN and infinity become null, bytes become base64, what is nested too deeply becomes "...", and any other
object becomes its `str`.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections import deque
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Annotated, Any

from langchain_core.messages import AnyMessage, BaseMessage
from pydantic import BaseModel, GetCoreSchemaHandler, PlainSerializer, SerializationInfo
from pydantic_core import CoreSchema, core_schema, to_jsonable_python

DEEPEST = 200
"""The levels of lists and maps that are kept. pydantic itself fails at 255."""
_TOO_DEEP = "..."


def text(value: str) -> str:
    """Return the text with "?" in place of lone surrogates, which UTF-8 cannot represent. Pairs become a character."""
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        joined = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return joined.encode(errors="replace").decode()
    return value


def jsonable(value: Any, depth: int = DEEPEST) -> Any:
    """Return the value as JSON can represent it: None, booleans, numbers, text, and lists and maps of these.

    Args:
        value: any value.
        depth: how many levels of nesting to keep.
    """
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode()
    if depth == 0:
        return _TOO_DEEP
    if isinstance(value, BaseModel):
        return jsonable(value.model_dump(warnings=False), depth)  # JSON mode would refuse some values
    if isinstance(value, Mapping):
        return {_key(key): jsonable(item, depth - 1) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        value = sorted(value, key=repr)  # so that equal sets are written alike
    if isinstance(value, list | tuple | deque | range):
        return [jsonable(item, depth - 1) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name), depth - 1) for field in fields(value)}
    if isinstance(value, Enum):
        return jsonable(value.value, depth - 1)
    return jsonable(to_jsonable_python(value, fallback=str), depth - 1)


def _key(key: object) -> str:
    plain = jsonable(key, 1)
    return plain if isinstance(plain, str) else str(plain)


class _AsMessage:
    """pydantic's schema for a message: it writes all fields of the message's own class, not only `BaseMessage`'s."""

    @staticmethod
    def __get_pydantic_core_schema__(_: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = handler.generate_schema(AnyMessage | BaseMessage)  # BaseMessage: for the application's own classes
        given = core_schema.union_schema([core_schema.is_instance_schema(BaseMessage), written], mode="left_to_right")
        whole = core_schema.plain_serializer_function_ser_schema(_whole, info_arg=True)
        return core_schema.json_or_python_schema(written, given, serialization=whole)


def _whole(message: BaseMessage, info: SerializationInfo) -> dict[str, Any]:
    dumped = message.model_dump(warnings=False)
    return jsonable(dumped) if info.mode_is_json() else dumped


_as_text = PlainSerializer(text, when_used="json")

Text = Annotated[str, _as_text]
Metadata = Annotated[dict[str, Any], PlainSerializer(jsonable, when_used="json")]
Message = Annotated[BaseMessage, _AsMessage]
