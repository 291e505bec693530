"""The names of keys, and how ids are written in them. Pure functions.

A session has three keys, `prefix:{session}:m`, `:i` and `:s`. They share a hash tag, so that a cluster keeps them on
one node. The tag holds the session's id as it is, except for characters that would break the tag or be ambiguous (`%`,
`}`) or that UTF-8 cannot encode. So two ids never share a key, and a key can be turned back into its id.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from binascii import b2a_base64, crc_hqx
from typing import NamedTuple
from urllib.parse import unquote_to_bytes
from uuid import UUID

_UUID = b"%~"
_UUID_LENGTH, _UUID_DIGITS, _PACKED_LENGTH = 36, 32, 24
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_RECENT = b"chatmem:recent:"
_OWN = {
    b"list": rb".+:\{[^{}]*\}:m(:[^:]+)?",
    b"hash": rb".+:\{[^{}]*\}:(s|i(:[^:]+)?)|.+:user:\{[^{}]*\}:marked",
    b"zset": rb".+:user:\{[^{}]*\}(:until|:lists)?",
    b"stream": rb".+:\{[^{}]*\}:[ac]",
    b"string": rb".+:dictionary:\d+|" + _RECENT + rb".+",
}
"""Patterns of chatmem's keys, by the keys' type."""


class SessionKeys(NamedTuple):
    """The three keys of a session, as bytes."""

    messages: bytes
    """list: the records, oldest first"""
    ids: bytes
    """hash: message id -> position, idempotency key -> result of its append"""
    state: bytes
    """hash: version, next position, times, user, title, metadata, recent calls"""


def escape(session_id: str) -> bytes:
    """Return a session's id as the hash tag holds it."""
    escaped = session_id.replace("%", "%25").replace("}", "%7D")
    try:
        return escaped.encode()
    except UnicodeEncodeError:  # lone surrogates
        return "".join(_percent(char) for char in escaped).encode()


def _percent(char: str) -> str:
    if not "\ud800" <= char <= "\udfff":
        return char
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass"))


def field(name: str) -> bytes:
    """Return a message's id or an idempotency key as a field of a hash: always UTF-8, since REST carries nothing else.

    A UUID, of which a server may hold millions, is packed in base64. A name with lone surrogates, or one that begins
    with `%`, is escaped behind a `%`. Any other name stays as it is.
    """
    if len(name) == _UUID_LENGTH and (packed := _pack_uuid(name)):
        return packed
    try:
        plain = name.encode()
    except UnicodeEncodeError:
        return b"%" + escape(name)
    return b"%" + escape(name) if plain[:1] == b"%" else plain


def name_of(field: bytes) -> str:
    """Return the name that `field` was given."""
    text = field.decode()
    if field.startswith(_UUID) and len(field) == _PACKED_LENGTH:
        return str(UUID(bytes=urlsafe_b64decode(field[len(_UUID) :] + b"==")))
    return unquote_to_bytes(text[1:]).decode("utf-8", "surrogatepass") if text.startswith("%") else text


def _pack_uuid(name: str) -> bytes | None:
    digits = name.replace("-", "")
    if len(digits) != _UUID_DIGITS or not name[8] == name[13] == name[18] == name[23] == "-":
        return None
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        return None
    if data.hex() != digits:
        return None  # capitals: unpacking would change them
    return _UUID + b2a_base64(data, newline=False).translate(_URL_SAFE)[:-2]


def session_keys(prefix: str, session_id: str) -> SessionKeys:
    """Return the keys of a session.

    Args:
        prefix: the beginning of all of the memory's keys; see `check_prefix`.
        session_id: any non-empty string, taken exactly.

    Raises:
        ValueError: the id is empty or not a string.
    """
    if not isinstance(session_id, str) or not session_id:
        raise ValueError(f"session_id must be a non-empty string, not {_describe(session_id)}")
    head = prefix.encode() + b":{" + escape(session_id) + b"}:"
    return SessionKeys(head + b"m", head + b"i", head + b"s")


def session_glob(prefix: str, sessions: bytes = b"*") -> bytes:
    """Return a glob that matches the keys of sessions.

    Args:
        prefix: what every key of the memory begins with.
        sessions: a glob that matches the sessions' ids as they stand in keys; see `escape` and `literal`.
    """
    return literal(prefix.encode() + b":{") + sessions + b"}:[mis]"


def session_of(prefix: str, key: bytes) -> str | None:
    """Return the id of the session that a key belongs to, or None if it is not one of a session's three keys."""
    head, tail = prefix.encode() + b":{", key[-3:]
    if not key.startswith(head) or tail not in (b"}:m", b"}:i", b"}:s"):
        return None
    escaped = key[len(head) : -len(tail)]
    try:
        session = unescape(escaped)
    except UnicodeDecodeError:
        return None
    return session if session and escape(session) == escaped else None


def literal(text: bytes) -> bytes:
    """Return a glob that matches this text only."""
    return re.sub(rb"([*?\[\]\\])", rb"\\\1", text)


def user_name(user: str) -> bytes:
    """Return a user's name as keys and sessions hold it.

    Raises:
        ValueError: the name is empty or not a string.
    """
    if not isinstance(user, str) or not user:
        raise ValueError(f"user must be a non-empty string, not {_describe(user)}")
    return escape(user)


def unescape(escaped: bytes) -> str:
    """Return the session id or user name that `escape` or `user_name` was given."""
    return unquote_to_bytes(escaped.decode()).decode("utf-8", "surrogatepass")


def user_key(prefix: str, name: bytes) -> bytes:
    """Return the key of a user's index of sessions; `name` is the result of `user_name`."""
    return b"%b:user:{%b}" % (prefix.encode(), name)


def user_glob(prefix: str) -> bytes:
    """Return a glob that matches the keys of all users' indexes of their sessions; `user_of` returns their users."""
    return user_key(literal(prefix.encode()).decode(), b"*")


def user_of(prefix: str, key: bytes) -> str:
    """Return the user of a key that `user_key` returned."""
    return unescape(key[len(user_key(prefix, b"")) - 1 : -1])


def user_keys(prefix: str, name: bytes) -> tuple[bytes, bytes]:
    """Return the two keys of a user's index of sessions: by the time of the last write, and by deadline."""
    key = user_key(prefix, name)
    return key, key + b":until"


def log_of(keys: SessionKeys) -> bytes:
    """Return the key of a session's log of changes, which is also the name of its channel."""
    return keys.state[:-1] + b"c"


def stream_of(keys: SessionKeys) -> bytes:
    """Return the key of the chunks of a session's running answers, which is also the name of their channel."""
    return keys.state[:-1] + b"a"


def stop_channel_of(keys: SessionKeys) -> bytes:
    """Return the name of the channel on which producers of answers hear that they are to stop."""
    return stream_of(keys) + b":stop"


def user_log(prefix: str, name: bytes) -> bytes:
    """Return the key of the log of changes of a user's index, which is also the name of its channel."""
    return user_key(prefix, name) + b":c"


def user_lists(prefix: str, name: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the four keys of a user's sessions: `user_keys`, what is known of marked sessions, and their lists."""
    key = user_key(prefix, name)
    return key, key + b":until", key + b":marked", key + b":lists"


def aside(keys: SessionKeys, name: bytes) -> tuple[bytes, bytes]:
    """Return the keys where a session's messages and ids are built before they take their places."""
    return keys.messages + b":" + name, keys.ids + b":" + name


def dictionary_key(prefix: str, number: int) -> bytes:
    """Return the key of a compression dictionary."""
    return b"%b:dictionary:%d" % (prefix.encode(), number)


def recent_calls_key(list_key: bytes) -> bytes:
    """Return the key that remembers the recent pushes to a list of another layout than chatmem's.

    It is in the list's own slot of a cluster, so that one script can use both keys.
    """
    name = _RECENT + list_key
    if _hash_tag(list_key):
        return name
    if b"}" not in list_key:
        return _RECENT + b"{" + list_key + b"}"
    slot = _slot(list_key)  # braces that are no hash tag: find a tag that leads to the same slot
    tag = next(tag for number in range(1_000_000) if _slot(tag := b"%d" % number) == slot)
    return _RECENT + b"{%b}:%b" % (tag, list_key)


def _hash_tag(key: bytes) -> bytes:
    """Return the part of a key that a cluster hashes, or nothing if it hashes the whole key."""
    _, brace, rest = key.partition(b"{")
    tag, closing, _ = rest.partition(b"}")
    return tag if brace and closing else b""


def _slot(key: bytes) -> int:
    return crc_hqx(_hash_tag(key) or key, 0) % 16384


def looks_own(key: bytes, key_type: bytes) -> bool:
    """Return whether a key has the name and the type of one of chatmem's, under any prefix."""
    return key_type in _OWN and re.fullmatch(_OWN[key_type], key, re.DOTALL) is not None


def check_prefix(prefix: str) -> str:
    """Return the prefix, or raise a ValueError if it would break the hash tag of keys."""
    if not isinstance(prefix, str) or not prefix:
        raise ValueError(f"prefix must be a non-empty string, not {_describe(prefix)}")
    if "{" in prefix or "}" in prefix:
        raise ValueError("prefix must not contain '{' or '}': they mark the session in a key")
    try:
        prefix.encode()
    except UnicodeEncodeError:
        raise ValueError("prefix must be text that UTF-8 can carry, without lone surrogates") from None
    return prefix


def _describe(value: object) -> str:
    return "an empty one" if value == "" else type(value).__name__
