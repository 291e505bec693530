"""What people put into messages: objects of any class are stored, and come back as themselves or as plain data."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import pickle
import subprocess
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core import messages as lc
from langchain_core.documents import Document
from langchain_core.documents.base import Blob
from langchain_core.outputs import ChatGeneration
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from msgspec.msgpack import Ext

import chatmem
import chatmem.sync
from chatmem.codec import names, record, registry, standard
from chatmem.codec.extensions import Code
from chatmem.codec.values import MAX_DEPTH, OnUnstorable
from chatmem.core.jsonable import jsonable
from tests import objects, samples
from tests.fuzz import _artifact
from tests.objects import Answer, Chart, FailedError, Fixed, Mood, Pair, Place, Source, same

GOLDEN = Path(__file__).parent / "golden" / "values-1.json"


@pytest.fixture
def registered() -> Iterator[None]:
    for cls in objects.CLASSES:
        chatmem.register(cls)
    yield
    registry._classes.clear()


def of(value: Any) -> lc.ToolMessage:
    return lc.ToolMessage("x", tool_call_id="1", artifact=value)


def message_trip(message: lc.BaseMessage, how: OnUnstorable = "error") -> lc.BaseMessage:
    return record.decode(b"7:" + record.encode(message, 0, 0, on_unstorable=how).record).message


def trip(value: Any, how: OnUnstorable = "error") -> Any:
    return message_trip(of(value), how).artifact  # type: ignore[attr-defined]


def answer() -> Answer:
    made = Answer(City="Cusco", sources=[Source(url="https://a.example/b")], more=(1, {2}))  # type: ignore[call-arg, arg-type]
    made._asked = 7
    return made


class TestRegistered:
    """Objects of registered classes come back equal, field by field, of the same class."""

    @settings(max_examples=400, deadline=None)
    @given(objects.values)
    def test_any_value(self, value: Any) -> None:
        """Objects of every family, around and inside other values."""
        for cls in objects.CLASSES:
            chatmem.register(cls)
        try:
            assert same(trip(value), value)
        finally:
            registry._classes.clear()

    @settings(max_examples=200, deadline=None)
    @given(objects.messages)
    def test_in_every_place(self, message: lc.BaseMessage) -> None:
        """Content blocks, metadata, arguments of calls, artifacts, extra fields."""
        for cls in objects.CLASSES:
            chatmem.register(cls)
        try:
            assert same(message_trip(message), message)
        finally:
            registry._classes.clear()

    def test_what_a_models_state_is(self, registered: None) -> None:
        """Aliases, extra fields, what was set, excluded fields, private attributes, a secret."""
        back = trip(answer())
        assert same(back, answer())
        assert back.model_fields_set == {"city", "sources", "more"}
        assert back.key.get_secret_value() == "hidden"

    def test_a_registered_class_brings_those_of_its_fields(self) -> None:
        """Nested models and enumerations need not be registered beside it; nor a record's writer."""
        written = b"7:" + record.encode(of([answer()]), 0, 0).record
        chatmem.register(Answer)
        try:
            assert same(record.decode(written).message.artifact, [answer()])  # type: ignore[attr-defined]
        finally:
            registry._classes.clear()

    def test_a_name(self) -> None:
        """Records carry the name that a class was registered with, so it may move."""

        class Old(pydantic.BaseModel):
            x: int

        class New(pydantic.BaseModel):
            x: int

        try:
            chatmem.register(Old, name="point")
            written = b"7:" + record.encode(of(Old(x=1)), 0, 0).record
            registry._classes.clear()
            chatmem.register(New, name="point")
            assert record.decode(written).message.artifact == New(x=1)  # type: ignore[attr-defined]
        finally:
            registry._classes.clear()

    def test_a_class_that_changed(self) -> None:
        """New fields take their defaults; a required one makes it plain data, and the message stays readable."""

        class Version1(pydantic.BaseModel):
            x: int
            gone: int = 2

        class Version2(pydantic.BaseModel):
            x: int
            new: list[int] = [3]

        class Version3(pydantic.BaseModel):
            x: int
            needed: int

        try:
            chatmem.register(Version1, name="v")
            written = b"7:" + record.encode(of(Version1(x=1)), 0, 0).record
            registry._classes.clear()
            chatmem.register(Version2, name="v")
            assert record.decode(written).message.artifact == Version2(x=1)  # type: ignore[attr-defined]
            registry._classes.clear()
            chatmem.register(Version3, name="v")
            assert record.decode(written).message.artifact == {"x": 1, "gone": 2}  # type: ignore[attr-defined]
        finally:
            registry._classes.clear()

    @pytest.mark.skipif(sys.version_info >= (3, 14), reason="pydantic's first version does not work there")
    def test_models_of_pydantics_first_version(self) -> None:
        """As `pydantic.v1` has them, private attributes too."""
        from pydantic import v1

        class First(v1.BaseModel):
            x: int = 1
            items: list[int] = []
            _seen: int = v1.PrivateAttr(0)

        value = First(items=[1])
        value._seen = 3
        assert trip(value) == {"x": 1, "items": [1]}
        assert type(trip(value)) is dict
        chatmem.register(First)
        try:
            back = trip(value)
            assert type(back) is First
            assert (back, back._seen, back.__fields_set__) == (value, 3, {"items"})
        finally:
            registry._classes.clear()

    def test_numpy(self) -> None:
        """Arrays and numbers of numpy's where their classes are registered; else lists and numbers."""
        array = np.array([[1, 2], [3, 4]], dtype="<i2")
        times = np.array(["2026-01-01"], dtype="datetime64[ns]")
        assert trip([array, np.float32(0.5), np.bool_(True)]) == [[[1, 2], [3, 4]], 0.5, True]
        chatmem.register(np.ndarray)
        chatmem.register(np.float32)
        try:
            for value in (array, times, np.zeros((0, 3)), np.array(["a", "bc"]), np.array(1.5)):
                back = trip(value)
                assert (back.dtype, back.shape, back.tolist()) == (value.dtype, value.shape, value.tolist())
            assert type(trip(np.float32(0.5))) is np.float32
        finally:
            registry._classes.clear()

    @pytest.mark.parametrize("wrong", [int, dict, object, threading.Lock, "Answer", Mood.CALM])
    def test_what_cannot_be_registered(self, wrong: Any) -> None:
        """Anything else is an error that names the argument."""
        with pytest.raises(ValueError, match="cls must be"):
            chatmem.register(wrong)

    def test_names_of_others(self) -> None:
        """A name that LangChain's or Python's own have, or another class, is an error."""
        with pytest.raises(ValueError, match="name must not"):
            chatmem.register(Answer, name="langchain:Document")
        chatmem.register(Answer, name="answer")
        try:
            with pytest.raises(ValueError, match="name="):
                chatmem.register(Chart, name="answer")
        finally:
            registry._classes.clear()


class TestUnregistered:
    """Objects of other classes come back as plain data, every value kept."""

    @pytest.mark.parametrize(
        ("value", "comes_back"),
        [
            (Source(url="https://a.example/b"), {"url": pydantic.HttpUrl("https://a.example/b"), "mood": "calm"}),  # type: ignore[arg-type]
            (Fixed(number=(1, 2)), {"number": (1, 2)}),
            (objects.Numbers([1, 2]), [1, 2]),
            (objects.Box[int](value=1), {"value": 1}),
            (Chart("a", Chart("b")), {"title": "a", "inner": {"title": "b", "inner": None, "rows": 3}, "rows": 3}),
            (Place(1, ("a",)), {"x": 1, "tags": ("a",)}),
            (objects.Note("a"), {"text": "a", "_seen": False}),
            (objects.Point(1), {"x": 1, "tags": []}),
            (objects._rows("n", [1]), {"fields": {"name": "n"}, "items": [1]}),
            (Pair(1), (1, "calm")),
            (Mood.CALM, "calm"),
            (Mood.PAIR, (1, 2)),
            (Mood.ODD, "ODD"),
            (objects.Word.YES, "yes"),
            (objects.Level.LOW, 1),
            (objects.Rights.READ | objects.Rights.WRITE, 3),
            (objects.Tag("a"), "a"),
            (objects.Bag(a=1), {"a": 1}),
            (defaultdict(list, a=[1]), {"a": [1]}),
            (Counter("aab"), {"a": 2, "b": 1}),
            (
                FailedError(5, hint="h"),
                {
                    "error": "tests.objects.FailedError",
                    "message": "code 5",
                    "args": ("code 5",),
                    "attributes": {"code": 5, "hint": "h"},
                },
            ),
            ({Place(1)}, [{"x": 1, "tags": ()}]),
            ({Place(1): 2}, [({"x": 1, "tags": ()}, 2)]),
            ({Mood.CALM: 1, "calm": 2}, [("calm", 1), ("calm", 2)]),
            ({Mood.CALM: 1}, {"calm": 1}),
            (frozenset({Mood.CALM, Mood.PAIR}), frozenset({"calm", (1, 2)})),
            (np.float64(1.5), 1.5),
            (np.str_("a"), "a"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_plain_data(self, value: Any, comes_back: Any) -> None:
        """The table of docs/values.md."""
        assert samples.same(trip(value), comes_back)
        assert samples.same(trip([value])[0], comes_back)

    def test_fields_by_their_names(self) -> None:
        """A model's fields by name, extra and excluded ones too, and a secret still as such."""
        back = trip(answer())
        assert {**back, "sources": None, "key": None} == {
            "city": "Cusco",
            "sources": None,
            "key": None,
            "cost": 0.5,
            "more": (1, {2}),
        }
        assert isinstance(back["key"], pydantic.SecretStr)
        assert "hidden" not in repr(back)

    @settings(max_examples=200, deadline=None)
    @given(objects.messages)
    def test_reading_and_storing_again(self, message: lc.BaseMessage) -> None:
        """What such data is stored as says the same when it is read once more."""
        once = message_trip(message)
        assert samples.same(message_trip(once), once) or objects.same(message_trip(once), once)

    def test_a_field_of_an_unregistered_message(self) -> None:
        """The own fields of a message class that is not registered hold such data."""

        class Cited(lc.AIMessage):
            source: Source

        back = message_trip(Cited(content="x", source=Source(url="https://a.example/b")))  # type: ignore[arg-type]
        assert back.source["mood"] == "calm"  # type: ignore[attr-defined]

    def test_registered_messages_keep_their_records(self) -> None:
        """Fields that the first releases stored in pydantic's JSON form are stored so still: they can read them."""

        class Cited(lc.AIMessage):
            mood: objects.Word = objects.Word.YES
            source: Source | None = None

        source = Source(url="https://a.example/b", mood=Mood.CALM)  # type: ignore[arg-type]
        message = Cited(content="x", mood=objects.Word.YES, source=source)
        chatmem.register(Cited)
        try:
            encoded = record.encode(message, 0, 0).record
            assert b"tests.objects" not in encoded
            assert same(record.decode(b"0:" + encoded).message, message)
        finally:
            registry._classes.clear()


class TestOwn:
    """Values of LangChain's and Python's own classes need no registration."""

    @pytest.mark.parametrize(
        "value",
        [
            Document(page_content="p", metadata={"page": 3, "tags": ("a",)}, id="d1"),
            ChatGeneration(message=lc.AIMessage("x", tool_calls=[{"name": "f", "args": {}, "id": "c"}])),
            lc.AIMessageChunk(content="x", id="1"),
            lc.HumanMessage("x", ticket=4),
            PromptTemplate.from_template("about {this}"),
            PromptTemplate.from_template("about {{this}}", template_format="mustache"),
            ChatPromptTemplate.from_messages([("system", "be {mood}"), MessagesPlaceholder("history")]),
            Blob(data=b"x", mimetype="text/plain"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_langchains(self, value: Any) -> None:
        """Documents, generations, messages inside artifacts, prompts."""
        assert same(trip([{"deep": value}]), [{"deep": value}])

    @pytest.mark.parametrize("name", names._MODULES)
    def test_the_list_is_of_classes(self, name: str) -> None:
        """Each name on the list is where the list says, in the installed langchain-core."""
        if names._MODULES[name] not in names._HERE:
            importlib.import_module(names._MODULES[name])
        cls = names.find("langchain:" + name)
        assert cls is not None
        assert (cls.__name__, names.name_of(cls)) == (name, "langchain:" + name)

    @pytest.mark.parametrize(
        "error",
        [
            ValueError("no", 1),
            KeyError("k"),
            FileNotFoundError(2, "No such file", "f.txt"),
            UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
            TimeoutError(),
            ExceptionGroup("many", [ValueError("a"), KeyError("b")]),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_pythons_exceptions(self, error: Exception) -> None:
        """Of the same class, with the same arguments, text and notes; without cause and traceback."""
        error.add_note("while it was tried")
        back = trip(error)
        assert type(back) is type(error)
        assert (repr(back), str(back), back.__notes__) == (repr(error), str(error), error.__notes__)
        assert getattr(back, "filename", None) == getattr(error, "filename", None)

    def test_what_acts_is_not_built(self) -> None:
        """A record cannot make a template that runs code, or a blob that reads a file."""
        jinja = PromptTemplate.model_construct(
            template="{{ x }}", template_format="jinja2", input_variables=["x"], input_types={}, partial_variables={}
        )
        for value in (jinja, Blob(path="/etc/hostname")):
            assert type(trip(value)) is dict

    @pytest.mark.parametrize("name", [None, "CET", "", "é"])
    @pytest.mark.parametrize("hours", [0, 1, -5.5])
    def test_offsets_with_a_name(self, name: str | None, hours: float) -> None:
        """As `datetime.now().astimezone()` has one."""
        zone = timezone(timedelta(hours=hours)) if name is None else timezone(timedelta(hours=hours), name)
        for value in (datetime(2026, 1, 1, 2, tzinfo=zone), datetime(2026, 1, 1, fold=1, tzinfo=zone).timetz()):
            back = trip(value)
            assert (back, back.fold, repr(back.tzinfo)) == (value, value.fold, repr(value.tzinfo))

    def test_an_offset_with_an_odd_name(self) -> None:
        """The offset alone comes back."""
        value = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=1), "\ud800"))
        assert trip(value) == value

    def test_zones_that_the_system_lacks(self) -> None:
        """A named zone is looked up on this system only; else the offset stays."""
        written = Ext(Code.STANDARD, msgspec.msgpack.encode(("datetime", ["2026-07-01T12:00:00+02:00", "No/Where", 0])))
        assert read(written) == datetime.fromisoformat("2026-07-01T12:00:00+02:00")
        for key in ("../../etc/passwd", "/etc/passwd", "tzdata.zoneinfo.UTC", "", "Europe", "a\0b", "a" * 5000):
            assert standard.zone(key) is None


class BrokenDict(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("secret words")


class BrokenZone(tzinfo):
    def utcoffset(self, when: datetime | None) -> Any:
        raise KeyError("secret words")

    def dst(self, when: datetime | None) -> Any:
        return None

    def tzname(self, when: datetime | None) -> Any:
        return None


class BrokenRepr:
    def __repr__(self) -> str:
        raise RuntimeError("secret words")


class BrokenTextError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("secret words")


class Secretive:
    def __repr__(self) -> str:
        return f"<Secretive redis://user:pa55word@host/0 at {id(self):#x} {'x' * 10_000}>"


UNSTORABLE = [threading.Lock(), print, int, ..., Secretive(), BrokenRepr(), BrokenTextError("x"), BrokenDict(a=1)]


def unstorable(hashable: int = len(UNSTORABLE)) -> st.SearchStrategy[Any]:
    return st.integers(0, hashable - 1).map(lambda n: UNSTORABLE[n])  # hypothesis would show the values themselves


def _around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(samples.text | unstorable(6), inner, max_size=3),
        st.sets(unstorable(6), max_size=3),
        *(st.builds(cls, inner) for cls in (Chart, Place, Pair, objects.Note, objects.Point)),
        st.builds(Fixed, number=inner),
        st.builds(ValueError, inner),
    )


class TestUnstorable:
    """What cannot be stored is an error that names it, or a text that says what it was."""

    @pytest.mark.parametrize(
        ("value", "path", "reason"),
        [
            (threading.Lock(), "", "type 'lock' cannot be stored"),
            ((n for n in "a"), "", "'generator'"),
            (Chart(threading.Lock()), ".title", "'lock'"),
            (Answer(more=[1, {"a b": object()}]), ".more[1]['a b']", "'object'"),  # type: ignore[call-arg]
            (Pair({"x": print}), "[0].x", "'builtin_function_or_method'"),
            (FailedError(object(), hint=""), ".attributes.code", "'object'"),
            (BrokenDict(a=1), "", "raised RuntimeError"),
            (datetime(2026, 1, 1, tzinfo=BrokenZone()), "", "raised KeyError"),
            (BrokenTextError(), "", "raised RuntimeError"),
            ({Place(object()): 1}, "'s key 0.x", "'object'"),
            ({Place(object())}, "'s item.x", "'object'"),
        ],
        ids=lambda value: type(value).__name__ if not isinstance(value, str) else None,
    )
    def test_the_error(self, value: Any, path: str, reason: str) -> None:
        """It names message and path, and shows nothing of what the application's own errors say."""
        with pytest.raises(chatmem.EncodingError) as caught:
            record.encode(of(["a", {"b": value}]), 5, 0)
        assert (caught.value.index, caught.value.field) == (5, f"artifact[1].b{path}")
        assert reason in str(caught.value)
        assert "secret words" not in str(caught.value)
        assert pickle.loads(pickle.dumps(caught.value)).field == caught.value.field

    def test_what_contains_itself(self) -> None:
        """Lists, dicts and objects that do are found at once, however often they do."""
        chart = Chart("a")
        chart.inner = chart
        twice: list[Any] = []
        twice += [twice, twice, {"again": twice}]
        for value in (chart, twice):
            with pytest.raises(chatmem.EncodingError, match="contains itself"):
                trip(value)
        assert trip(chart, "repr")["inner"].startswith("<unstorable tests.objects.Chart: Chart(")
        assert [type(item) for item in trip(twice, "repr")] == [str, str, dict]

    def test_the_text(self) -> None:
        """Type and repr, short, without an address; the rest of the message is as it was."""
        lock = threading.Lock()
        back = trip({"kept": Place(1), "lock": lock, "many": [lock, 1]}, "repr")
        assert back == {
            "kept": {"x": 1, "tags": ()},
            "lock": "<unstorable _thread.lock: <unlocked _thread.lock object>>",
            "many": ["<unstorable _thread.lock: <unlocked _thread.lock object>>", 1],
        }

    def test_a_text_never_says_too_much(self) -> None:
        """Bounded, without passwords in URLs, the same for every object of the kind; a repr that raises is left out."""
        (text,) = trip([Secretive()], "repr")
        assert len(text) < 300
        assert "pa55word" not in text
        assert text == trip([Secretive()], "repr")[0]
        assert trip(BrokenRepr(), "repr") == "<unstorable tests.test_values.BrokenRepr: <BrokenRepr>>"
        assert trip(BrokenDict(a=1), "repr").startswith("<unstorable tests.test_values.BrokenDict: ")
        assert trip(BrokenTextError("x"), "repr").startswith("<unstorable tests.test_values.BrokenTextError: ")

    def test_nesting_that_is_too_deep(self) -> None:
        """It is cut off there."""
        value: list[Any] = []
        for _ in range(10 * MAX_DEPTH):
            value = [value]
        depth, at = 0, trip(value, "repr")
        while isinstance(at, list):
            depth, at = depth + 1, at[0]
        assert depth == MAX_DEPTH
        assert at.startswith("<unstorable builtins.list: [[")

    def test_keys(self) -> None:
        """Keys that say the same then do not become one."""
        back = trip({BrokenRepr(): 1, BrokenRepr(): 2}, "repr")
        assert [value for _, value in back] == [1, 2]

    @settings(max_examples=200, deadline=None)
    @given(st.recursive(unstorable() | objects.values, _around, max_leaves=6))
    def test_with_a_text_nothing_fails(self, value: Any) -> None:
        """Whatever is where, the message is stored, and what is read of it can be stored again as it is."""
        once = trip(value, "repr")
        assert same(trip(once), once)
        assert json.dumps(jsonable(once), allow_nan=False)

    def test_private_state_that_cannot_be_stored(self) -> None:
        """A lock in a private attribute, an excluded field, or beside a dataclass' fields is no reason to fail."""

        class Client(pydantic.BaseModel, arbitrary_types_allowed=True):
            name: str
            handle: Any = pydantic.Field(None, exclude=True)
            _lock: Any = pydantic.PrivateAttr(default_factory=threading.Lock)

        @dataclasses.dataclass
        class Job:
            name: str

            def __post_init__(self) -> None:
                self._lock = threading.Lock()
                self.started = 5

        chatmem.register(Client)
        chatmem.register(Job)
        try:
            client, job = trip([Client(name="a", handle=threading.Lock()), Job("b")])
        finally:
            registry._classes.clear()
        assert (client.name, client.handle, type(client._lock)) == ("a", None, type(threading.Lock()))
        assert (job, job.started) == (Job("b"), 5)

    def test_a_field_whose_own_code_fails(self) -> None:
        """A message class' field that pydantic cannot dump or compare is stored otherwise, or named."""

        class Odd:
            def __eq__(self, other: object) -> bool:
                raise RuntimeError("secret words")

            __hash__ = None  # type: ignore[assignment]

        class Holds(lc.HumanMessage):
            model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
            odd: Any = None

            @pydantic.field_serializer("odd")
            def _dump(self, value: Any) -> Any:
                raise RuntimeError("secret words")

        chatmem.register(Holds)
        try:
            with pytest.raises(chatmem.EncodingError, match="field 'odd'"):
                message_trip(Holds(content="x", odd=Odd()))
        finally:
            registry._classes.clear()


class TestBothWays:
    """Both facades, and what happens between processes that know different classes."""

    async def test_on_unstorable(self, url: str, prefix: str) -> None:
        """Asynchronously: an error by default, a text with "repr"."""
        async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
            with pytest.raises(chatmem.EncodingError, match=r"message 1 .*'artifact'"):
                await memory.history("s").append("hi", of(threading.Lock()))
            assert await memory.history("s").messages() == []
        async with chatmem.connect(url, prefix=prefix, ttl=60, on_unstorable="repr") as memory:
            await memory.history("s").append("hi", of(threading.Lock()))
            assert (await memory.history("s").messages())[1].artifact.startswith("<unstorable _thread.lock")  # type: ignore[attr-defined]

    def test_on_unstorable_synchronously(self, url: str, prefix: str) -> None:
        """The same, blocking."""
        with chatmem.sync.connect(url, prefix=prefix, ttl=60, on_unstorable="repr") as memory:
            memory.history("s").append(of(print))
            assert memory.history("s").messages()[0].artifact.startswith("<unstorable builtins.")  # type: ignore[attr-defined]
        with pytest.raises(ValueError, match="on_unstorable must be"):
            chatmem.sync.connect(url, on_unstorable="drop")  # type: ignore[arg-type]

    async def test_the_same_message_read_without_its_classes(self, url: str, prefix: str) -> None:
        """What was read as plain data and is appended again is the message that is there; another is another."""
        artifact = [Chart("a"), answer(), Mood.PAIR, FailedError(1, hint=""), ValueError("x"), {Place(1), Place(2)}]
        message = lc.ToolMessage("x", tool_call_id="1", id="m", artifact=artifact)
        async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
            history = memory.history("s")
            await history.append(message)
            (read_back,) = await history.messages()
            assert (await history.append(read_back)).duplicates == 1
            assert (await history.append(message)).duplicates == 1
            with pytest.raises(chatmem.DuplicateIdError):
                await history.append(message.model_copy(update={"artifact": [Chart("b")]}))
            assert await history.count() == 1

    async def test_a_copy_keeps_the_classes(self, url: str, prefix: str) -> None:
        """A fork made by a process that does not know a class loses nothing."""
        async with chatmem.connect(url, prefix=prefix, ttl=60) as memory:
            await memory.history("s").append(lc.ToolMessage("x", tool_call_id="1", id="m", artifact=answer()))
            fork = await memory.history("s").fork("t")
            chatmem.register(Answer)
            try:
                assert same((await fork.messages())[0].artifact, answer())  # type: ignore[attr-defined]
            finally:
                registry._classes.clear()


def read(value: Any) -> Any:
    """Return what a record holds whose artifact is this msgpack."""
    data = value if isinstance(value, bytes) else msgspec.msgpack.encode(value)
    return record.decode(_artifact(data)).message.artifact  # type: ignore[attr-defined]


def stored_object(*parts: Any) -> Ext:
    return Ext(Code.OBJECT, msgspec.msgpack.encode(parts))


class TestHostile:
    """A record says nothing that makes chatmem import, call or build what was not made known."""

    @pytest.mark.parametrize(
        "name",
        [
            *("antigravity.X", "xml.dom.minidom.Document", "langchain:ChatOpenAI", "langchain:load", "python:eval"),
            *("python:object", "os.system", "langchain_core.prompts.chat.ChatPromptTemplate", ":", "", "python:"),
        ],
    )
    def test_names(self, name: str) -> None:
        """A name that nobody registered is plain data, and nothing is imported."""
        before = set(sys.modules)
        assert read(stored_object(name, {"x": 1}, {"a": {"y": 2}})) == {"x": 1}
        assert read(stored_object(name, {"x": 1})) == {"x": 1}
        assert set(sys.modules) == before

    def test_nothing_is_imported(self) -> None:
        """Not even LangChain's own, in a process that has not imported them; nor the data of time zones."""
        records = {
            "prompt": stored_object("langchain:PromptTemplate", {"template": "x"}),
            "tool": stored_object("langchain:ToolException", {"error": "x", "message": "", "args": ()}),
            "zone": Ext(Code.STANDARD, msgspec.msgpack.encode(("zone", "Mars/Base"))),
            "later": stored_object("app.models.Answer", {"x": 1}, {"u": []}, "of a later release"),
            "array": stored_object("numpy.ndarray", [1], {"d": "<i8", "s": [1]}),
        }
        hexes = {name: _artifact(msgspec.msgpack.encode(value)).hex() for name, value in records.items()}
        first = _artifact(b"\xc0").hex()
        code = f"""
import sys
from chatmem.codec import record
record.decode(bytes.fromhex({first!r}))
before = set(sys.modules)
values = {{name: record.decode(bytes.fromhex(one)).message.artifact for name, one in {hexes!r}.items()}}
print([values, sorted(set(sys.modules) - before)])
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        values, imported = ast.literal_eval(done.stdout)
        assert imported == []
        assert values["prompt"] == {"template": "x"}
        assert (values["zone"], values["later"], values["array"]) == ("Mars/Base", {"x": 1}, [1])

    def test_kinds_to_come(self) -> None:
        """A standard kind that this chatmem does not know costs its value: the parts come back."""
        assert read(Ext(Code.STANDARD, msgspec.msgpack.encode(("quaternion", [1, 2, 3, 4])))) == [1, 2, 3, 4]

    def test_an_extension_to_come(self) -> None:
        """A record with a code of a later release is unreadable, and says so."""
        with pytest.raises(chatmem.CorruptRecordError, match="extension 60"):
            read(Ext(60, b""))

    @pytest.mark.parametrize(
        "parts",
        [
            ["x"],
            [{"x": 1, 5: 2}],
            [{"x": 1}, {"a": {"__class__": 1, "__dict__": {}}}],
            [{"x": 1}, {"a": [1, 2], "p": 5, "u": 7, "n": []}],
            [{"x": 1}, 5],
            [[["x", 1]]],
            [None],
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("cls", objects.CLASSES, ids=lambda cls: cls.__name__)
    def test_states_that_do_not_fit(self, registered: None, cls: type[Any], parts: list[Any]) -> None:
        """An object of the class or the plain data comes of it, or the record is unreadable."""
        value = read(stored_object(names.name_of(cls), *parts))
        assert type(value) is cls or value == parts[0] or (cls in (Mood, objects.Rights) and value is None)
        assert getattr(value, "__class__", None) is type(value)

    def test_keys_of_one_hash(self, registered: None) -> None:
        """Objects whose hash others can choose make no set that takes forever."""
        modulus = sys.hash_info.modulus
        numbers = [Ext(Code.BIG_INT, (modulus * n).to_bytes(20, "big")) for n in range(3000)]
        places = [stored_object("tests.objects.Place", {"x": n, "tags": Ext(Code.TUPLE, b"\x90")}) for n in numbers]
        with pytest.raises(chatmem.CorruptRecordError, match="hash"):
            read(Ext(Code.SET, msgspec.msgpack.encode(places)))
        unset = [Ext(Code.BIG_INT, (modulus * n).to_bytes(40, "big")) for n in range(50_000)]
        made = read(stored_object("tests.objects.Answer", {"city": "x"}, {"u": unset}))
        assert made.city == "x"

    def test_deep_nesting_comes_back(self, registered: None) -> None:
        """As many objects in each other as can be stored can be read, from far down the stack."""
        value: Any = 1
        for _ in range(MAX_DEPTH // 2 - 1):
            value = Place([value])

        def far(frames: int) -> Any:
            return trip(value) if frames == 0 else far(frames - 1)

        assert same(far(300), value)

    def test_memory_that_a_record_claims(self) -> None:
        """An array's record cannot say how much memory it takes."""
        chatmem.register(np.ndarray)
        try:
            for dtype in ("V2000000000", "S2000000000", "U1000000000", "O", "f8,f8", "<i8[x"):
                assert np.asarray(read(stored_object("numpy.ndarray", ["a"], {"d": dtype, "s": [1]}))).nbytes < 100
        finally:
            registry._classes.clear()


def golden() -> dict[str, Any]:
    """A value of each kind, as the golden file holds it."""
    return {
        "tuple": (1, ("a",)),
        "Document": Document(page_content="p", metadata={"page": 3}, id="d1"),
        "message": lc.AIMessage("x", id="1"),
        "model": answer(),
        "dataclass": Chart("a", Chart("b")),
        "enumeration": [Mood.CALM, objects.Word.YES, objects.Rights.READ | objects.Rights.WRITE],
        "named tuple": Pair(1),
        "exception": ValueError("no"),
        "path": Path("a/b"),
        "zoned": datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=objects.BERLIN),
        "numbers": [1j, range(3)],
        "secret": pydantic.SecretStr("s"),
        "array": np.array([[1, 2]], dtype="<i2"),
    }


@pytest.mark.parametrize("name", golden())
def test_the_format_is_unchanged(name: str) -> None:
    """What is written today is what was written then, and reads as it did."""
    element = b"7:" + record.encode(of(golden()[name]), 0, 1_700_000_000_000_000).record
    assert element.hex() == json.loads(GOLDEN.read_text())[name]
    for cls in objects.CLASSES:
        chatmem.register(cls)
    try:
        back = record.decode(bytes.fromhex(json.loads(GOLDEN.read_text())[name])).message.artifact  # type: ignore[attr-defined]
    finally:
        registry._classes.clear()
    expected = golden()[name]
    assert same(back, expected) or repr(back) == repr(expected) or (name, back) == ("array", [[1, 2]])
