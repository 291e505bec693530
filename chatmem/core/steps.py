"""Long computations in steps: generators that yield when others may run, and return what they computed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]

AT_ONCE = 8192
"""How many characters of a text are worked on in a step: some milliseconds at most."""


def run(steps: Steps[T]) -> T:
    """Return what all the steps compute."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]


async def run_with_checkpoints(steps: Steps[T], checkpoint: Callable[[], Awaitable[None]]) -> T:
    """Return what all the steps compute, and let others run between them."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        await checkpoint()
