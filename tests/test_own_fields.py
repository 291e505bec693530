"""The own fields of message classes: they come back as they were, whatever their annotations would make of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core import messages as lc

import chatmem
from chatmem.codec import plain, record, registry
from tests import objects, samples


class Inner(pydantic.BaseModel):
    number: int = 1


class Special(Inner):
    more: int = 2


def _inverse(value: int) -> float:
    return 1 / value


class Reply(lc.AIMessage):
    """Fields of types that convert, refuse, change or fail when they validate."""

    score: int = 0
    share: float = 0.0
    sure: bool = False
    label: str | None = None
    day: dt.date = dt.date(2026, 1, 1)
    places: tuple[int, ...] = ()
    marks: set[int] = pydantic.Field(default=set())
    inner: Inner | None = None
    grown: list[Annotated[int, pydantic.AfterValidator(lambda value: value + 1)]] = pydantic.Field(default=[])
    inverse: list[Annotated[int, pydantic.AfterValidator(_inverse)]] = pydantic.Field(default=[])
    anything: Any = None


@pytest.fixture
def clean() -> Iterator[None]:
    yield
    registry._classes.clear()


def trip(message: lc.BaseMessage, *, write: bool = True) -> lc.BaseMessage:
    """Return the message as a process reads it that registered its class, which the writer may not have done."""
    try:
        if write:
            chatmem.register(type(message))
        element = b"0:" + record.encode(message, 0, 0).record
        chatmem.register(type(message))
        read = record.decode(element).message
        assert samples.same(plain.decode_messages([element])[0], read) or objects.same(read, message)
        return read
    finally:
        registry._classes.clear()


_valid = st.fixed_dictionaries(
    {"content": st.just("x")},
    optional={
        "score": st.integers(),
        "share": st.floats(allow_nan=False),
        "sure": st.booleans(),
        "label": st.none() | samples.text,
        "day": st.dates(),
        "places": st.lists(st.integers()).map(tuple),
        "marks": st.sets(st.integers()),
        "inner": st.none() | st.builds(Inner, number=st.integers()),
        "grown": st.lists(st.integers()),
        "inverse": st.lists(st.integers(1, 5)),
        "anything": objects.values,
    },
)
_wrong = st.dictionaries(
    st.sampled_from(sorted(set(Reply.model_fields) - set(lc.AIMessage.model_fields))),
    st.one_of(samples.values, st.sampled_from(["7", "x", None, 1, 1.0, True, [0], [1], (1,), "2026-01-02"])),
    max_size=3,
)


@settings(max_examples=300, deadline=None)
@given(_valid, _wrong, st.booleans())
def test_every_value(valid: dict[str, Any], wrong: dict[str, Any], write: bool) -> None:
    """Valid ones, and those that were assigned without validation."""
    for cls in objects.CLASSES:
        chatmem.register(cls)
    message = Reply(**valid)
    for name, value in wrong.items():
        setattr(message, name, value)
    try:
        chatmem.register(Inner)
        assert objects.same(_read(message, write), message)
    finally:
        registry._classes.clear()


def _read(message: lc.BaseMessage, write: bool) -> lc.BaseMessage:
    if write:
        chatmem.register(Reply)
    element = b"0:" + record.encode(message, 0, 0).record
    chatmem.register(Reply)
    return record.decode(element).message


@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("score", value) for value in ("7", "x", None, 1.0, True)),
        *(("share", 1), ("sure", 1), ("places", [1]), ("marks", [1]), ("day", "2026-01-02")),
        *(("grown", [1]), ("inverse", [0]), ("inverse", [2])),
    ],
)
def test_what_validation_would_change(name: str, value: Any, write: bool) -> None:
    message = Reply(content="x")
    setattr(message, name, value)
    assert objects.same(trip(message, write=write), message)


def test_what_validation_needs_not_change_is_stored_as_ever() -> None:
    """Records of values that their annotations accept have nothing more than before."""
    chatmem.register(Reply)
    try:
        message = Reply(content="x", score=7, day=dt.date(2026, 1, 2), places=(1,), inner=Inner(number=3))
        encoded = record.encode(message, 0, 0).record
    finally:
        registry._classes.clear()
    assert b"\xa5inner\x81\xa6number\x03" in encoded
    assert b"\xa1e" not in encoded


def test_a_validator_that_fails_when_it_reads(clean: None) -> None:
    """Whatever it raises, the record is unreadable, and not the session."""

    class Before(lc.AIMessage):
        numbers: list[int] = pydantic.Field(default=[])

    class Now(lc.AIMessage):
        numbers: list[Annotated[int, pydantic.AfterValidator(_inverse)]] = pydantic.Field(default=[])

    chatmem.register(Before, name="numbered")
    element = b"0:" + record.encode(Before(content="x", numbers=[0]), 0, 0).record
    registry._classes.clear()
    chatmem.register(Now, name="numbered")
    with pytest.raises(chatmem.CorruptRecordError, match="'numbers'"):
        record.decode(element)


@pytest.mark.parametrize("what", ["field", "attribute"])
def test_a_default_that_fails_when_it_reads(clean: None, what: str) -> None:
    """The same for a class that has a new default."""
    if what == "field":

        class Grown(lc.AIMessage):
            new: float = pydantic.Field(default_factory=lambda: 1 / 0)

    else:

        class Grown(lc.AIMessage):  # type: ignore[no-redef]
            _new: float = pydantic.PrivateAttr(default_factory=lambda: 1 / 0)

    element = b"0:" + record.encode(type("Grown", (lc.AIMessage,), {})(content="x"), 0, 0).record
    chatmem.register(Grown)
    with pytest.raises(chatmem.CorruptRecordError, match="new' raised ZeroDivisionError"):
        record.decode(element)


def test_new_fields_whose_defaults_need_the_others(clean: None) -> None:
    """A default factory may take the values of the fields before it."""

    class Grown(lc.AIMessage):
        length: int = pydantic.Field(default_factory=lambda data: len(data["content"]))

    class GrownValue(pydantic.BaseModel):
        words: list[str] = []
        length: int = pydantic.Field(default_factory=lambda data: len(data["words"]))

    plain_message = type("Grown", (lc.AIMessage,), {"__module__": __name__})(content="abc")
    element = b"0:" + record.encode(plain_message, 0, 0).record
    chatmem.register(Grown)
    assert record.decode(element).message.length == 3  # type: ignore[attr-defined]

    class Earlier(pydantic.BaseModel):
        words: list[str] = []

    chatmem.register(Earlier, name="grown")
    value = lc.ToolMessage("x", tool_call_id="1", artifact=Earlier(words=["a", "b"]))
    element = b"0:" + record.encode(value, 0, 0).record
    registry._classes.clear()
    chatmem.register(GrownValue, name="grown")
    read: Any = record.decode(element).message
    assert read.artifact == GrownValue(words=["a", "b"])


def test_types_that_pydantic_does_not_know(clean: None) -> None:
    """A class that allows arbitrary types can be registered."""

    @chatmem.register
    class Holds(lc.AIMessage):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        place: objects.Bag | None = None

    chatmem.register(objects.Bag)
    message = Holds(content="x", place=objects.Bag(a=1))
    assert objects.same(record.decode(b"0:" + record.encode(message, 0, 0).record).message, message)
