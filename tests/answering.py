"""A producer to be killed: `python -m tests.answering URL PREFIX LEASE` writes a word each time it is told to."""

from __future__ import annotations

import asyncio
import sys

import chatmem


async def main(url: str, prefix: str, lease: str) -> None:
    async with chatmem.connect(url, prefix=prefix, ttl=600) as memory:
        async with memory.history("s").answer(("human", "Why?"), id="x", lease=float(lease)) as draft:
            while word := await asyncio.to_thread(sys.stdin.readline):
                await draft.write(word.strip() + " ")
                await asyncio.sleep(0.2)
                print("sent", flush=True)
        print(draft.status, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
