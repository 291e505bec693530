"""A chat model that needs no network: it recalls what was said, so that the memory is visible."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

_WORD = r"[^\W\d_][\w'-]{0,40}"
_NAMED = re.compile(
    rf"\b(?:(?P<sure>my name is|call me)|i'm|i am)\s+(?=(?P<words>{_WORD}(?: {_WORD}){{0,3}}))", re.IGNORECASE
)
_NO_NAMES = {"a", "at", "back", "from", "i", "in", "just", "later", "maybe", "not", "ok", "okay", "on", "so", "the"}
_END = r"(?=\s*[.,;!?]+(?:\s|$)|\s+(?:and|but)\s+(?:my|i|i'm)\b|\s*$)"
_FLAGS = re.IGNORECASE | re.MULTILINE
_LIVES = re.compile(rf"\bi (?:live|am living) in (.{{1,200}}?){_END}", _FLAGS)
_FACT = re.compile(rf"\bmy ([\w' -]{{1,60}}?) (is|are) (.{{1,200}}?){_END}", _FLAGS)
_ASKS_NAME = re.compile(r"\b(?:what(?:'s| is) my name|(?:know|remember) my name|who am i)\b", re.IGNORECASE)
_ASKS_PLACE = re.compile(r"\bwhere do i live\b", re.IGNORECASE)
_ASKS_FACT = re.compile(r"\bwhat(?:'s| is| are|'re) my ([\w' -]+)", re.IGNORECASE)
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
        answer = AIMessage(_answer_to(messages))
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for word in re.findall(r"\S+\s*|\s+", _answer_to(messages)):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))


def _answer_to(messages: list[BaseMessage]) -> str:
    said = [str(message.text) for message in messages if isinstance(message, HumanMessage)]
    introduced = any(_ABOUT in message.text for message in messages if isinstance(message, AIMessage))
    return reply(said, introduced=introduced)


def reply(said: list[str], *, introduced: bool = False) -> str:
    """Return the answer to the last of the user's messages, in the light of all of them.

    Args:
        said: what the user said, oldest first.
        introduced: whether the model has said what it is, which it does once.
    """
    if not said:
        return "Say something, and I will remember it."
    said = [text.replace("\u2019", "'") for text in said]  # as phones and word processors write it
    now, name = said[-1], _latest_name(said)
    for asks, answer in _ANSWERS:
        if found := asks.search(now):
            return answer(said, found)
    if told := _latest_name([now]):
        return f"Nice to meet you, {told}. I will remember your name."
    if found := _LIVES.search(now):
        return f"I will remember that you live in {found[1]}."
    if found := _FACT.search(now):
        return f"I will remember that your {found[1]} {found[2]} {found[3]}."
    if _GREETS.search(now):
        return f"Hello{f', {name}' if name else ''}! " + ("We have met before." if len(said) > 1 else _ABOUT)
    if not introduced:
        return _ABOUT
    return f"Noted{f', {name}' if name else ''}. That was your message number {len(said)}."


_ABOUT = (
    "I am a small offline model: all I can do is recall. Tell me your name, or that your favourite colour is green, "
    "and ask me later; --help says how to have a real one."
)


def _latest_name(said: list[str]) -> str | None:
    for text in reversed(said):
        names = [name for found in _NAMED.finditer(text) if (name := _name_in(found, shouted=text.isupper()))]
        if names:
            return names[-1]
    return None


def _name_in(found: re.Match[str], *, shouted: bool) -> str | None:
    """Return the words that are a name: capitalised ones, or one of any kind where it is said to be a name."""
    words = found["words"].split()
    name = list(takewhile(lambda word: word[0].isupper() and _can_be_name(word), words))
    if found["sure"]:
        name = name or [word for word in words[:1] if _can_be_name(word)]
    elif shouted:  # I AM HUNGRY
        return None
    return " ".join(name).rstrip("'-") or None


def _can_be_name(word: str) -> bool:
    return word.lower() not in _NO_NAMES and not word.endswith("'s")


def _name(said: list[str], _: re.Match[str]) -> str:
    name = _latest_name(said)
    return f"Your name is {name}." if name else "You have not told me your name yet."


def _place(said: list[str], _: re.Match[str]) -> str:
    for text in reversed(said):
        if places := _LIVES.findall(text):
            return f"You live in {places[-1]}."
    return "You have not told me where you live."


def _fact(said: list[str], asked: re.Match[str]) -> str:
    topic = asked[1].strip().lower()
    for text in reversed(said):
        for found in reversed(list(_FACT.finditer(text))):
            if found[1].strip().lower() == topic:
                return f"Your {topic} {found[2]} {found[3]}."
    return f"You have not told me what your {topic} is."


def _all(said: list[str], _: re.Match[str]) -> str:
    if len(said) == 1:
        return "Nothing yet: this is the first thing you say."
    told = "; ".join(f"“{text}”" for text in said[:-1][-_RECALLED:])
    things = "1 thing" if len(said) == 2 else f"{len(said) - 1} things"
    return f"You have said {things} before. The latest: {told}."


_ANSWERS: tuple[tuple[re.Pattern[str], Callable[[list[str], re.Match[str]], str]], ...] = (
    (_ASKS_NAME, _name),
    (_ASKS_PLACE, _place),
    (_ASKS_FACT, _fact),
    (_ASKS_ALL, _all),
)
