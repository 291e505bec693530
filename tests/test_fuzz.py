"""Hostile records, twenty thousand of them; `python -m tests.fuzz` makes a million."""

from __future__ import annotations

import json
import struct
import tracemalloc

import pytest

import chatmem
from chatmem.codec import record
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
        record.decode_messages([element])


def test_nested_extensions_are_not_copied() -> None:
    """A set in a set, two hundred levels deep, around a megabyte: no level takes another megabyte."""
    inner = b"\xc6" + struct.pack(">I", 10**6) + b"x" * 10**6
    for _ in range(200):
        inner = b"\x91" + inner
        inner = b"\xc9" + struct.pack(">IB", len(inner), 9) + inner
    tracemalloc.start()
    with pytest.raises(chatmem.CorruptRecordError):
        record.decode(_artifact(inner))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 10**6
