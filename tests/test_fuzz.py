"""Hostile records, twenty thousand of them; `python -m tests.fuzz` makes a million."""

from __future__ import annotations

import json
import struct
import sys
import tracemalloc
from contextlib import suppress
from datetime import date

import msgspec
import pytest
from hypothesis import given, settings
from langchain_core import messages as lc
from msgspec.msgpack import Ext

import chatmem
from chatmem.codec import messages, plain, record
from chatmem.codec.extensions import CONTAINERS
from chatmem.codec.hostile import _Walk
from tests import samples
from tests.fuzz import _artifact, fuzz


def test_hostile_records() -> None:
    """A message or a CorruptRecordError comes of each, soon, in little memory, and nothing is imported."""
    outcome = fuzz(seed=1, inputs=20_000)
    assert outcome.imported == []
    assert outcome.counts["message"] > 1000
    assert outcome.counts["corrupt"] > 1000
    assert outcome.growth < 300 * 2**20


@pytest.mark.parametrize(
    "data",
    [
        {"content": "x", "additional_kwargs": "s"},
        {"content": "x", "tool_calls": [3]},
        {"content": "x", "content_blocks": [3]},
    ],
)
def test_json_that_breaks_langchains_validators(data: dict[str, object]) -> None:
    """They raise an AttributeError of their own, which must not make a whole session unreadable."""
    element = json.dumps({"type": "ai", "data": data}).encode()
    with pytest.raises(chatmem.CorruptRecordError):
        record.decode(element)
    with pytest.raises(chatmem.CorruptRecordError):
        plain.decode_messages([element])


@pytest.mark.parametrize("code", sorted(CONTAINERS))
def test_nested_extensions_are_not_copied(code: int) -> None:
    """One in another, two hundred levels deep, around a megabyte: no level takes another megabyte."""
    inner = b"\xc6" + struct.pack(">I", 10**6) + b"x" * 10**6
    for _ in range(200):
        inner = b"\x91" + inner
        inner = b"\xc9" + struct.pack(">IB", len(inner), code) + inner
    element = _artifact(inner)
    tracemalloc.start()
    with suppress(chatmem.CorruptRecordError):
        record.decode(element)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 10**6


def colliding(count: int) -> list[bytes]:
    """Return that many integers in msgpack, as chatmem writes large ones, which all have the same hash."""
    numbers = (sys.hash_info.modulus * (n + 5) for n in range(count))
    return [msgspec.msgpack.encode(Ext(1, number.to_bytes(number.bit_length() // 8 + 1, "big"))) for number in numbers]


@pytest.mark.parametrize("shape", ["set", "frozenset", "map", "keys", "list keys", "in a set"])
def test_keys_of_one_hash(shape: str) -> None:
    """A dict or set of a hundred thousand of those would take minutes."""
    keys = colliding(100_000)
    head = struct.pack(">I", len(keys))
    items = b"\xdd" + head + b"".join(keys)
    pairs = b"\xdd" + head + b"".join(b"\x92" + key + b"\xc0" for key in keys)
    keyed = b"\xdf" + head + b"".join(key + b"\xc0" for key in keys)
    values = {
        "set": extension_of(9, items),
        "frozenset": extension_of(10, items),
        "map": extension_of(11, pairs),
        "keys": keyed,
        "list keys": b"\xdf" + head + b"".join(b"\x91" + key + b"\xc0" for key in keys),
        "in a set": extension_of(9, b"\x92\x01" + keyed),
    }
    with pytest.raises(chatmem.CorruptRecordError, match="key"):
        record.decode(_artifact(values[shape]))


def extension_of(code: int, data: bytes) -> bytes:
    return b"\xc9" + struct.pack(">IB", len(data), code) + data


def test_honest_keys_are_no_attack() -> None:
    """Large sets and dicts of every kind of key, deep in lists, come back."""
    tuples = {(n, str(n)): n for n in range(5000)}
    numbers = {n * 2**40: [n, {"n": n}] for n in range(5000)}
    floats = {float(n): "я" for n in range(5000)}
    days = {date.fromordinal(n) for n in range(1, 5000)}
    large = {-(2**70) + n: n for n in range(5000)}
    artifact = [tuples, {"deep": [numbers, floats]}, days, frozenset(map(str, range(5000))), large]
    message = lc.ToolMessage("x", tool_call_id="1", artifact=artifact)
    element = b"0:" + record.encode(message, 0, 0).record
    assert record.decode(element).message == message


@settings(max_examples=200, deadline=None)
@given(samples.values)
def test_the_walk_finds_no_fault_with_what_chatmem_writes(value: object) -> None:
    """Through every value that can be stored it ends where the body ends."""
    message = lc.ToolMessage("x", tool_call_id="1", artifact=value)
    body = messages.dump(message, with_id=False).data
    for before in (b"", b"the header"):
        walk = _Walk(before + body, len(before), CONTAINERS)
        walk.check()
        assert walk._at == len(before + body)


def chunk(arguments: str, *, where: str = "tool_call_chunks") -> bytes:
    call = {"name": "f", "args": arguments, "id": "1", "index": 0}
    raw = {"tool_calls": [{"id": "1", "index": 0, "function": {"name": "f", "arguments": arguments}}]}
    data = {"tool_call_chunks": [call]} if where == "tool_call_chunks" else {"additional_kwargs": raw}
    return json.dumps({"type": "AIMessageChunk", "data": {"content": "", **data}}).encode()


@pytest.mark.parametrize("where", ["tool_call_chunks", "additional_kwargs"])
@pytest.mark.parametrize(
    "arguments", ['{"a":1,' * 30_000, '{"a": tru' + "x" * 200_000, "1," * 100_000, '{"' + "k" * 100_000]
)
def test_arguments_that_cannot_be_completed(arguments: str, where: str) -> None:
    """LangChain would take minutes to find that out."""
    with pytest.raises(chatmem.CorruptRecordError, match="arguments"):
        record.decode(chunk(arguments, where=where))


@pytest.mark.parametrize("length", [10, 10_000])
@pytest.mark.parametrize(
    "pattern",
    [
        '{"a": "%s"}',
        '{"a": "%s',
        '{"a": "%s\\',
        '{"a": "%s", "b": [1, {"c": tru',
        '{"a": "%s",',
        '{"a": "%s"]',
        '{"a": "%s", "bcd',
    ],
)
def test_arguments_that_are_cut_off(pattern: str, length: int) -> None:
    """However long, they are what LangChain makes of them."""
    element = chunk(pattern % ("x" * length))
    assert record.decode(element).message == lc.messages_from_dict([json.loads(element)])[0]
