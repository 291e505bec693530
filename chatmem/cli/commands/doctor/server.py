"""Checks of the server itself: version, role, latency, scripts, clock, and settings that may lose sessions."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from chatmem.cli.commands.doctor.finding import Finding, Level
from chatmem.cli.store import Store
from chatmem.errors import ChatMemError
from chatmem.transports.driving import drive

_PINGS, _TURNS = 100, 50
_SLOW = 50.0
"""Milliseconds; a PING that takes longer is a warning."""
_SKEW = 1.0
"""Seconds; clocks that differ by more are a warning."""


def check_server(store: Store) -> Iterator[Finding]:
    """Yield the findings; what the server does not tell is unknown."""
    info = _info(store)
    yield _version(info)
    if info.get("role") == "slave":
        yield Finding("role", Level.ERROR, "this server is a replica: it takes no writes", "use the URL of the master")
    yield from _latency(store)
    yield _clock(store)
    yield _persistence(info, _setting(store, "save"))
    yield _eviction(info)


def _info(store: Store) -> dict[str, Any]:
    """Return the fields of INFO, in a cluster those of one node; none if INFO is refused."""
    try:
        (reply,) = store.server.run(("INFO",))
    except ChatMemError:
        return {}
    if isinstance(reply, dict):
        return reply
    return dict(re.findall(r"^(\w+):(.*?)\r?$", reply.decode("utf-8", "replace"), re.MULTILINE))


def _setting(store: Store, name: str) -> str | None:
    """Return a setting, or None if CONFIG GET is refused."""
    try:
        (reply,) = store.server.run(("CONFIG", "GET", name))
    except ChatMemError:
        return None
    values = list(reply.values()) if isinstance(reply, dict) else list(reply[1::2])
    return values[0].decode() if values else None


def _version(info: dict[str, Any]) -> Finding:
    if "redis_version" not in info:
        return Finding("version", Level.UNKNOWN, "the server does not tell its version")
    version = str(info.get("valkey_version", info["redis_version"]))
    name = "Valkey" if "valkey_version" in info else "Redis"
    mode = info.get("redis_mode", info.get("server_mode", "standalone"))
    text = f"{name} {version}, {mode}"
    if int(str(info["redis_version"]).partition(".")[0]) < 5:
        return Finding("version", Level.ERROR, text, "chatmem needs Redis 5.0 or later")
    return Finding("version", Level.OK, text)


def _latency(store: Store) -> Iterator[Finding]:
    pings = _timed(_PINGS, store.memory.ping)
    slow = pings[_PINGS // 2] > _SLOW
    advice = "the server is far away or busy: run the application closer to it" if slow else ""
    yield Finding("latency", Level.WARNING if slow else Level.OK, f"PING {_quantiles(pings)}", advice)
    history = store.core(f"doctor-{uuid.uuid4()}", ttl=60)

    def turn() -> None:
        drive(history.append("a message of chatmem doctor", ("ai", "its answer")))
        drive(history.messages(last=50))

    try:
        turns = _timed(_TURNS, turn)
    except ChatMemError as error:
        yield Finding("scripts", Level.ERROR, f"cannot append and read a message: {error}", "see rights below")
    else:
        yield Finding("scripts", Level.OK, f"they work; an append and a read take {_quantiles(turns)}")
    with suppress(ChatMemError):  # a script that was refused a command may have left keys
        drive(history.clear())


def _timed(count: int, do: Callable[[], object]) -> list[float]:
    """Return how long each of `count` calls took, in milliseconds, shortest first."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        do()
        times.append((time.perf_counter() - start) * 1000)
    return sorted(times)


def _quantiles(times: list[float]) -> str:
    return f"p50 {times[len(times) // 2]:.2f} ms, p99 {times[len(times) * 99 // 100]:.2f} ms"


def _clock(store: Store) -> Finding:
    before = time.time()
    try:
        ((seconds, microseconds),) = store.server.run(("TIME",))
    except ChatMemError as error:
        return Finding("clock", Level.UNKNOWN, f"TIME: {error}")
    here = (before + time.time()) / 2
    apart = int(seconds) + int(microseconds) / 1e6 - here
    text = f"the server's clock is {abs(apart):.2f} s {'ahead' if apart > 0 else 'behind'}"
    if abs(apart) > _SKEW:
        advice = "synchronise both by NTP: messages carry the writer's time, but the server's clock expires them"
        return Finding("clock", Level.WARNING, text, advice)
    return Finding("clock", Level.OK, text)


def _persistence(info: dict[str, Any], save: str | None) -> Finding:
    check = "persistence"
    if "aof_enabled" not in info:
        return Finding(
            check, Level.UNKNOWN, "the server does not tell whether it writes to disk", "check its configuration"
        )
    for name in ("rdb_last_bgsave_status", "aof_last_write_status"):
        if info.get(name, "ok") != "ok":
            return Finding(check, Level.ERROR, f"{name} is {info[name]}", "check the server's log and its disk")
    if int(info["aof_enabled"]):
        return Finding(check, Level.OK, "appendonly is on")
    if save is None:
        return Finding(
            check,
            Level.UNKNOWN,
            "appendonly is off, and CONFIG GET save is refused",
            "check save, or turn appendonly on",
        )
    advice = "CONFIG SET appendonly yes, and in the server's configuration"
    if save:
        text = f"snapshots only (save {save}): a crash loses everything written since the last one"
        return Finding(check, Level.WARNING, text, advice)
    return Finding(check, Level.WARNING, "nothing is written to disk: a restart loses all sessions", advice)


def _eviction(info: dict[str, Any]) -> Finding:
    check, policy = "eviction", str(info.get("maxmemory_policy", ""))
    if not policy:
        return Finding(check, Level.UNKNOWN, "the server does not tell its maxmemory-policy")
    most, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if policy != "noeviction":
        text = f"maxmemory-policy is {policy}: when memory is short, the server evicts sessions, or parts of them"
        advice = "CONFIG SET maxmemory-policy noeviction, and in the server's configuration"
        return Finding(check, Level.WARNING, text + ("" if most else " (maxmemory is not set now)"), advice)
    if most and used > 0.9 * most:
        text = f"{used:,} of {most:,} bytes are used; when all are used, nothing can be stored"
        return Finding(check, Level.WARNING, text, "raise maxmemory, or set shorter times to live")
    return Finding(check, Level.OK, "maxmemory-policy is noeviction")
