"""Work beside the body of a block ends with the block, whatever happens to its cancellation."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from chatmem.transports.background import AsyncioBackground


async def test_a_swallowed_cancellation() -> None:
    """A library that loses one does not keep the block from ending."""
    background, swallowed = AsyncioBackground(listens=False), 0

    async def work() -> None:
        nonlocal swallowed
        while swallowed < 2:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            swallowed += 1
        await asyncio.Event().wait()

    async def listen() -> None:
        raise AssertionError("nobody listens")

    async def store() -> str:
        return "stored"

    await background.start(work, listen)
    await asyncio.sleep(0)
    assert await background.stop(None) is False
    async with asyncio.timeout(30):
        assert await background.finish(store, 10.0) == "stored"
    assert swallowed == 2
