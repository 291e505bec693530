"""Promise 1 and 6: what goes in comes out equal; what cannot be read costs itself alone."""

from __future__ import annotations

import base64
import enum
import json
import pickle
import socket
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core import messages as lc
from langchain_core.version import VERSION

import chatmem
from chatmem.codec import kinds, plain, record, registry, values
from tests import samples
from tests.samples import same

GOLDEN = Path(__file__).parent / "golden" / "format-1.json"


def stored(message: lc.BaseMessage) -> bytes:
    return b"7:" + record.encode(message, 0, 1_700_000_000_000_000).record


def round_trip(message: lc.BaseMessage) -> lc.BaseMessage:
    """Return the message as the fast path reads it, which is as `record.decode` does."""
    element = stored(message)
    (fast,) = plain.decode_messages([element])
    assert same(fast, record.decode(element).message)
    return fast


@pytest.fixture
def registered() -> Any:
    chatmem.register(samples.Custom)
    yield samples.Custom
    registry._classes.clear()
    registry._adapters.clear()


@pytest.mark.parametrize("name", samples.kinds())
def test_every_kind_comes_back_equal(name: str, registered: Any) -> None:
    """All 22 kinds that the peers were tried with come back as they were, field set included."""
    message = samples.kinds()[name]
    assert same(round_trip(message), message)


def test_every_message_class_is_known() -> None:
    """Every message class that langchain-core exports has a kind of its own."""
    exported = [getattr(lc, name) for name in lc.__all__]
    classes = {cls for cls in exported if isinstance(cls, type) and issubclass(cls, lc.BaseMessage)}
    assert classes - {lc.BaseMessageChunk} <= set(kinds.BY_CLASS)


@settings(max_examples=400)
@given(samples.messages)
def test_random_messages_come_back_equal(message: lc.BaseMessage) -> None:
    """Random messages of every class, with random values, come back equal in values and types."""
    assert same(round_trip(message), message)


@settings(max_examples=400)
@given(samples.values)
def test_random_artifacts_come_back_equal(value: Any) -> None:
    """Artifacts of any storable kind, nested and mixed, come back equal in values and types."""
    message = lc.ToolMessage("x", tool_call_id="1", artifact=value)
    assert same(round_trip(message), message)


def test_real_conversations_come_back_equal() -> None:
    """The 4,042 messages of 150 real conversations come back equal."""
    messages = [message for conversation in samples.conversations().values() for message in conversation]
    assert len(messages) == 4042
    assert all(same(round_trip(message), message) for message in messages)


def test_the_fast_path_serves_the_real_conversations() -> None:
    """None of the real messages needs the slow path; if one does, a langchain-core release changed its fields."""
    for conversation in samples.conversations().values():
        for message in conversation:
            assert not record.encode(message, 0, 0).record[1] & record.EXTENDED


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: kind.cls.__name__)
def test_the_fast_path_can_build_every_class(kind: kinds.Kind) -> None:
    """Python lets a blank become a message of the class, whose layout is the same. If not, reads are exact but slow."""
    blank: Any = object.__new__(plain._Blank)
    blank.__class__ = kind.cls
    assert type(blank) is kind.cls


def test_shapes_of_damaged_records_are_bounded() -> None:
    """Records with all the headers that there can be do not fill the memory."""
    body = stored(lc.HumanMessage("x"))
    for mask in range(2 * plain._MOST_SHAPES):
        assert plain.decode_messages([body[:5] + mask.to_bytes(2) + body[7:]])[0].content == "x"
    assert len(plain._shapes) <= plain._MOST_SHAPES
    plain._shapes.clear()


def test_messages_are_what_pydantic_makes() -> None:
    """A decoded message holds exactly what one built by its constructor holds, in the same order."""
    for message in samples.kinds().values():
        if type(message) not in kinds.BY_CLASS:
            continue
        decoded = round_trip(message)
        assert list(decoded.__dict__) == list(message.__dict__) == list(type(message).model_fields)
        assert set(dir(decoded)) == set(dir(message))
        assert repr(decoded) == repr(message)
        assert decoded.model_dump() == message.model_dump() or "nan" in repr(message)
        assert decoded.model_dump(exclude_unset=True).keys() == message.model_dump(exclude_unset=True).keys()
        assert decoded.model_copy(update={"name": "x"}).name == "x"


def test_kinds_match_the_installed_langchain_core() -> None:
    """On a new langchain-core every Struct has its class' fields, in their order, so that the fast path is taken."""
    if tuple(map(int, VERSION.split(".")[:2])) < (1, 7):
        pytest.skip("an older langchain-core has other fields, and the slower path serves it")
    for kind in kinds.KINDS:
        assert list(kind.names) == list(kind.cls.model_fields)


class Point(NamedTuple):
    x: int


class Calm(enum.StrEnum):
    CALM = "calm"


class Level(enum.IntEnum):
    LOW = 1


@pytest.mark.parametrize(
    ("artifact", "comes_back"),
    [
        (Point(1), (1,)),
        (bytearray(b"a"), b"a"),
        (memoryview(b"a"), b"a"),
        (type("Text", (str,), {})("a"), "a"),
        (Calm.CALM, "calm"),
        (Level.LOW, 1),
        (type("Real", (float,), {})(1.5), 1.5),
        (OrderedDict(a=1), {"a": 1}),
        (type("Items", (list,), {})([1]), [1]),
    ],
    ids=["named tuple", "bytearray", "memoryview", "str subclass", "StrEnum", "IntEnum", "float subclass",
         "dict subclass", "list subclass"],
)  # fmt: skip
def test_what_the_format_cannot_tell_apart(artifact: Any, comes_back: Any) -> None:
    """The documented list of values that come back as their plain form."""
    decoded = round_trip(lc.ToolMessage("x", tool_call_id="1", artifact=artifact))
    assert isinstance(decoded, lc.ToolMessage)
    assert same(decoded.artifact, comes_back)


class Opaque:
    """Something that no format carries."""


def cyclic() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"artifact": socket.socket}, "artifact"),
        ({"artifact": {"a": [1, {"handle": Opaque()}]}}, "artifact.a[1].handle"),
        ({"artifact": {Opaque(): 1}}, "artifact's key 0"),
        ({"artifact": ...}, "artifact"),
        ({"additional_kwargs": {"raw": Opaque()}}, "additional_kwargs.raw"),
        ({"content": [{"type": "x", "data data": Opaque()}]}, "content[0]['data data']"),
        ({"more": Opaque()}, "more"),
        ({"artifact": lc.HumanMessage("a model of pydantic's", raw=Opaque())}, "artifact.raw"),
    ],
)
def test_what_cannot_be_stored_is_named(fields: dict[str, Any], field: str) -> None:
    """A value that cannot be stored raises EncodingError with the message's position and the field's path."""
    message = lc.ToolMessage(**{"content": "x", "tool_call_id": "1", **fields})
    with pytest.raises(chatmem.EncodingError, match="message 3 ") as caught:
        record.encode(message, 3, 0)
    assert caught.value.index == 3
    assert caught.value.field == field


def test_a_real_socket_is_refused() -> None:
    """An open socket as an artifact."""
    with socket.socket() as handle, pytest.raises(chatmem.EncodingError, match="'socket' cannot be stored"):
        record.encode(lc.ToolMessage("x", tool_call_id="1", artifact={"s": handle}), 0, 0)


def test_nesting_has_a_limit_on_both_sides() -> None:
    """What is nested too deep to be read again, or contains itself, is refused when written."""
    limit = lc.ToolMessage("x", tool_call_id="1", artifact=deep(values.MAX_DEPTH - 2))
    assert same(round_trip(limit), limit)
    for artifact in (deep(values.MAX_DEPTH + 1), cyclic()):
        with pytest.raises(chatmem.EncodingError, match="levels deep"):
            record.encode(lc.ToolMessage("x", tool_call_id="1", artifact=artifact), 0, 0)


def test_an_overlong_id_is_refused() -> None:
    """An id longer than the header can hold is an error and not a cut one."""
    with pytest.raises(chatmem.EncodingError, match="'id'"):
        record.encode(lc.HumanMessage("x", id="i" * 70_000), 0, 0)


@pytest.mark.parametrize(
    "message", [lc.HumanMessage.model_construct(content=None), lc.AIMessage.model_construct(content=5, id=7)]
)
def test_messages_that_bypassed_validation_are_kept(message: lc.BaseMessage) -> None:
    """Values of types that a message's class does not allow are kept all the same, not mangled."""
    decoded = round_trip(message)
    assert decoded.content == message.content
    assert decoded.id == message.id


class TestSubclasses:
    """Subclasses come back as themselves once registered, as their base with every field kept when not."""

    def test_unregistered(self) -> None:
        """Its own fields become extra fields of the base."""
        decoded = round_trip(samples.Custom(content="hi", mood="great", id="1", more=[1]))  # type: ignore[call-arg]
        assert type(decoded) is lc.HumanMessage
        assert decoded == lc.HumanMessage("hi", id="1", mood="great", more=[1])

    def test_registered_when_read(self, registered: Any) -> None:
        """It is itself again, also when the writer had not registered it."""
        registry._classes.clear()
        written = stored(samples.Custom(content="hi", mood="great"))
        chatmem.register(samples.Custom)
        decoded = record.decode(written).message
        assert same(decoded, samples.Custom(content="hi", mood="great"))

    def test_defaults_are_filled(self, registered: Any) -> None:
        """A field that was never set comes back with its default, and unset."""
        decoded = round_trip(samples.Custom(content="hi"))
        assert same(decoded, samples.Custom(content="hi"))

    def test_own_type(self) -> None:
        """A subclass with a type of its own comes back, unregistered, with the type of its base."""

        class Special(lc.AIMessage):
            type: str = "special"  # type: ignore[assignment]

        decoded = round_trip(Special(content="x"))
        assert type(decoded) is lc.AIMessage
        assert decoded.type == "ai"
        try:
            chatmem.register(Special)
            assert same(round_trip(Special(content="x")), Special(content="x"))
        finally:
            registry._classes.clear()

    def test_direct_subclass_of_base_message(self) -> None:
        """A class that derives from BaseMessage itself keeps its type."""

        class Note(lc.BaseMessage):
            type: str = "note"
            level: int = 0

        decoded = round_trip(Note(content="x", level=3))
        assert (type(decoded), decoded.type, decoded.level) == (lc.BaseMessage, "note", 3)  # type: ignore[attr-defined]

    def test_fields_of_pydantic_types(self) -> None:
        """A registered class' fields may be models and enums, which are plain data as long as it is not registered."""

        class Source(pydantic.BaseModel):
            url: str

        class Mood(enum.Enum):
            CALM = 1

        class Cited(lc.AIMessage):
            source: Source
            mood: Mood = Mood.CALM

        message = Cited(content="x", source=Source(url="a"), mood=Mood.CALM)
        assert round_trip(message) == lc.AIMessage("x", source={"url": "a"}, mood=1)
        try:
            chatmem.register(Cited)
            assert same(round_trip(message), message)
        finally:
            registry._classes.clear()

    def test_private_attributes(self) -> None:
        """A registered class' private attributes come back."""

        class Counted(lc.HumanMessage):
            _seen: int = 0

        message = Counted(content="x")
        message._seen = 5
        try:
            chatmem.register(Counted)
            assert same(round_trip(message), message)
        finally:
            registry._classes.clear()

    def test_a_class_that_changed(self) -> None:
        """A registered class with a new required field makes an old record unreadable, and says why."""

        class Changed(lc.HumanMessage):
            pass

        written = stored(Changed(content="x"))

        class Newer(lc.HumanMessage):
            score: int

        try:
            chatmem.register(Newer, name="Changed")
            with pytest.raises(chatmem.CorruptRecordError, match="required field 'score'"):
                record.decode(written)
        finally:
            registry._classes.clear()

    def test_names_do_not_clash(self, registered: Any) -> None:
        """Two classes of one name cannot both be registered under it."""
        other = type("Custom", (lc.AIMessage,), {"__module__": "elsewhere"})
        with pytest.raises(ValueError, match="name="):
            chatmem.register(other)
        chatmem.register(other, name="elsewhere.Custom")
        assert type(round_trip(other(content="x"))) is other

    def test_a_name_of_another_base_is_ignored(self, registered: Any) -> None:
        """A record cannot turn an AI message into a registered human one."""
        imposter = type("Custom", (lc.AIMessage,), {})
        assert type(round_trip(imposter(content="x"))) is lc.AIMessage

    @pytest.mark.parametrize("wrong", [str, lc.HumanMessage("x"), "HumanMessage"])
    def test_only_message_classes(self, wrong: Any) -> None:
        """Registering anything else is an error that names the argument."""
        with pytest.raises(ValueError, match="cls must be"):
            chatmem.register(wrong)


def test_fields_of_a_newer_langchain_core_survive() -> None:
    """A field that this chatmem and this langchain-core do not know is kept, and is set again where it is known."""

    class Newer(lc.HumanMessage):
        priority: int = 0

    Newer.__name__ = "HumanMessage"
    written = stored(Newer(content="x", priority=7))
    read = record.decode(written).message
    assert read.priority == 7  # type: ignore[attr-defined]
    assert record.decode(stored(read)).message.priority == 7  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-1],
        lambda whole: whole[:20],
        lambda whole: whole[:5],
        lambda whole: b"",
        lambda whole: b"7:",
        lambda whole: whole + b"\xc1",
        lambda whole: whole.replace(b"7:\x01", b"7:\x02", 1),
        lambda whole: whole[:4] + b"?" + whole[5:],
        lambda whole: b"\x80\x04N.",
        lambda whole: b'{"type": "human"}',
        lambda whole: b'{"type": "human", "data": {"content": {"secret": 1}}}',
        lambda whole: b"7:AAAA*",
    ],
)
def test_damaged_records_raise_their_own_error(damage: Any) -> None:
    """Whatever is wrong with a record, reading it raises CorruptRecordError and never shows what it held."""
    with pytest.raises(chatmem.CorruptRecordError) as caught:
        record.decode(damage(stored(lc.HumanMessage("hello", id="1"))))
    assert "secret" not in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args


def test_a_newer_format_says_so() -> None:
    """A record of a format to come is unreadable, not misread."""
    with pytest.raises(chatmem.CorruptRecordError, match="format 2"):
        record.decode(stored(lc.HumanMessage("hello")).replace(b"7:\x01", b"7:\x02", 1))


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_random_bytes_never_crash(data: bytes) -> None:
    """Random bytes are a CorruptRecordError or a message, nothing else."""
    for element in (data, b"0:" + data, b"0:\x01\x00h" + data, b"0:\x01\x01a\x00\x01" + b"\x00" * 10 + data):
        with suppress(chatmem.CorruptRecordError):
            assert isinstance(record.decode(element).message, lc.BaseMessage)


@settings(max_examples=300)
@given(samples.messages, st.integers(0, 10_000), st.integers(0, 255))
def test_flipped_bytes_never_crash(message: lc.BaseMessage, place: int, byte: int) -> None:
    """A record with one byte changed is a CorruptRecordError or some message, nothing else."""
    whole = bytearray(stored(message))
    whole[place % len(whole)] = byte
    with suppress(chatmem.CorruptRecordError):
        assert isinstance(record.decode(bytes(whole)).message, lc.BaseMessage)


def test_base64_records_are_read() -> None:
    """A record that had to travel as text is read like any other."""
    position, _, whole = stored(lc.HumanMessage("hello", id="1")).partition(b":")
    decoded = record.decode(position + b":" + base64.b64encode(whole))
    assert decoded.message == lc.HumanMessage("hello", id="1")


def test_langchains_own_json_is_read() -> None:
    """A message that LangChain's own classes stored is recognised by its first byte, and validated."""
    message = lc.AIMessage("hi", id="1", tool_calls=[{"name": "f", "args": {}, "id": "c"}])
    decoded = record.decode(json.dumps(lc.message_to_dict(message)).encode())
    assert decoded.message == message
    assert decoded.created_at is None


def test_the_header_is_read() -> None:
    """Id and time come back from the header."""
    decoded = record.decode(stored(lc.HumanMessage("hello", id="m\ud8001")))
    assert decoded.id == decoded.message.id == "m\ud8001"
    assert decoded.created_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_what_is_cached_on_a_message_does_no_harm() -> None:
    """Something beside the fields in a message's `__dict__` is left out."""
    message = lc.HumanMessage("x")
    message.__dict__["_cached"] = object()
    assert round_trip(message) == lc.HumanMessage("x")


def test_equal_messages_make_equal_records() -> None:
    """The bytes depend on what a message says and not on how it was made."""
    json_made = lc.messages_from_dict(
        json.loads(json.dumps(lc.messages_to_dict([lc.ToolMessage("x", tool_call_id="1")])))
    )
    fresh = lc.ToolMessage("x", tool_call_id="1")
    assert record.encode(json_made[0], 0, 0).record[15:] == record.encode(fresh, 0, 0).record[15:]


class TestGolden:
    """What one release wrote every later one reads."""

    @pytest.mark.parametrize("name", samples.kinds())
    def test_old_records_are_read(self, name: str, registered: Any) -> None:
        """The stored bytes of format 1 decode to the same messages for ever."""
        element = bytes.fromhex(json.loads(GOLDEN.read_text())[name])
        assert same(record.decode(element).message, samples.kinds()[name])

    @pytest.mark.parametrize("name", samples.kinds())
    def test_the_format_is_unchanged(self, name: str) -> None:
        """What is written today is what was written then; a change here needs a new format number."""
        if not kinds.BY_CLASS[lc.HumanMessage].matches_class:
            pytest.skip("an older langchain-core has fields that are stored beside the others")
        assert stored(samples.kinds()[name]).hex() == json.loads(GOLDEN.read_text())[name]
