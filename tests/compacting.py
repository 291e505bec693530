"""Runs of the Agents SDK that compact as they go. `python -m tests.compacting URL PREFIX` is a program to be killed.

Each turn says a number. The offline client's summary lists the numbers that it was sent, so anybody can tell which
numbers a session still holds, and how often. The program says when it summarises, and prints a turn's number once the
turn has returned.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any

from agents import Agent, ModelResponse, Runner, Usage, set_tracing_disabled
from agents.memory import OpenAIResponsesCompactionSession
from agents.models.interface import Model
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

import chatmem
from chatmem.openai_agents import ChatmemSession

SESSION = "s"
SUMMARISING = "summarising"
MOST = 9
"""How many items a session may hold before it is compacted."""


class Nods(Model):
    """A model that always answers the same."""

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        content = ResponseOutputText(annotations=[], text="yes", type="output_text", logprobs=[])
        message = ResponseOutputMessage(id="m", content=[content], role="assistant", status="completed", type="message")
        return ModelResponse(output=[message], usage=Usage(), response_id="r")

    def stream_response(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


def numbers_in(items: Sequence[Any]) -> list[int]:
    """Return the numbers that were said, also those that a summary lists."""
    found: list[int] = []
    for item in items:
        if item.get("type") == "compaction":
            found += json.loads(item["encrypted_content"])
        elif item.get("role") == "user":
            found.append(int(item["content"]))
    return found


def summary_of(items: Sequence[Any]) -> dict[str, Any]:
    return {"type": "compaction", "id": "cmp", "encrypted_content": json.dumps(numbers_in(items))}


async def _nothing() -> None:
    pass


class Client:
    """Stands where the SDK has OpenAI's client. Its summary is one item.

    Attributes:
        calls: how often it has summarised.
    """

    def __init__(self, meanwhile: Callable[[], Awaitable[object]] = _nothing) -> None:
        """Take what happens while the summary is made."""
        self._meanwhile = meanwhile
        self.calls = 0
        self.responses = self

    async def compact(self, *, input: Sequence[Any], **options: Any) -> Any:  # noqa: A002 - the client's name
        self.calls += 1
        await self._meanwhile()
        return SimpleNamespace(output=[summary_of(input)], usage=None)


def compacting(session: Any, client: Any, most: int = MOST) -> OpenAIResponsesCompactionSession:
    """Return the SDK's session that compacts another one once it holds more items."""

    def is_full(context: dict[str, Any]) -> bool:
        return len(context["session_items"]) > most

    return OpenAIResponsesCompactionSession(
        session.session_id, session, client=client, compaction_mode="input", should_trigger_compaction=is_full
    )


async def turn(session: Any, number: int) -> None:
    await Runner.run(Agent("nods", model=Nods()), str(number), session=session)


async def _say() -> None:
    print(SUMMARISING, flush=True)


async def main(url: str, prefix: str) -> None:
    set_tracing_disabled(True)
    async with chatmem.connect(url, prefix=prefix, ttl=600) as memory:
        session = compacting(ChatmemSession(memory, SESSION), Client(_say))
        said = numbers_in(await session.get_items())
        for number in itertools.count(max(said, default=-1) + 1):
            await turn(session, number)
            print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
