"""Classes such as applications put into messages, and random objects of them."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections import OrderedDict, deque
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from ipaddress import ip_address, ip_network
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import attrs
import msgspec
import numpy as np
import pydantic
from hypothesis import strategies as st
from langchain_core import messages as lc
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.documents import Document
from langchain_core.messages.base import TextAccessor
from langchain_core.outputs import ChatGeneration, ChatResult, Generation, LLMResult
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate

from tests import samples

T = TypeVar("T")
BERLIN = ZoneInfo("Europe/Berlin")


class Mood(enum.Enum):
    CALM = "calm"
    PAIR = (1, 2)
    ODD = object()


class Word(enum.StrEnum):
    YES = "yes"


class Level(enum.IntEnum):
    LOW = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Source(pydantic.BaseModel):
    url: pydantic.HttpUrl
    mood: Mood = Mood.CALM


class Answer(pydantic.BaseModel):
    """Aliases, extra fields, a secret, a field that is never dumped, a private attribute."""

    model_config = pydantic.ConfigDict(extra="allow", populate_by_name=True)
    city: Any = pydantic.Field("Lima", alias="City")
    sources: list[Source] = []
    key: pydantic.SecretStr = pydantic.SecretStr("hidden")
    cost: float = pydantic.Field(0.5, exclude=True)
    _asked: Any = 0


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Box(pydantic.BaseModel, Generic[T]):
    value: T


class Fixed(pydantic.BaseModel, frozen=True):
    number: Any


@dataclasses.dataclass
class Chart:
    """Nested, with a field that its constructor does not take, and an argument that is no field."""

    title: Any
    inner: Chart | None = None
    rows: int = dataclasses.field(init=False, default=3)
    scale: dataclasses.InitVar[int] = 1

    def __post_init__(self, scale: int) -> None:
        self.rows = 3 * scale


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    x: Any
    tags: tuple[str, ...] = ()


@dataclasses.dataclass
class Rows(list[Any]):
    """A dataclass that is a list as well."""

    name: str = "rows"


class Pair(NamedTuple):
    left: Any
    right: Mood = Mood.CALM


@attrs.define
class Note:
    text: Any
    _seen: bool = False


class Point(msgspec.Struct, frozen=True):
    x: Any
    tags: list[str] = []


class Tag(str):
    __slots__ = ()


class Bag(dict[Any, Any]):
    pass


class FailedError(Exception):
    """An exception that pickle could not build."""

    def __init__(self, code: Any, *, hint: str) -> None:
        super().__init__(f"code {code}")
        self.code = code
        self.hint = hint

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FailedError) and vars(self) == vars(other) and self.args == other.args

    __hash__ = None  # type: ignore[assignment]


CLASSES: tuple[type[Any], ...] = (
    *(Mood, Word, Level, Rights, Source, Answer, Numbers, Box[int], Fixed, Chart, Place, Rows, Pair, Note, Point),
    *(Tag, Bag, FailedError, OrderedDict, np.float64, np.int32),
)


def _rows(name: str, items: list[Any]) -> Rows:
    rows = Rows(name)
    rows.extend(items)
    return rows


def _asked(answer: Answer, asked: Any) -> Answer:
    answer._asked = asked
    return answer


def _ordered(items: dict[Any, Any]) -> OrderedDict[Any, Any]:
    ordered = OrderedDict(items)
    if ordered:
        ordered.move_to_end(next(iter(ordered)))
    return ordered


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Objects of these classes, around other values."""
    sources = st.builds(lambda mood: Source(url="https://a.example/b", mood=mood), st.sampled_from(Mood))  # type: ignore[arg-type]
    hashed = st.one_of(samples.hashables, st.sampled_from(Mood), st.builds(Place, st.integers()))
    return st.one_of(
        st.sampled_from([*Mood, *Word, *Level, Rights.READ, Rights.READ | Rights.WRITE, Rights(0)]),
        sources,
        st.builds(_asked, st.builds(Answer, city=inner, sources=st.lists(sources, max_size=2), x_more=inner), inner),
        st.builds(Numbers, st.lists(st.integers(), max_size=3)),
        st.builds(Box[int], value=st.integers()),
        st.builds(Fixed, number=inner),
        st.builds(Chart, inner, st.none() | st.builds(Chart, inner), scale=st.integers(0, 3)),
        st.builds(Place, inner),
        st.builds(_rows, samples.text, st.lists(inner, max_size=2)),
        st.builds(Pair, inner, st.sampled_from(Mood)),
        st.builds(Note, inner, st.booleans()),
        st.builds(Point, inner, st.lists(samples.text, max_size=2)),
        st.builds(Tag, samples.text),
        st.builds(Bag, st.dictionaries(samples.hashables, inner, max_size=2)),
        st.builds(FailedError, inner, hint=samples.text),
        st.builds(_ordered, st.dictionaries(samples.hashables, inner, max_size=3)),
        st.sets(hashed, max_size=4),
        st.dictionaries(hashed, inner, max_size=3),
        st.builds(np.float64, st.floats()),
        st.builds(np.int32, st.integers(-(2**31), 2**31 - 1)),
    )


def own(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of Python's, pydantic's and LangChain's own classes, which need not be registered."""
    metadata = st.dictionaries(samples.text, inner, max_size=2)
    return st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.builds(deque, st.lists(inner, max_size=3), st.none() | st.integers(3, 9)),
        st.builds(Document, page_content=samples.text, metadata=metadata, id=st.none() | samples.text),
        st.builds(ChatGeneration, message=samples.messages),
        st.builds(ChatResult, generations=st.lists(st.builds(ChatGeneration, message=samples.messages), max_size=1)),
        st.builds(Generation, text=samples.text, generation_info=st.none() | metadata),
        st.builds(lambda text: LLMResult(generations=[[Generation(text=text)]]), samples.text),
        st.builds(StringPromptValue, text=samples.text),
        st.builds(ChatPromptValue, messages=st.lists(samples.messages, max_size=1)),
        st.builds(AgentAction, tool=samples.text, tool_input=samples.text, log=samples.text),
        st.builds(AgentFinish, return_values=metadata, log=samples.text),
        samples.messages,
        st.sampled_from(
            [
                PromptTemplate.from_template("about {this}"),
                ChatPromptTemplate.from_messages([("system", "be {mood}"), MessagesPlaceholder("history")]),
                lc.RemoveMessage(id="1"),
            ]
        ),
        st.builds(
            lambda days, fold: datetime(2026, 10, 25, 2, 30, fold=fold, tzinfo=BERLIN) + timedelta(days=days),
            st.integers(-400, 400),
            st.integers(0, 1),
        ),
        st.sampled_from(
            [
                *(Path("a/b"), Path("/"), PurePosixPath("x"), PureWindowsPath(r"c:\x"), range(3), range(9, 0, -2)),
                *(UTC, timezone(timedelta(hours=1), "X"), BERLIN, ip_address("::1"), ip_network("10.0.0.0/8")),
                *(pydantic.SecretStr("s"), pydantic.SecretBytes(b"s"), pydantic.AnyUrl("ftp://a.example")),
            ]
        ),
        st.builds(complex, st.floats(allow_nan=False), st.floats(allow_nan=False)),
        st.fractions(),
    )


values = st.recursive(samples.scalars, lambda inner: st.one_of(own(inner), objects(inner)), max_leaves=8)


def same(left: Any, right: Any) -> bool:
    """Equality of values and types, all the way down, with NaN equal to itself; see `samples.same`."""
    if isinstance(right, TextAccessor):  # the text of a ChatGeneration: a subclass of str that is not registered
        right = str.__str__(right)
    if type(left) is not type(right):
        return False
    if isinstance(left, pydantic.BaseModel):
        parts = ("__dict__", "__pydantic_extra__", "__pydantic_private__", "__pydantic_fields_set__")
        return all(same(getattr(left, part), getattr(right, part)) for part in parts)
    if isinstance(left, dict):
        pairs = zip(left.items(), right.items(), strict=True)
        return len(left) == len(right) and all(same(key, other) and same(v, w) for (key, v), (other, w) in pairs)
    if isinstance(left, list | tuple | deque):
        attributes = same(getattr(left, "__dict__", {}), getattr(right, "__dict__", {}))
        return attributes and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float | np.float64):
        return (left == right and math.copysign(1, left) == math.copysign(1, right)) or (
            left != left and right != right
        )
    if isinstance(left, complex | Fraction):
        return repr(left) == repr(right)
    if isinstance(left, BaseException):
        return same(left.args, right.args) and same(vars(left), vars(right))
    if dataclasses.is_dataclass(left):
        return all(same(getattr(left, f.name), getattr(right, f.name)) for f in dataclasses.fields(left))
    if isinstance(left, Note):
        return same((left.text, left._seen), (right.text, right._seen))
    if isinstance(left, Point):
        return same((left.x, left.tags), (right.x, right.tags))
    if isinstance(left, datetime):
        zone = left.tzinfo is right.tzinfo or not isinstance(left.tzinfo, ZoneInfo)
        return left == right and left.fold == right.fold and zone
    return bool(left == right)


def _places() -> st.SearchStrategy[lc.BaseMessage]:
    maps = st.dictionaries(samples.text, values, max_size=2)
    call = st.fixed_dictionaries({"name": samples.text, "args": maps, "id": samples.text, "type": st.just("tool_call")})
    common: dict[str, Any] = {"additional_kwargs": maps, "response_metadata": maps, "x_extra": values}
    content = st.lists(maps, max_size=2)
    return st.one_of(
        st.builds(lc.ToolMessage, content=content, tool_call_id=samples.text, artifact=values, **common),
        st.builds(lc.AIMessage, content=content, tool_calls=st.lists(call, max_size=2), **common),
        st.builds(lc.HumanMessage, content=content, **common),
    )


messages = _places()
"""Messages with such values in every place that a message has for them."""
