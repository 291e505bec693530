"""Key names: no two sessions share one, and a cluster keeps a session together."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatmem.core.keys import (
    dictionary_key,
    escape,
    field,
    name_of,
    session_keys,
    session_of,
    user_key,
    user_name,
    user_of,
)

ids = st.text(st.characters(codec=None, exclude_categories=()), min_size=1)


@given(ids)
def test_an_id_can_be_read_back(session: str) -> None:
    """The escaped id turns back into the id, so no two ids are escaped alike."""
    assert unquote_to_bytes(escape(session)).decode("utf-8", "surrogatepass") == session


@given(ids)
def test_one_hash_tag(session: str) -> None:
    """Between the first brace and the next closing one stands the whole id, so all keys are in one slot."""
    for key in session_keys("chatmem", session):
        tag = re.match(rb"chatmem:\{(.+?)\}", key, re.DOTALL)
        assert tag is not None
        assert tag[1] == escape(session)


def test_names() -> None:
    """The keys are the documented ones; an id stands there as it is wherever it can."""
    assert session_keys("chatmem", "user-123") == (
        b"chatmem:{user-123}:m",
        b"chatmem:{user-123}:i",
        b"chatmem:{user-123}:s",
    )
    assert escape("a b/c:é*{") == "a b/c:é*{".encode()
    assert escape("100%}\ud800") == b"100%25%7D%ED%A0%80"


@given(ids)
def test_a_field_can_be_read_back(name: str) -> None:
    """A message's id in a hash is UTF-8, which REST can carry, and no two ids share a field."""
    assert name_of(field(name)) == name
    assert field(name).decode()


@given(st.uuids())
def test_a_uuid_is_short(uuid: UUID) -> None:
    """As `str` writes it, it is packed; written otherwise it is another name."""
    names = [str(uuid), str(uuid).upper(), uuid.hex, f"{{{uuid}}}", str(uuid).replace("-", "_")]
    names.append(str(uuid)[:9].replace("-", "") + "-" + str(uuid)[9:])  # a dash moved
    fields = [field(name) for name in names]
    assert len(fields[0]) == 24
    assert [name_of(one) for one in fields] == names
    assert len(set(fields)) == len(set(names))


def test_fields() -> None:
    """An id stands there as it is, but for lone surrogates and a `%` at its start."""
    assert [field(name) for name in ("", "a%}", "é", "%41", "a}\ud800")] == [
        b"",
        b"a%}",
        "é".encode(),
        b"%%2541",
        b"%a%7D%ED%A0%80",
    ]


pieces = st.lists(
    st.sampled_from(["chatmem", "user", "dictionary", "a", "1", ":", "{", "}", "%", "%7D", "m", "\ud800"]),
    min_size=1,
    max_size=5,
)
names = pieces.map("".join)
prefixes = pieces.map(lambda some: "".join(some).replace("{", "").replace("}", "").replace("\ud800", "") or "chatmem")


def keys_of(prefix: str, session: str, user: str, number: int) -> dict[bytes, tuple[object, ...]]:
    """Return every key that these make, and what it is of."""
    messages, ids, state = session_keys(prefix, session)
    return {
        messages: ("messages", prefix, session),
        ids: ("ids", prefix, session),
        state: ("state", prefix, session),
        user_key(prefix, user_name(user)): ("user", prefix, user),
        dictionary_key(prefix, number): ("dictionary", prefix, number),
    }


@settings(max_examples=300)
@given(prefixes, prefixes, names, names, names, names, st.integers(0, 11), st.integers(0, 11))
def test_no_two_things_share_a_key(
    prefix: str, other: str, session: str, session_2: str, user: str, user_2: str, number: int, number_2: int
) -> None:
    """Sessions, users and dictionaries of two prefixes, made to be confused: a key that is of both is of one thing."""
    first, second = keys_of(prefix, session, user, number), keys_of(other, session_2, user_2, number_2)
    assert len(first) == len(second) == 5
    for key in first.keys() & second.keys():
        assert first[key] == second[key]


def test_a_prefix_that_looks_like_an_index() -> None:
    """A memory at "chatmem:user" beside one at "chatmem" has no key in common with it, whatever their sessions."""
    for name in ("alice", "alice}:m", "{alice}", "}", ":m", "m"):
        first, second = keys_of("chatmem", name, name, 1), keys_of("chatmem:user", name, name, 1)
        assert not first.keys() & second.keys()


@given(session=ids, prefix=st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_key_can_be_turned_back(session: str, prefix: str) -> None:
    """Into the session's id, or the user, of which it is the key."""
    assert {session_of(prefix, key) for key in session_keys(prefix, session)} == {session}
    assert user_of(prefix, user_key(prefix, user_name(session))) == session


@pytest.mark.parametrize("key", [b"p:{\xff}:m", b"p:{%zz}:m", b"p:{}:m", b"p:{a}:x", b"p:{a}:m:name", b"q:{a}:m"])
def test_keys_of_others(key: bytes) -> None:
    """A key that is not one of a session's three has no session."""
    assert session_of("p", key) is None
