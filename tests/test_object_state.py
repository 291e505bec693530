"""The state of objects beside their fields: slots, attributes of C, caches, dtypes; and classes that changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import attrs
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core import messages as lc

import chatmem
from chatmem.codec import record, registry
from tests import samples


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    registry._classes.clear()


def written(value: Any) -> bytes:
    return b"0:" + record.encode(lc.ToolMessage("x", tool_call_id="1", artifact=value), 0, 0).record


def read(element: bytes) -> Any:
    return record.decode(element).message.artifact  # type: ignore[attr-defined]


def trip(value: Any) -> Any:
    chatmem.register(type(value))
    return read(written(value))


@attrs.frozen(cache_hash=True)
class Slotted:
    text: str


@attrs.frozen(cache_hash=True, slots=False)
class Unslotted:
    text: str


@attrs.define
class Grown:
    old: int
    new: list[int] = attrs.Factory(lambda: [1])
    from_old: int = attrs.field(default=attrs.Factory(lambda self: self.old + 1, takes_self=True))
    inner: int = attrs.field(init=False, default=5)
    never: int = attrs.field(init=False)


@attrs.define
class Needing:
    old: int
    needed: int


class Counted(msgspec.Struct, dict=True):
    number: int
    absent: int | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        self.number += 1


class Refusing(msgspec.Struct):
    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError


class SlottedError(Exception):
    __slots__ = ("code",)
    code: int


class SlottedList(list[int]):
    __slots__ = ("name",)
    name: str


class Pair(NamedTuple):
    one: int


class Named(Pair):
    """A named tuple with attributes, as one without `__slots__` has."""


class TestAttrs:
    @pytest.mark.parametrize("cls", [Slotted, Unslotted])
    def test_hashes_are_not_kept(self, cls: Any) -> None:
        """Another process has other hashes of strings, so a hash that is cached must be made anew."""
        value = cls("a")
        hash(value)
        element = written(value)
        chatmem.register(cls)
        made = read(element)
        assert made == value
        assert made._attrs_cached_hash is None
        assert hash(made) == hash(value)
        assert str(hash(value)).encode() not in element
        chatmem.register(cls)
        hash(made)
        assert {value: 1}[read(written(made))] == 1

    def test_new_fields(self) -> None:
        """They get their defaults; a required one makes it plain data."""
        old = attrs.make_class("Old", ["old"])
        chatmem.register(old, name="grown")
        element = written(old(1))
        registry._classes.clear()
        chatmem.register(Grown, name="grown")
        made = read(element)
        assert (made.old, made.new, made.from_old, made.inner) == (1, [1], 2, 5)
        assert not hasattr(made, "never")
        registry._classes.clear()
        chatmem.register(Needing, name="grown")
        assert read(element) == {"old": 1}


class TestStructs:
    def test_its_own_code_changes_nothing(self) -> None:
        """`__post_init__` is called, as msgspec builds no Struct without it, and what it did is undone."""
        value = Counted(1)
        value.note = "n"  # type: ignore[attr-defined]
        made = trip(value)
        assert (made.number, made.note, made.absent) == (2, "n", msgspec.UNSET)

    def test_one_that_it_refuses(self) -> None:
        value = Refusing(1)
        value.number = -1
        assert trip(value) == {"number": -1}

    def test_lost_fields(self) -> None:
        chatmem.register(msgspec.defstruct("Old", [("number", int), ("lost", int, 2)]), name="counted")
        (old,) = set(registry._classes.values())
        element = written(old(1))
        registry._classes.clear()
        chatmem.register(Refusing, name="counted")
        assert read(element) == Refusing(1)


class TestSlots:
    def test_of_an_exception(self) -> None:
        value = SlottedError("a")
        value.code = 5
        assert trip(value).code == 5
        registry._classes.clear()
        assert read(written(value))["attributes"] == {"code": 5}

    def test_of_a_list(self) -> None:
        value = SlottedList([1])
        value.name = "n"
        assert (trip(value), trip(value).name) == ([1], "n")

    def test_of_a_named_tuple(self) -> None:
        value = Named(1)
        value.note = "n"  # type: ignore[attr-defined]
        made = trip(value)
        assert (type(made), made, made.note) == (Named, Pair(1), "n")


class TestPythonsExceptions:
    """Attributes that are no arguments come back, except for the object of an AttributeError, as with pickle."""

    @pytest.mark.parametrize(
        "error",
        [
            ModuleNotFoundError("no", name="n", path="p"),
            NameError("x", name="n"),
            AttributeError("a", name="n", obj=object()),
            SyntaxError("m", ("f", 1, 2, "t", 3, 4)),
            BlockingIOError(1, "x", 3),
            OSError(2, "a", "f", None, "g"),
            UnicodeDecodeError("u", b"x", 0, 1, "r"),
            ExceptionGroup("g", [ImportError("no", name="n")]),
            StopIteration(5),
            SystemExit(3),
            KeyError(),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_attributes(self, error: Exception) -> None:
        assert _state(read(written(error))) == _state(error)

    def test_changed_ones(self) -> None:
        syntax, encoding = SyntaxError("m"), UnicodeDecodeError("u", b"x", 0, 1, "r")
        syntax.lineno, encoding.reason = 7, "because"
        syntax.note = "n"  # type: ignore[attr-defined]
        back = read(written([syntax, encoding]))
        assert (back[0].lineno, back[0].note, back[1].reason) == (7, "n", "because")

    def test_wrong_ones(self) -> None:
        """Attributes in a record that the class does not take make it plain data."""
        encoding = UnicodeDecodeError("u", b"x", 0, 1, "r")
        encoding.start = 77
        element = written(encoding)
        assert read(element).start == 77
        assert read(element.replace(b"\xa5start\x4d", b"\xa5start\xc0"))["error"] == "builtins.UnicodeDecodeError"


def _state(error: BaseException) -> Any:
    names = [
        name for name in dir(type(error)) if not name.startswith("_") and name not in ("obj", "args", "exceptions")
    ]
    state = [(name, getattr(error, name, None)) for name in names if not callable(getattr(error, name, None))]
    return type(error), repr(error), state, [_state(one) for one in getattr(error, "exceptions", ())]


class TestArrays:
    @settings(max_examples=200, deadline=None)
    @given(st.data())
    def test_any_array(self, data: st.DataObject) -> None:
        """Of every dtype that Python has values for, with its shape."""
        dtype = data.draw(
            st.sampled_from(
                ["?", "<i2", ">i4", "u8", "f2", ">f8", "c16", "M8[D]", "M8[ns]", "m8[25s]", "S5", "<U3", ">U7", "O"]
            )
        )
        shape = data.draw(st.lists(st.integers(0, 3), max_size=3).map(tuple))
        count = int(np.prod(shape))
        values = data.draw(st.lists(_items(dtype), min_size=count, max_size=count))
        value = np.empty(shape, dtype=dtype)
        value.flat[:] = values if dtype != "O" else _objects(values)
        made = trip(value)
        assert (type(made), made.dtype, made.shape) == (np.ndarray, value.dtype, value.shape)
        assert samples.same(made.tolist(), value.tolist())

    def test_records(self) -> None:
        """An array of records, whose dtype is not stored, is plain data."""
        assert trip(np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])) == [(1, 2.0)]

    def test_sizes_that_a_record_claims(self) -> None:
        """Neither the width of a text nor a shape may claim more memory than the record holds."""
        for value, found, claimed in (
            (np.array(["abc"]), b"\xa3<U3", b"\xa9<U9999999"),
            (np.array([1, "a"], dtype=object), b"\xa1s\x91\x02", b"\xa1s\x91\xce\x7f\xff\xff\xff"),
        ):
            element = _claiming(written(value), found, claimed)
            chatmem.register(np.ndarray)
            assert read(element) == value.tolist()

    def test_one_long_text_among_many(self) -> None:
        """Each text of an array takes as much memory as the longest."""
        value = ["", "x" * 50_000, *[""] * 50_000]
        texts = msgspec.msgpack.encode(["a", "b"])
        element = _claiming(written(np.array(["a", "b"])), texts, msgspec.msgpack.encode(value))
        chatmem.register(np.ndarray)
        assert read(element) == value


def _items(dtype: str) -> st.SearchStrategy[Any]:
    small = st.integers(0, 100)
    texts = {"S": st.binary(max_size=5).map(lambda b: b.rstrip(b"\0")), "U": st.text("ab\u00e9", max_size=3)}
    others = {"O": st.one_of(small, st.none(), st.lists(small, max_size=2), samples.text), "?": st.booleans()}
    kind = next(letter for letter in dtype if letter.isalpha() or letter == "?")
    if kind in "Mm":
        return small.map(lambda n: np.array(n).astype(dtype)[()])
    return {**texts, **others}.get(kind, small)


def _objects(values: list[Any]) -> Any:
    made = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        made[index] = value
    return made


def _claiming(element: bytes, found: bytes, claimed: bytes) -> bytes:
    """Return the element with other bytes in the artifact's extension."""
    header, (struct, extension) = element[:17], msgspec.msgpack.decode(element[17:])
    code, data = extension["f"]["artifact"].code, extension["f"]["artifact"].data
    assert data.count(found) == 1
    extension["f"]["artifact"] = msgspec.msgpack.Ext(code, data.replace(found, claimed))
    return header + msgspec.msgpack.encode([struct, extension])
