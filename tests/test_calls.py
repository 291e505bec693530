"""The numbers of calls: none twice, and none below the floor that another call has told the server."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from chatmem.core.in_flight import MOST_SEEN, Call, Calls, Seen


def told(call: Call) -> tuple[bytes, int, int]:
    """Return writer, number and floor, as the server reads them."""
    writer, number, back = call.token.split(b":")
    return writer, int(number, 16), int(number, 16) - int(back, 16)


def test_the_floor_is_the_oldest_call_under_way() -> None:
    """Of the same session; other sessions have floors of their own."""
    calls = Calls()
    first, second, other = calls.begin(b"a"), calls.begin(b"a"), calls.begin(b"b")
    assert told(second)[2] == told(first)[1]
    assert told(other)[2] == told(other)[1]
    calls.end(first)
    third = calls.begin(b"a")
    assert told(third)[2] == told(second)[1]
    for call in (second, third, other):
        calls.end(call)
    assert calls._open == {}


def test_threads() -> None:
    """No number is given twice, and none lies below a floor that was told while it was under way."""
    calls, seen = Calls(), list[tuple[int, int]]()

    def work() -> None:
        for _ in range(500):
            call = calls.begin(b"a")
            seen.append(told(call)[1:])
            calls.end(call)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({number for number, _ in seen}) == len(seen)
    assert all(floor <= number for number, floor in seen)
    assert calls._open == {}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="it has no timers that signal")
def test_a_signal_handler_in_the_middle() -> None:
    """Whichever line it interrupts, no two calls have one number: else one would get the other's answer."""
    calls, numbers, under_way = Calls(), list[int](), list[int]()

    def handle(_number: int, _frame: object) -> None:
        call = calls.begin(b"a")
        numbers.append(told(call)[1])
        calls.end(call)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.00007)
    try:
        while len(numbers) < 3000:
            call = calls.begin(b"a")
            under_way.append(told(call)[1])
            calls.end(call)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    every = numbers + under_way
    assert len(set(every)) == len(every)


def test_a_fork_is_another_writer() -> None:
    """The server must not take a child's calls for its parent's."""
    calls = Calls()
    writer = told(calls.begin(b"a"))[0]
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, told(calls.begin(b"a"))[0])
        os._exit(0)
    os.wait()
    assert os.read(reading, 100) != writer


def test_what_was_seen_takes_little_room() -> None:
    """It is a hint, so it may be forgotten."""
    seen = Seen()
    for number in range(3 * MOST_SEEN):
        seen.add(b"%d" % number)
    assert b"%d" % (3 * MOST_SEEN - 1) in seen
    assert len(seen._keys) <= MOST_SEEN
