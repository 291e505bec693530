"""What compression saves and costs: `python -m benchmarks.compression`.

The messages are about flights, of which the dictionary that ships with chatmem contains nothing. For comparison, a
dictionary is trained on the first half of them; all are measured on the second half. Sizes are those of records and of
the server's memory (MEMORY USAGE of the sessions' lists of messages). Times are of encoding and decoding alone, the
minimum of rounds that alternate between the options.

The last line compares zstandard with the zstd of Python 3.14's standard library. Older Pythons have that as
backports.zstd.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import redis
from langchain_core.messages import BaseMessage

import chatmem
import chatmem.sync
from benchmarks.setting import server
from chatmem.codec import plain, record
from chatmem.codec.compression import Compression, compression_of, decompress
from tests.samples import conversations

ROUNDS = 25
TIMED = 1000
"""How many messages are encoded and decoded in each round."""
SPLIT = 75
PREFIX = "compression"
STANDARD = ("compression.zstd", "backports.zstd")
MAGIC = b"\x28\xb5\x2f\xfd"
"""the first bytes of a frame, which records leave out"""
Conversations = list[list[BaseMessage]]


def main() -> None:
    every = list(conversations().values())
    trained = chatmem.Dictionary.train(message for one in every[:SPLIT] for message in one)
    options: dict[str, Any] = {"none": None, "zstd": "zstd", "trained": trained}
    ways = {name: compression_of(option) for name, option in options.items()}
    without_prompts = [[message for message in one if message.type != "system"] for one in every[SPLIT:]]
    for title, measured in (("all", every[SPLIT:]), ("without system prompts", without_prompts)):
        print(f"{title}: bytes a message, in records and in the server")
        stored = in_server(measured, options)
        for name, how in ways.items():
            messages = [message for one in measured for message in one]
            records = sum(len(record.encode(message, 0, 0, how).record) for message in messages) / len(messages)
            print(f"  {name:8} {records:6.0f} {stored[name] / len(messages):6.0f}")
    print("microseconds a message: to encode, to decode")
    for name, (encoding, decoding) in times([message for one in without_prompts for message in one], ways).items():
        print(f"  {name:8} {encoding:6.1f} {decoding:6.1f}")
    print("microseconds to decompress a message")
    for name, taken in decompressors([message for one in without_prompts for message in one], trained).items():
        print(f"  {name:20} {taken:6.1f}")


def in_server(measured: Conversations, options: dict[str, Any]) -> dict[str, int]:
    """Return the bytes that the server takes for the conversations' messages, by option."""
    used = {}
    with ExitStack() as stack:
        url = stack.enter_context(server(None))
        client: Any = stack.enter_context(redis.Redis.from_url(url))
        for name, option in options.items():
            with chatmem.sync.connect(url, prefix=f"{PREFIX}-{name}", compression=option) as memory:
                for number, conversation in enumerate(measured):
                    memory.history(str(number)).append(*conversation)
            keys = [f"{PREFIX}-{name}:{{{number}}}:m" for number in range(len(measured))]
            used[name] = sum(client.memory_usage(key, samples=0) for key in keys)
    return used


def times(messages: list[BaseMessage], ways: dict[str, Compression | None]) -> dict[str, tuple[float, float]]:
    """Return the microseconds of encoding and of decoding a message, by option."""
    timed = messages[:TIMED]
    best = {name: (float("inf"), float("inf")) for name in ways}
    for _ in range(ROUNDS):
        for name, how in ways.items():
            start = time.process_time()
            records = [record.encode(message, 0, 0, how).record for message in timed]
            encoded = time.process_time()
            elements = [b"0:" + one for one in records]
            copied = time.process_time()
            plain.decode_messages(elements)
            decoded = time.process_time()
            encoding, decoding = ((took / len(timed) * 1e6) for took in (encoded - start, decoded - copied))
            best[name] = (min(best[name][0], encoding), min(best[name][1], decoding))
    return best


def decompressors(messages: list[BaseMessage], dictionary: chatmem.Dictionary) -> dict[str, float]:
    """Return the microseconds that each package takes to decompress a message."""
    how = Compression(dictionary)
    packed = (how.compress(record.encode(message, 0, 0).record) for message in messages[:TIMED])
    frames = [frame for frame in packed if frame]
    ways: dict[str, Callable[[bytes], bytes]] = {"zstandard": decompress}
    for name in STANDARD:
        with suppress(ModuleNotFoundError):
            zstd: Any = importlib.import_module(name)
            ways[name] = partial(_by_standard, zstd, zstd.ZstdDict(dictionary.data))
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.process_time()
            for frame in frames:
                way(frame)
            best[name] = min(best[name], (time.process_time() - start) / len(frames) * 1e6)
    return best


def _by_standard(zstd: Any, dictionary: Any, frame: bytes) -> bytes:
    decompressed: bytes = zstd.decompress(MAGIC + frame, dictionary)
    return decompressed


if __name__ == "__main__":
    main()
