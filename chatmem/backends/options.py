"""The query options of redis://, rediss:// and unix:// URLs, and of the cluster and sentinel URLs that extend them."""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from inspect import signature
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import redis.asyncio


def read(url: str, *more: str, without: Iterable[str] = ()) -> tuple[str, dict[str, Any]]:
    """Return a URL without its query and database, and these two as redis-py's options.

    Args:
        url: redis://, rediss:// or unix://, with one host.
        more: names of further options, with text as values, that this kind of URL has.
        without: names of options that this kind of URL does not have.

    Raises:
        ValueError: redis-py could not read the URL, or an option is unknown or wrong. No message shows a password.
    """
    scheme = url.partition("://")[0]
    bare, _, query = url.partition("?")
    if "#" in url or not _is_well_formed(bare):
        # raised outside of `except`: the original error would be its context, and may show a password
        raise ValueError(
            f"url is not a valid {scheme}:// address: write {scheme}://user:password@host:6379/0, with special "
            "characters percent-encoded"
        )
    known: dict[str, Callable[[str], Any]] = {**_PARSERS, **dict.fromkeys(more, str)}
    for name in (*without, *(_NOT_UNIX if scheme == "unix" else _LACKING)):
        known.pop(name, None)
    options: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        _check_name(name, known, scheme)
        options[name] = _value(name, text, known[name])
    options.pop("retry_on_timeout", None)  # chatmem retries anyway
    if scheme != "unix":
        bare, database = _database(bare)
        options = database | options
    return bare, options


def lacking(client: type) -> tuple[str, ...]:
    """Return the options that a client class does not take in the installed release of redis-py."""
    taken = {name for kind in client.__mro__ for name in signature(vars(kind).get("__init__", id)).parameters}
    return tuple(name for name in _PARSERS if name not in taken and name not in _POOLS)


def _is_well_formed(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.port is None or parts.port > 0
    except ValueError:
        return False


def _check_name(name: str, known: Iterable[str], scheme: str) -> None:
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "known options are " + ", ".join(sorted(known))
        raise ValueError(f"url has {_shown(name)}, which {scheme}:// does not know: {hint}")
    if name.startswith("ssl_") and scheme != "rediss":
        raise ValueError(f"url has the option {name}, which is for TLS: begin the url with rediss")


def _shown(name: str) -> str:
    """Return an option's name for an error, unless it may be the end of a password with a question mark in it."""
    return f"an option {name!r}" if name.replace("_", "").isalnum() and len(name) < 40 else "an option"


def _value(name: str, text: str, parser: Callable[[str], Any]) -> Any:
    try:
        return parser(text)
    except (ValueError, KeyError):
        wanted = _WANTED.get(parser, "another value")
    raise ValueError(f"url's option {name} must be {wanted}")  # outside of `except`, as in `read`


def _database(url: str) -> tuple[str, dict[str, int]]:
    path = urlsplit(url).path
    number = unquote(path).strip("/")
    if not number:
        return url, {}
    if not (number.isascii() and number.isdigit()):
        raise ValueError("url's path must be the number of a database, such as redis://host:6379/0")
    return url.removesuffix(path), {"db": int(number)}


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError
    return int(text)


def _count(text: str) -> int:
    if not (number := _number(text)):
        raise ValueError
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError
    return seconds


def _truth(text: str) -> bool:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]


def _protocol(text: str) -> int:
    return {"2": 2, "3": 3}[text]


def _certificates(text: str) -> str:
    return {name: name for name in ("none", "optional", "required")}[text.lower()]


def _tls_version(text: str) -> ssl.TLSVersion:
    return {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[text.lower().removeprefix("tlsv")]


_WANTED: dict[Callable[[str], Any], str] = {
    _number: "a whole number",
    _count: "a whole number above 0",
    _seconds: "seconds, a number above 0",
    _truth: "true or false",
    _protocol: "2 or 3",
    _certificates: "none, optional or required",
    _tls_version: "1.2 or 1.3",
}
_PARSERS: dict[str, Callable[[str], Any]] = {
    "client_name": str,
    "db": _number,
    "decode_responses": _truth,
    "encoding": str,
    "encoding_errors": str,
    "health_check_interval": _number,
    "max_connections": _count,
    "password": str,
    "protocol": _protocol,
    "retry_on_timeout": _truth,
    "socket_connect_timeout": _seconds,
    "socket_keepalive": _truth,
    "socket_read_size": _count,
    "socket_timeout": _seconds,
    "ssl_ca_certs": str,
    "ssl_ca_data": str,
    "ssl_ca_path": str,
    "ssl_cert_reqs": _certificates,
    "ssl_certfile": str,
    "ssl_check_hostname": _truth,
    "ssl_ciphers": str,
    "ssl_keyfile": str,
    "ssl_min_version": _tls_version,
    "ssl_password": str,
    "timeout": _seconds,
    "username": str,
}
_POOLS = ("max_connections", "timeout", "retry_on_timeout")
_LACKING = lacking(redis.asyncio.SSLConnection)
_NOT_UNIX = ("socket_keepalive", *(name for name in _PARSERS if name.startswith("ssl_")))
