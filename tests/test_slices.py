"""Operations on a whole session read it in slices that are bounded in messages and in bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chatmem.sync
from chatmem.core.decoder import BYTES_PER_CALL, pieces
from chatmem.core.reader import ENTRIES_PER_CALL
from chatmem.core.steps import BYTES_AT_ONCE, RECORDS_AT_ONCE
from chatmem.transports.driving import drive

LARGE = 200_000


@pytest.mark.parametrize("newest", [True, False])
def test_large_messages_come_a_few_at_a_time(url: str, prefix: str, *, newest: bool) -> None:
    """A slice holds no more than its bytes and a few messages, and says that there are more."""
    with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory:
        memory.history("a").append(*(f"{number} {'x' * LARGE}" for number in range(30)))
        reader = memory.core.reader("a", blocking=True)
        seqs: list[int] = []
        after, before, more = -1, 30, True
        while more:
            part = drive(reader.slice(after, before, ENTRIES_PER_CALL, newest=newest))
            assert BYTES_PER_CALL <= sum(map(len, part.elements)) < BYTES_PER_CALL + 9 * LARGE or not part.more
            got = [entry.seq for entry in part.entries]
            assert len(got) <= 14
            seqs = got + seqs if newest else seqs + got
            after, before, more = (after, got[0], part.more) if newest else (got[-1], before, part.more)
        assert seqs == list(range(30))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    sizes=st.lists(st.sampled_from([1, 1000, 60_000, 400_000]), min_size=1, max_size=40),
    removed=st.sets(st.integers(0, 39)),
    limit=st.integers(1, 20),
    newest=st.booleans(),
)
def test_slices_are_the_session(
    url: str, prefix: str, sizes: list[int], removed: set[int], limit: int, *, newest: bool
) -> None:
    """Slice after slice gives every message once and in order, whatever their sizes and the gaps between them."""
    with chatmem.sync.connect(url, prefix=prefix, ttl=60) as memory:
        history = memory.history("a")
        history.clear()
        history.append(*("x" * size for size in sizes))
        for seq in removed & set(range(len(sizes))):
            history.delete(seq)
        reader = memory.core.reader("a", blocking=True)
        expected = [entry.seq for entry in history.entries()]
        found: list[int] = []
        options: dict[str, Any] = {"after": None, "before": None}
        more = True
        while more:
            part = drive(reader.slice(**options, limit=limit, newest=newest))
            got, more = [entry.seq for entry in part.entries], part.more
            assert len(got) <= limit
            found = got + found if newest else found + got
            if got:
                options["before" if newest else "after"] = got[0] if newest else got[-1]
        assert found == expected


@given(st.lists(st.integers(0, 2 * BYTES_AT_ONCE), max_size=300))
def test_pieces(sizes: list[int]) -> None:
    """Pieces follow each other without a gap; one ends when it has its records, or its bytes."""
    elements = [bytes(size) for size in sizes]
    found = list(pieces(elements))
    assert [end for _, end in found[:-1]] == [start for start, _ in found[1:]]
    assert (found[0][0], found[-1][1]) == (0, len(elements))
    for start, end in found:
        assert end - start <= RECORDS_AT_ONCE
        assert sum(sizes[start : end - 1]) < BYTES_AT_ONCE or end - start <= 1
