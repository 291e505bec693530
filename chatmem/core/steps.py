"""Long computations as generators: they yield where other tasks may run, and return their result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]

RECORDS_AT_ONCE, BYTES_AT_ONCE = 64, 256 * 1024
"""How much is decoded or encoded between two checkpoints: about a tenth of a millisecond, or one long record."""
STEP_MESSAGES = 1000
"""How many messages one step of a window handles, in about a millisecond."""
STEP_CHARACTERS = 8192
"""How many characters of a text one step handles, in some milliseconds at most."""


def run(steps: Steps[T]) -> T:
    """Run the steps and return their result."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result


async def run_with_checkpoints(steps: Steps[T], checkpoint: Callable[[], Awaitable[None]]) -> T:
    """Run the steps, let other tasks run between them, and return their result."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
        await checkpoint()
