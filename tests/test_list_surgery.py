"""Sealed sessions whose list somebody rewrites: what is found out, and what is not, as docs/encryption.md says it."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging.handlers import BufferingHandler
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage, message_to_dict

import chatmem
import chatmem.sync
from chatmem.codec import record
from tests.conftest import client_of

KEYS = {"2026": secrets.token_bytes(32)}
COUNT = 6
SESSION = "user-123"


@dataclass(frozen=True)
class Element:
    """An element of the list, and what a reader must make of it."""

    data: bytes
    text: str
    own: int | None = None
    """its position, where it is a record of this session, sealed"""
    is_plain: bool = False


def check(elements: list[Element], read: list[str | None], *, read_plain: bool) -> None:
    """Fail unless what was read of a list is what may be believed of it, and as much of that as can be."""
    positions = [
        element.own
        for element, text in zip(elements, read, strict=True)
        if text is not None and element.own is not None
    ]
    assert positions == sorted(set(positions))
    assert len(positions) == most_in_order([element.own for element in elements if element.own is not None])
    for element, text in zip(elements, read, strict=True):
        is_believed = element.is_plain and read_plain
        assert text == element.text if is_believed else element.own is not None or text is None
        assert text in (None, element.text)


def most_in_order(numbers: list[int]) -> int:
    """Return how many numbers can be left that grow."""
    lengths: list[int] = []
    for index, number in enumerate(numbers):
        lengths.append(1 + max((lengths[i] for i in range(index) if numbers[i] < number), default=0))
    return max(lengths, default=0)


class Place:
    """A session, and what there is to put into its list: its own records, older ones, others', and plain ones."""

    def __init__(self, url: str, prefix: str, raw: redis.Redis) -> None:
        self.raw = raw
        self.key = f"{prefix}:{{{SESSION}}}:m"
        trusting, wary = (chatmem.KeyRing(KEYS, read_plain=read_plain) for read_plain in (True, False))
        self.readers = {
            ring.read_plain: chatmem.sync.connect(url, prefix=prefix, ttl=600, encryption=ring)
            for ring in (trusting, wary)
        }
        self.elsewhere = chatmem.sync.connect(url, prefix=f"{prefix}2", ttl=600, encryption=trusting)
        older, own = self._filled(self.readers[True], SESSION, f"{prefix}:{{{SESSION}}}:m")
        self.own = [Element(data, str(i), i) for i, data in enumerate(own)]
        others = [
            self._filled(self.elsewhere, SESSION, f"{prefix}2:{{{SESSION}}}:m"),
            self._filled(self.readers[True], "other", f"{prefix}:{{other}}:m"),
            self._filled(self.readers[True], f"{SESSION}}}", f"{prefix}:{{{SESSION}%7D}}:m"),
        ]
        plain = [record.encode(HumanMessage(f"plain {at}"), 0, 0).record for at in range(3)]
        langchain = json.dumps(message_to_dict(HumanMessage("langchain"))).encode()
        self.forged = [
            Element(older[1], "older", 1),
            *(Element(data, "another's") for _, elements in others for data in elements),
            *(Element(b"%d:%b" % (at, own[3].partition(b":")[2]), "renumbered") for at in (0, 1, 4, COUNT)),
            *(
                Element(b"%d:%b" % (at, data), f"plain {n}", None, True)
                for n, data in enumerate(plain)
                for at in (0, 99)
            ),
            *(Element(position + langchain, "langchain", None, True) for position in (b"", b"2:")),
            Element(own[0][1:], "without a position"),
            *(Element(data, "") for data in (b"99:garbage", own[2][:-1], own[2][:20], b"2:", b"")),
        ]

    def _filled(self, memory: chatmem.sync.ChatMemory, session: str, key: str) -> tuple[list[bytes], list[bytes]]:
        """Write messages, of which 1 was another before; return the elements of then and of now."""
        history = memory.history(session)
        history.append(*(HumanMessage("older" if i == 1 else str(i), id=f"m{i}") for i in range(COUNT)))
        older: Any = self.raw.lrange(key, 0, -1)
        history.replace("m1", "1")
        newest: Any = self.raw.lrange(key, 0, -1)
        return older, newest

    def put(self, elements: list[Element]) -> None:
        """Write the list anew, as somebody does who can write to the server."""
        self.raw.delete(self.key)
        if elements:
            self.raw.rpush(self.key, *(element.data for element in elements))


@pytest.fixture(scope="module")
def place(url: str) -> Iterator[Place]:
    prefix = f"test-surgery-{secrets.token_hex(4)}"
    with client_of(url) as raw:
        place = Place(url, prefix, raw)
        yield place
        for memory in (*place.readers.values(), place.elsewhere):
            memory.close()
        for key in list(raw.scan_iter(f"{prefix}*")):
            raw.unlink(key)


@contextmanager
def warnings() -> Iterator[list[logging.LogRecord]]:
    """Collect what is logged; pytest's own fixture is not for tests that hypothesis calls."""
    handler = BufferingHandler(1000)
    logging.getLogger("chatmem").addHandler(handler)
    try:
        yield handler.buffer
    finally:
        logging.getLogger("chatmem").removeHandler(handler)


spots = st.integers(0, 50)
cuts = st.lists(
    st.tuples(st.sampled_from(["swap", "reverse", "remove", "move", "double", "insert", "over"]), spots, spots),
    max_size=6,
)


def operated(own: list[Element], forged: list[Element], cuts: list[tuple[str, int, int]]) -> list[Element]:
    """Return the list after some operations on it."""
    elements = list(own)
    for what, first, second in cuts:
        if not elements:
            break
        i, j = first % len(elements), second % len(elements)
        other = (own + forged)[second % len(own + forged)]
        if what == "swap":
            elements[i], elements[j] = elements[j], elements[i]
        elif what == "reverse":
            elements[i : j + 1] = elements[i : j + 1][::-1]
        elif what == "remove":
            del elements[i]
        elif what == "move":
            elements.insert(j, elements.pop(i))
        elif what == "double":
            elements.insert(j, elements[i])
        elif what == "insert":
            elements.insert(i, other)
        else:
            elements[i] = other
    return elements


@pytest.mark.parametrize("read_plain", [True, False])
@settings(max_examples=150)
@given(cuts=cuts)
def test_whatever_is_done_to_a_list(place: Place, *, read_plain: bool, cuts: list[tuple[str, int, int]]) -> None:
    """Each record that is not where it was sealed for is left out, with a warning; the others are read."""
    elements = operated(place.own, place.forged, cuts)
    place.put(elements)
    history = place.readers[read_plain].history(SESSION)
    read = [None if entry.message is None else str(entry.message.content) for entry in history.entries()]
    check(elements, read, read_plain=read_plain)
    with warnings() as logged:
        assert [message.content for message in history.messages()] == [text for text in read if text is not None]
    assert len(logged) == read.count(None)
    last = [message.content for message in history.messages(last=3)]
    assert len(last) == sum(entry.error is None for entry in history.page(limit=3).entries)
    if None in read:
        with pytest.raises(chatmem.CorruptRecordError):
            history.messages(strict=True)
        with pytest.raises(chatmem.CorruptRecordError):
            list(history.entries(strict=True))
    else:
        assert len(history.messages(strict=True)) == len(elements)


@settings(max_examples=150)
@given(cuts=cuts, limit=st.integers(1, 4))
def test_pages_of_such_a_list(place: Place, cuts: list[tuple[str, int, int]], limit: int) -> None:
    """On each page the records are of this session, in order, and between the page's ends."""
    elements = operated(place.own, place.forged, cuts)
    place.put(elements)
    history = place.readers[False].history(SESSION)
    for end in range(COUNT + 1):
        newest = history.page(before=end, limit=limit).entries[::-1]
        oldest = history.page(after=end, limit=limit, newest_first=False).entries
        for page, places in ((newest, range(end)), (oldest, range(end + 1, COUNT))):
            read = [(entry.seq, entry.message.content) for entry in page if entry.message is not None]
            assert all(text in (str(seq), "older" if seq == 1 else None) for seq, text in read)
            positions = [seq for seq, _ in read]
            assert positions == sorted(set(positions) & set(places))


def test_what_is_not_found_out(place: Place) -> None:
    """The page says so: what is missing, an older version of a record, and an older state of the whole."""
    history = place.readers[False].history(SESSION)
    older = next(element for element in place.forged if element.text == "older")
    for elements in (place.own[:3], place.own[:2] + place.own[4:], [place.own[0], older, *place.own[2:]]):
        place.put(elements)
        assert [message.content for message in history.messages(strict=True)] == [one.text for one in elements]


def test_a_fork_copies_no_forgery(place: Place) -> None:
    """What is unreadable in a session is no less so in its copy."""
    elements = [place.own[2], place.own[0], place.own[3], next(e for e in place.forged if e.text == "another's")]
    place.put(elements)
    fork = place.readers[False].history(SESSION).fork("fork")
    assert len(fork.messages()) == 2
    assert sum(entry.error is not None for entry in fork.entries()) == 2


def test_a_session_that_is_longer_than_a_slice(place: Place) -> None:
    """A record that lies in another slice than its own is found out too."""
    history = place.readers[False].history("long")
    history.append(*(HumanMessage(str(i)) for i in range(600)))
    key = place.key.replace(SESSION, "long")
    moved: Any = place.raw.lrange(key, 0, -1)
    moved[10], moved[500] = moved[500], moved[10]
    place.raw.lset(key, 10, moved[10])
    place.raw.lset(key, 500, moved[500])
    others = [str(i) for i in range(600) if i not in (10, 500)]
    assert [m.content for m in history.messages()] == others
    assert [e.message.content for e in history.entries() if e.message is not None] == others
    assert [e.message.content for e in history.page(limit=150).entries if e.message is not None] == others[:-150:-1]
