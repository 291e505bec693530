"""The longest growing subsequence: which positions to keep if they do not grow along a list."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import lt


def longest_growing(numbers: Sequence[int]) -> Sequence[int]:
    """Return the indexes of a longest strictly growing subsequence."""
    if all(map(lt, numbers, numbers[1:])):
        return range(len(numbers))
    ends: list[int] = []  # the least last number of a growing subsequence of length 1, 2, 3...
    at: list[int] = []  # and its index
    before: list[int] = []  # for each number, the index of the one before it, or -1
    for index, number in enumerate(numbers):
        length = bisect_left(ends, number)
        before.append(at[length - 1] if length else -1)
        ends[length : length + 1], at[length : length + 1] = [number], [index]
    kept, index = [], at[-1]
    while index >= 0:
        kept.append(index)
        index = before[index]
    return kept[::-1]
