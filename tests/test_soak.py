"""The soak in short; `python -m tests.soak` is the long one."""

from __future__ import annotations

import sys

import pytest

from tests import answer_soak
from tests.servers import debian_binary, run_server
from tests.soak import Margins, Reading, soak, too_much

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


async def test_memory_files_and_connections_stay() -> None:
    """After a round of 1,000 coroutines, 64 threads and a process another round adds next to nothing."""
    with run_server(debian_binary()) as url:
        readings = await soak(url, 0.1, 1, share=0.2, processes=1)
    assert len(readings) >= 2
    # so short a warm-up leaves room in the pool for synchronous callers, which may have 64 connections
    assert too_much(readings[0], readings[-1], Margins(files=64, connections=64)) == []


async def test_answers_stay_flat() -> None:
    """Another round of 200 answers at once, each with a reader, adds next to nothing."""
    with run_server(debian_binary()) as url:
        readings = await answer_soak.soak(url, 0.1, 1, pause=0.02)
    assert too_much(readings[0], readings[-1], Margins()) == []


def test_growth_is_seen() -> None:
    """What grows by more than its margin is named."""
    first = Reading(100.0, 10, 5, 3.0)
    assert too_much(first, Reading(200.0, 30, 50, 3.0), Margins()) == [
        "megabytes grew by 100, over 24",
        "files grew by 20, over 8",
        "connections grew by 45, over 8",
    ]
    assert too_much(first, Reading(110.0, 12, 9, 300.0), Margins()) == []
