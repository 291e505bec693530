"""A seeded fuzzer of what reads records: `python -m tests.fuzz --seed 1 --inputs 1000000`.

It damages records of every kind (packed, base64, zstd, LangChain's JSON) and makes others up: nested absurdly, with
claims of gigabytes, of random bytes. Of each input it holds that nothing comes out but a message or a
CorruptRecordError, soon; of every hundredth that it took little memory, with tracemalloc; of all that nothing was
imported, and that `Session` gives an entry for each element.
"""

from __future__ import annotations

import argparse
import base64
import heapq
import json
import logging
import multiprocessing
import random
import resource
import struct
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from langchain_core import messages as lc

from chatmem.codec import compression, plain, record, standard
from chatmem.codec.compression import UnknownDictionaryError, compression_of
from chatmem.codec.extensions import Code
from chatmem.core.decoder import Decoder
from chatmem.core.policy import Policy
from chatmem.core.session import Session
from chatmem.errors import CorruptRecordError
from chatmem.transports.base import Background, Command, Subscription
from chatmem.transports.driving import drive
from tests import samples

GOLDEN = [Path(__file__).parent / "golden" / name for name in ("format-1.json", "values-1.json")]
SLOW_SECONDS = 20.0
"""What no input may take; most take some microseconds."""
SPARE_BYTES, TIMES_BYTES = 4 * 2**20, 100
"""What an input may take: this, and so many times its size (an empty map is a byte there and 72 here)."""
MEASURED = 100
_HEAD = struct.Struct(">BBBHqH")
_NUMBERS = (0, 1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1)
_LONG = b"\xc6\xc9\xdb\xdd\xdf"
"""msgpack's bytes, extension, text, list and map with a length of four bytes."""


class Outcome(NamedTuple):
    """What became of some inputs."""

    counts: Counter[str]
    slowest: list[tuple[float, str, str]]
    """seconds, how it was made, its beginning in hexadecimal"""
    peak: int
    """bytes that the hungriest of those measured took"""
    growth: int
    """by how many bytes the process' largest size grew"""
    imported: list[str]


def seeds() -> list[bytes]:
    """Return whole elements of every kind, in every form."""
    packed = [bytes.fromhex(line) for file in GOLDEN for line in json.loads(file.read_text()).values()]
    text = [b"7:" + base64.b64encode(one.partition(b":")[2]) for one in packed]
    how = compression_of("zstd")
    long = [message.model_copy(update={"content": "so it is " * 30}) for message in samples.kinds().values()]
    zipped = [b"7:" + record.encode(message, 0, 0, how).record for message in long]
    known = [one for one in samples.kinds().values() if type(one) in vars(lc).values()]
    written = [_json(message) for message in known]
    return [*packed, *text, *zipped, *filter(None, written)]


def _json(message: lc.BaseMessage) -> bytes:
    try:
        return json.dumps(lc.message_to_dict(message)).encode()
    except TypeError:  # bytes, which LangChain's own JSON cannot carry
        return b""


def flip(rng: random.Random, data: bytes) -> bytes:
    """Change some bits."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def put(rng: random.Random, data: bytes) -> bytes:
    """Put a byte with a meaning somewhere."""
    at = rng.randrange(len(data))
    return data[:at] + bytes([rng.choice(b'\x00\x7f\x80\x90\xc0\xc1\xc7\xd4\xff{}[]":,A%')]) + data[at + 1 :]


def cut(rng: random.Random, data: bytes) -> bytes:
    """Leave out the end, or a part."""
    start, end = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:start] if rng.random() < 0.5 else data[:start] + data[end:]


def splice(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Go on in the middle as another does."""
    other = rng.choice(others)
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


def claim(rng: random.Random, data: bytes) -> bytes:
    """Write a length of up to four gigabytes over, or into, some place."""
    at = rng.randrange(len(data))
    said = bytes([rng.choice(_LONG)]) + struct.pack(">I", rng.choice(_NUMBERS))
    return data[:at] + said + data[at + rng.choice((0, 1, 5)) :]


def header(rng: random.Random, data: bytes) -> bytes:
    """Put a header of other flags, kind, fields, time and length before a body."""
    body = data[data.find(b":") + 1 + _HEAD.size :]
    kind = rng.choice(b"hHaAsStTcCfFrb?")
    time, size = rng.choice((0, -1, 2**63 - 1, -(2**63))), rng.choice((0, 1, len(body), 2**16 - 1))
    return b"7:" + _HEAD.pack(rng.choice((1, 1, 1, 2)), rng.randrange(16), kind, rng.getrandbits(16), time, size) + body


def nest(rng: random.Random) -> bytes:
    """Make up a record that is nested thousands of levels deep, in extensions or without."""
    depth = rng.choice((64, 200, 1000, 20_000))
    how = rng.randrange(4)
    if how == 0:
        inner = b"\x91" * depth
    elif how == 1:
        inner = b"\x81\xa1a" * depth
    elif how == 2:
        inner = _extensions(rng, min(depth, 300))
    else:
        return b'{"type": "human", "data": {"content": ' + rng.choice((b"[", b'{"a":')) * depth
    return _artifact(inner)


def _extensions(rng: random.Random, depth: int) -> bytes:
    inner = b"\xc6" + struct.pack(">I", 2000) + b"x" * 2000
    for _ in range(depth):
        inner = b"\x91" + inner
        inner = b"\xc9" + struct.pack(">IB", len(inner), rng.randrange(8, 16)) + inner
    return inner


def _artifact(value: bytes) -> bytes:
    return b"7:" + _HEAD.pack(1, 0, ord("t"), 1, 0, 0) + b"\x82\xa2ti\xa1x\xa2ar" + value


def crowd(rng: random.Random) -> bytes:
    """Make up a record of very many small things."""
    count = rng.choice((500, 500, 500, 20_000))
    return _artifact(b"\xdd" + struct.pack(">I", count) + rng.choice((b"\x80", b"\x90", b"\xc0", b"\xa0")) * count)


def extension(rng: random.Random) -> bytes:
    """Make up a value of each kind that msgpack lacks, of random content."""
    data = rng.choice((rng.randbytes(rng.randrange(40)), b"9" * rng.randrange(5000), b"1E+999999999", b"\x91\xcb\x7f"))
    return _artifact(b"\xc9" + struct.pack(">IB", len(data), rng.randrange(17)) + data)


def standard_value(rng: random.Random) -> bytes:
    """Make up a value of each kind of Python's and pydantic's own classes, of parts that do not belong to it."""
    part = rng.choice(("a", "é", "1", "/", ".", ":", "%", "http://", "@", "2026-01-01T00:00", "\ud800"))
    text = (part * rng.choice((0, 1, 3, 300, 5000))).encode("utf-8", "replace").decode()
    atoms: tuple[Any, ...] = (text, text, text, None, -1, 0, 2**63, 1e308, b"x", True, [], {}, {"a": 1})
    parts = rng.choice((rng.choice(atoms), [rng.choice(atoms) for _ in range(rng.randrange(5))]))
    data = msgspec.msgpack.encode((rng.choice(sorted(standard._BUILDERS)), parts))
    return _artifact(msgspec.msgpack.encode(msgspec.msgpack.Ext(Code.STANDARD, data)))


def noise(rng: random.Random) -> bytes:
    """Make up random bytes, behind as much of a true beginning as may be."""
    heads = (b"", b"0:", b"0:A", b"{", b"0:{", b"0:\x01\x00h", b"0:\x01\x08h" + bytes(12), b"0:\x01\x01a" + bytes(12))
    return rng.choice(heads) + rng.randbytes(rng.randrange(300))


def shape(rng: random.Random) -> bytes:
    """Make up LangChain's JSON with values where others belong."""
    fields = ("content", "tool_calls", "additional_kwargs", "id", "name", "tool_call_chunks", "usage_metadata", "role")
    wrong: tuple[Any, ...] = (
        3,
        "s",
        None,
        [],
        {},
        [3],
        [{}],
        {"tool_calls": [3]},
        {"type": 3},
        [{"type": []}],
        1e308,
        True,
        "\ud800",
    )
    data = {"content": "x", rng.choice(fields): rng.choice(wrong), rng.choice(fields): rng.choice(wrong)}
    kinds = ("human", "ai", "AIMessageChunk", "tool", "system", "chat", "function", "remove", "generic", "x", 3)
    return json.dumps({"type": rng.choice(kinds), "data": rng.choice((data, data, data, data, 3, [], None))}).encode()


Maker = Callable[[random.Random], bytes]


def makers() -> list[tuple[str, Maker]]:
    """Return the ways to make an input, and their names."""
    known = seeds()

    def of_seed(change: Callable[[random.Random, bytes], bytes], rng: random.Random) -> bytes:
        data = rng.choice(known)
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            data = change(rng, data) or b":"
        return data

    changes: list[Callable[[random.Random, bytes], bytes]] = [flip, put, cut, claim, header]
    changes.append(partial(splice, others=known))
    names = [*(change.__name__ for change in changes[:-1]), "splice"]
    damaged: list[tuple[str, Maker]] = [
        (name, partial(of_seed, change)) for name, change in zip(names, changes, strict=True)
    ]
    made: list[Maker] = [extension, standard_value, noise, shape]
    rare: list[Maker] = [nest, crowd]
    return [*damaged * 16, *((maker.__name__, maker) for maker in made * 8), *((one.__name__, one) for one in rare)]


class Nowhere:
    """A transport to a server that holds no dictionary."""

    longest = 0.0

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        return [None] * len(commands)

    def scan(self, match: bytes) -> AsyncIterator[bytes]:
        raise AssertionError

    def subscribe(self, channel: bytes) -> Subscription:
        raise AssertionError

    def background(self) -> Background:
        raise AssertionError

    async def checkpoint(self) -> None:
        """Do nothing: nobody else runs."""

    async def aclose(self) -> None:
        """Do nothing: nothing is open."""


def read(element: bytes) -> str:
    """Return what comes of an element, read both ways alike; what it raises beside what it may is the bug."""
    try:
        message = record.decode(element).message
    except CorruptRecordError:
        told = "corrupt"
    except UnknownDictionaryError:
        return "dictionary"
    else:
        assert isinstance(message, lc.BaseMessage)
        told = "message"
    try:
        many = plain.decode_messages([element])
    except CorruptRecordError:
        assert told == "corrupt", element.hex()
    except UnknownDictionaryError:
        assert element[:1] == b"{", element.hex()
    else:
        assert len(many) == 1, element.hex()
        assert told == "message" or element[:1] == b"{", element.hex()  # a record whose digits were changed to that
    return told


def fuzz(seed: int, inputs: int) -> Outcome:
    """Read so many inputs, the same ones for the same seed, in this process."""
    log = logging.getLogger("chatmem")
    level = log.level
    log.setLevel(logging.CRITICAL)  # a warning for each would be a million
    try:
        return _fuzz(seed, inputs)
    finally:
        log.setLevel(level)


def _fuzz(seed: int, inputs: int) -> Outcome:
    rng, ways, decoder = random.Random(seed), makers(), Decoder(Session(Nowhere(), Policy(), "fuzzed"))
    _warm_up(ways)
    before, modules = _size(), set(sys.modules)
    counts: Counter[str] = Counter()
    slowest: list[tuple[float, str, str]] = []
    batch: list[bytes] = []
    peak = 0
    for number in range(inputs):
        name, make = rng.choice(ways)
        element = make(rng)
        started = time.perf_counter()
        counts[read(element)] += 1
        took = time.perf_counter() - started
        if number % MEASURED == 0:
            peak = max(peak, _peak_of(element))
        counts[f"by {name}"] += 1
        if len(slowest) < 3 or took > slowest[0][0]:
            _keep(slowest, (took, f"{name}, {len(element):,} bytes", element[:40].hex()))
        assert took < SLOW_SECONDS, f"{name} took {took:.1f} s: {element[:200].hex()}"
        batch.append(element)
        if len(batch) == 64:
            _read_together(decoder, batch)
            batch.clear()
    return Outcome(counts, slowest, peak, _size() - before, sorted(set(sys.modules) - modules))


def _warm_up(ways: list[tuple[str, Maker]]) -> None:
    rng = random.Random(0)
    for element in seeds():
        assert read(element) == "message"
    for _, make in ways:
        read(make(rng))


def _keep(slowest: list[tuple[float, str, str]], one: tuple[float, str, str]) -> None:
    if len(slowest) < 3:
        heapq.heappush(slowest, one)
    else:
        heapq.heapreplace(slowest, one)


def _peak_of(element: bytes) -> int:
    tracemalloc.start()
    try:
        read(element)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    allowed = SPARE_BYTES + TIMES_BYTES * len(element) + (compression.LARGEST if _says_compressed(element) else 0)
    assert peak < allowed, f"{peak:,} bytes for {len(element):,}: {element[:200].hex()}"
    return peak


def _says_compressed(element: bytes) -> bool:
    """Return whether an element may claim to hold up to `compression.LARGEST` bytes, compressed."""
    head = element.partition(b":")[2][:2]
    return head[:1] == b"A" or bool(head[1:] and head[1] & record.COMPRESSED)


def _read_together(decoder: Decoder, elements: list[bytes]) -> None:
    """Assert that a session's reading gives each element its entry, a message or an error."""
    entries = drive(decoder.entries(elements))
    assert len(entries) == len(elements)
    for entry in entries:
        assert (entry.message is None) == (entry.error is not None)
    assert len(decoder.readable(entries)) == sum(entry.error is None for entry in entries)


def _size() -> int:
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def fuzz_at_once(seed: int, inputs: int, processes: int) -> list[Outcome]:
    """Share the inputs out over processes."""
    shares = [(seed * 1000 + n, inputs // processes) for n in range(processes)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        return pool.starmap(fuzz, shares)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    started = time.monotonic()
    outcomes = fuzz_at_once(given.seed, given.inputs, given.processes)
    counts = sum((outcome.counts for outcome in outcomes), Counter[str]())
    total = sum(count for name, count in counts.items() if not name.startswith("by "))
    print(f"{total:,} inputs in {time.monotonic() - started:.0f} s, seed {given.seed}")
    for name, count in sorted(counts.items()):
        print(f"{count:>12,} {name}")
    for seconds, how, beginning in heapq.nlargest(3, (one for outcome in outcomes for one in outcome.slowest)):
        print(f"slow: {1000 * seconds:.1f} ms, {how}: {beginning}")
    print(f"largest peak of one input: {max(outcome.peak for outcome in outcomes) / 2**20:.1f} MB")
    print(f"growth of a process: {max(outcome.growth for outcome in outcomes) / 2**20:.1f} MB at most")
    imported = sorted({name for outcome in outcomes for name in outcome.imported})
    print(f"imported: {imported or 'nothing'}")
    if imported:
        sys.exit(1)


if __name__ == "__main__":
    main()
