"""A chat model that needs no network: it recalls what was said, so that the memory is visible."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

_NAME = r"([A-Z][\w'-]*(?: [A-Z][\w'-]*)*)"
_NAMED = (
    re.compile(rf"\b(?i:my name is|call me)\s+{_NAME}"),
    re.compile(rf"\b(?i:i'm|i am)\s+{_NAME}\b(?!')"),
    re.compile(r"\b(?i:my name is|call me)\s+([\w'-]+)"),
)
_LIVES = re.compile(r"\bi (?:live|am living) in ([^.,;!?]+)", re.IGNORECASE)
_FACT = re.compile(r"\bmy ([\w -]+?) (?:is|are) ([^.,;!?]+)", re.IGNORECASE)
_ASKS_NAME = re.compile(r"\b(?:what(?:'s| is) my name|who am i)\b", re.IGNORECASE)
_ASKS_PLACE = re.compile(r"\bwhere do i live\b", re.IGNORECASE)
_ASKS_FACT = re.compile(r"\bwhat(?:'s| is| are|'re) my ([\w -]+)", re.IGNORECASE)
_ASKS_ALL = re.compile(r"\bwhat (?:did (?:i|we)|have (?:i|we)|do you (?:know|remember))", re.IGNORECASE)
_GREETS = re.compile(r"^\W*(?:hi|hello|hey|good (?:morning|evening|day))\b", re.IGNORECASE)
_RECALLED = 5


class OfflineModel(BaseChatModel):
    """Answers from the user's own earlier words: names, places, "my X is Y", and what was said."""

    @property
    def _llm_type(self) -> str:
        return "chatmem-offline"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = AIMessage(reply([m.text for m in messages if isinstance(m, HumanMessage)]))
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        answer = reply([m.text for m in messages if isinstance(m, HumanMessage)])
        for word in re.findall(r"\S+\s*|\s+", answer):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))


def reply(said: list[str]) -> str:
    """Return the answer to the last of the user's messages, in the light of all of them."""
    if not said:
        return "Say something, and I will remember it."
    now, name = said[-1], _latest(said, *_NAMED)
    for asks, answer in _ANSWERS:
        if found := asks.search(now):
            return answer(said, found)
    if told := _latest([now], *_NAMED):
        return f"Nice to meet you, {told}. I will remember your name."
    if found := _LIVES.search(now):
        return f"I will remember that you live in {found[1].strip()}."
    if found := _FACT.search(now):
        return f"I will remember that your {found[1]} is {found[2].strip()}."
    if _GREETS.search(now):
        return f"Hello{f', {name}' if name else ''}! " + ("We have met before." if len(said) > 1 else _ABOUT)
    if len(said) == 1:
        return _ABOUT
    return f"Noted{f', {name}' if name else ''}. That was your message number {len(said)}."


_ABOUT = (
    "I am a small offline model: all I can do is recall. Tell me your name, or that your favourite colour is green, "
    "and ask me later; use --model for a real one."
)


def _latest(said: list[str], *patterns: re.Pattern[str]) -> str | None:
    for text in reversed(said):
        for pattern in patterns:
            if found := pattern.search(text):
                return found[1].strip()
    return None


def _name(said: list[str], _: re.Match[str]) -> str:
    name = _latest(said[:-1], *_NAMED)
    return f"Your name is {name}." if name else "You have not told me your name yet."


def _place(said: list[str], _: re.Match[str]) -> str:
    place = _latest(said[:-1], _LIVES)
    return f"You live in {place}." if place else "You have not told me where you live."


def _fact(said: list[str], asked: re.Match[str]) -> str:
    topic = asked[1].strip().lower()
    for text in reversed(said[:-1]):
        for found in _FACT.finditer(text):
            if found[1].strip().lower() == topic:
                return f"Your {topic} is {found[2].strip()}."
    return f"You have not told me what your {topic} is."


def _all(said: list[str], _: re.Match[str]) -> str:
    if len(said) == 1:
        return "Nothing yet: this is the first thing you say."
    told = "; ".join(f"“{text}”" for text in said[:-1][-_RECALLED:])
    return f"You have said {len(said) - 1} things before. The latest: {told}."


_ANSWERS: tuple[tuple[re.Pattern[str], Callable[[list[str], re.Match[str]], str]], ...] = (
    (_ASKS_NAME, _name),
    (_ASKS_PLACE, _place),
    (_ASKS_FACT, _fact),
    (_ASKS_ALL, _all),
)
