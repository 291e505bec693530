"""Positions that must grow along a list, and what to leave out where they do not."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import lt


def longest_growing(numbers: Sequence[int]) -> Sequence[int]:
    """Return the indexes of as many numbers as possible that grow strictly, so that the fewest are left out."""
    if all(map(lt, numbers, numbers[1:])):
        return range(len(numbers))
    ends: list[int] = []  # the least number that growing parts of 1, 2, 3... numbers end with
    at: list[int] = []  # and where that is
    before: list[int] = []  # for each number, the one before it in such a part, or -1
    for index, number in enumerate(numbers):
        length = bisect_left(ends, number)
        before.append(at[length - 1] if length else -1)
        ends[length : length + 1], at[length : length + 1] = [number], [index]
    kept, index = [], at[-1]
    while index >= 0:
        kept.append(index)
        index = before[index]
    return kept[::-1]
