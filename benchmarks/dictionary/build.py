"""Builds the dictionary that `compression="zstd"` uses: `python -m benchmarks.dictionary.build`.

The dictionary consists of records that chatmem's codec makes of the messages in this folder: the texts in `text/`,
which were written for this purpose, and tool calls, results and metadata that are drawn with a fixed seed. It contains
no real conversation.

Its second part, the statistics of the bytes that it does not contain, comes from messages that are left out of the
first part. Otherwise it would expect that text hardly ever differs from it.

Records need the dictionary with which they were compressed, so never change or remove one that was released. This
script writes a new one beside them; add its number to `chatmem/codec/shipped.py`.

It needs `pip install backports.zstd`, because zstandard cannot build a dictionary from a given content.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backports import zstd
from langchain_core import messages as lc

from benchmarks.dictionary import metadata, tools
from chatmem.codec import messages, shipped
from chatmem.codec.compression import LEVEL, Dictionary

SIZE = 64 * 1024
_SEED = 20250310
_HELD_BACK = 8
"""one of so many texts serves the statistics"""
_TOOL_ROUNDS = 2
_SAMPLE_ROUNDS = 400
_CALL = {"name": "search", "args": {}, "id": "call_", "type": "tool_call"}
_TEXT = Path(__file__).with_name("text")


def texts(name: str) -> list[str]:
    """Return the texts of a file, which `%%` separates."""
    return [text.strip("\n") for text in (_TEXT / f"{name}.txt").read_text("utf-8").split("%%\n")]


def build() -> Dictionary:
    """Return the dictionary."""
    # what comes last is the cheapest to refer to
    content = b"".join(map(_record, [*_exchanges(random.Random(_SEED)), *_answers(random.Random(_SEED)), *_spoken()]))
    samples = list(map(_record, _samples(random.Random(_SEED + 1))))
    return Dictionary.numbered(
        zstd.finalize_dict(zstd.ZstdDict(content, is_raw=True), samples, SIZE, LEVEL).dict_content
    )


def _record(message: lc.BaseMessage) -> bytes:
    return messages.dump(message, with_id=False).data


def _exchanges(draw: random.Random) -> Iterator[lc.BaseMessage]:
    """Yield calls and results of all tools."""
    for _ in range(_TOOL_ROUNDS):
        for domain in dict.fromkeys(tools.DOMAINS):
            name, arguments, result = domain(draw)
            text = result if isinstance(result, str) else json.dumps(result)
            yield lc.ToolMessage(text, name=name, tool_call_id="call_")
            yield lc.AIMessage("", tool_calls=[{**_CALL, "name": name, "args": arguments}])
    yield lc.ToolMessage(json.dumps([tools.user(draw)[2], tools.order(draw)[2]], indent=2), tool_call_id="call_")


def _answers(draw: random.Random) -> Iterator[lc.BaseMessage]:
    """Yield what each provider puts beside an answer's text, with and without a tool call."""
    for provider in dict.fromkeys(metadata.PROVIDERS):
        for calls in ([], [_CALL]):
            yield lc.AIMessage(**{"content": "", **provider(draw, calls)}, tool_calls=calls)


def _spoken() -> Iterator[lc.BaseMessage]:
    for text in texts("tool"):
        yield lc.ToolMessage(text, name="bash", tool_call_id="call_")
    yield from map(lc.SystemMessage, texts("system"))
    for cls, name in ((lc.AIMessage, "assistant"), (lc.HumanMessage, "human")):
        yield from (cls(text) for number, text in enumerate(texts(name)) if number % _HELD_BACK)


def _samples(draw: random.Random) -> Iterator[lc.BaseMessage]:
    """Yield messages of which the dictionary contains little."""
    asked, answered = texts("human")[::_HELD_BACK], texts("assistant")[::_HELD_BACK]
    for _ in range(_SAMPLE_ROUNDS):
        for with_tool in (False, True):
            yield lc.HumanMessage(draw.choice(asked))
            if with_tool:
                name, arguments, result = draw.choice(tools.DOMAINS)(draw)
                call_id = metadata.token(draw, draw.choice(["call_", "toolu_01"]))
                yield _answer(draw, "", [{**_CALL, "name": name, "args": arguments, "id": call_id}])
                yield lc.ToolMessage(tools.as_text(draw, result), name=name, tool_call_id=call_id)
            yield _answer(draw, draw.choice(answered), [])


def _answer(draw: random.Random, text: str, calls: list[dict[str, Any]]) -> lc.AIMessage:
    fields: dict[str, Any] = {"content": text, **draw.choice(metadata.PROVIDERS)(draw, calls)}
    if isinstance(fields["content"], list):
        fields["content"] = [{**one, "text": text} if one["type"] == "text" else one for one in fields["content"]]
    return lc.AIMessage(**fields, tool_calls=calls)


if __name__ == "__main__":
    dictionary = build()
    shipped.path_of(dictionary.number).write_bytes(dictionary.data)
    print(dictionary)
