"""Drives the old Python histories: a request of JSON on a line of stdin, its answer on a line of stdout.

It runs in an environment of its own, which has neither chatmem nor the tests.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any, TextIO

from langchain_core.messages import messages_from_dict, messages_to_dict

MODULES = {
    "RedisChatMessageHistory": "langchain_community.chat_message_histories",
    "UpstashRedisChatMessageHistory": "langchain_community.chat_message_histories",
    "MemorystoreChatMessageHistory": "langchain_google_memorystore_redis",
    "langchain_redis.RedisChatMessageHistory": "langchain_redis",
}


def redis_client(url: str) -> Any:
    """Return redis-py's client for a URL, a cluster's for redis+cluster://."""
    import redis

    if "+cluster" in url:
        return redis.RedisCluster.from_url(url.replace("+cluster", ""))
    return redis.from_url(url)  # type: ignore[no-untyped-call, unused-ignore]  # typed in some versions


def open_history(name: str, options: dict[str, Any]) -> Any:
    kind = getattr(importlib.import_module(MODULES[name]), name.rpartition(".")[2])
    if name == "MemorystoreChatMessageHistory":
        options = {**options, "client": redis_client(options["url"])}
        del options["url"]
    return kind(**options)


def client_of(history: Any) -> Any:
    return history._redis if hasattr(history, "_redis") else history.redis_client


def one(messages: list[Any]) -> Any:
    """Return the only message of a request: a text stays a text."""
    (message,) = messages
    return message if isinstance(message, str) else messages_from_dict([message])[0]


def attributes(history: Any) -> dict[str, str]:
    names = [*vars(history), *(["key"] if hasattr(history, "key") else [])]
    return {name: repr(getattr(history, name)) for name in names}


OPS: dict[str, Callable[[Any, list[Any]], Any]] = {
    "add": lambda history, messages: history.add_messages(messages_from_dict(messages)),
    "add_user": lambda history, messages: history.add_user_message(one(messages)),
    "add_ai": lambda history, messages: history.add_ai_message(one(messages)),
    "read": lambda history, _: messages_to_dict(history.messages),
    "clear": lambda history, _: history.clear(),
    "search": lambda history, words: history.search_messages(words[0]),
    "attributes": lambda history, _: attributes(history),
}


def run(request: dict[str, Any]) -> Any:
    """Do what a request asks for, with a history opened for it alone."""
    op = OPS[request["op"]]
    history = open_history(request["class"], request["options"])
    with closing(client_of(history)):
        return op(history, request["messages"])


def answer(line: str) -> str:
    try:
        return json.dumps({"ok": run(json.loads(line))})
    except Exception as error:  # noqa: BLE001 - whatever the old class raises is the answer
        return json.dumps({"error": f"{type(error).__name__}: {error}"})


def reserved_stdout() -> TextIO:
    """Return stdout for the answers alone; what the libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def main() -> None:
    with reserved_stdout() as answers:
        for line in sys.stdin:
            print(answer(line), file=answers, flush=True)


if __name__ == "__main__":
    main()
