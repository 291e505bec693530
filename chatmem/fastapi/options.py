"""What the application chooses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chatmem.fastapi.models import Model

_LONGEST_TITLE = 60


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a router; see `router`."""

    model: Model
    system: str | None
    tokens: int | None
    title: Callable[[str], str]


def first_words(text: str) -> str:
    """Return the beginning of a question, as its chat's title."""
    return " ".join(text.split())[:_LONGEST_TITLE]
