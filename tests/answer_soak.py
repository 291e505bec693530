"""A soak of answers: `python -m tests.answer_soak --minutes 10`.

In rounds, 200 producers on one memory write answers at once, each with a reader; some are stopped, and some fail.
Memory, open files and connections are printed after each round; the run fails where they grow by more than `Margins`
after the first one, where a reader gets other text than what was written, or where an answer is left.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from contextlib import closing, suppress

import redis
from langchain_core import messages as lc

import chatmem
from tests.servers import debian_binary, run_server
from tests.soak import Margins, Reading, reading, too_much

ANSWERS = 200
WORDS = 40
LEASE = 5.0


class Load:
    """One memory, and what was done with it."""

    def __init__(self, url: str, seed: int) -> None:
        self.rng = random.Random(seed)
        self.memory = chatmem.connect(url, ttl=3600, max_messages=50)
        self.answers = 0

    async def round(self, pause: float) -> None:
        """Let all producers answer once, with so many seconds between words."""
        seeds = [self.rng.random() for _ in range(ANSWERS)]
        await asyncio.gather(*(self._answer(number, random.Random(seed), pause) for number, seed in enumerate(seeds)))

    async def _answer(self, number: int, rng: random.Random, pause: float) -> None:
        history, end = self.memory.history(f"soak-{number}", user="soaker"), rng.choice(("whole", "stop", "fail"))
        written = list[str]()
        with suppress(LookupError):
            async with history.answer("A question?", lease=LEASE) as draft:
                answer = draft.id
                following = asyncio.create_task(self._follow(number, answer))
                for at in range(WORDS):
                    written.append(f"{rng.getrandbits(32):x} ")
                    await draft.write(written[-1])
                    await asyncio.sleep(pause * rng.random() * 2)
                    if at == WORDS // 2 and end == "stop":
                        await history.stop(answer)
                    elif at == WORDS // 2 and end == "fail":
                        raise LookupError
        text, status = await following
        assert "".join(written).startswith(text), (text, written)
        assert status == {"whole": "complete", "stop": "stopped", "fail": "failed"}[end], (status, end)
        assert end == "stop" or text == "".join(written), end
        self.answers += 1

    async def _follow(self, number: int, answer: str) -> tuple[str, str | None]:
        text, last = "", None
        async for part in self.memory.history(f"soak-{number}", user="soaker").follow(answer, timeout=60):
            if part.status is None:
                text += "".join(message.text for message in part.messages)
            last = part
        assert last is not None
        assert isinstance(last.messages[-1], lc.AIMessage)
        assert last.messages[-1].text.startswith(text)
        return last.messages[-1].text, last.status


async def soak(url: str, seconds: float, seed: int, *, pause: float) -> list[Reading]:
    """Answer in rounds for so long; return the readings after each."""
    load, readings = Load(url, seed), list[Reading]()
    with closing(redis.Redis.from_url(url)) as admin:
        print(f"start    {reading(admin)}", flush=True)
        until = time.monotonic() + seconds
        while len(readings) < 2 or time.monotonic() < until:
            begun = time.monotonic()
            await load.round(pause)
            assert all(not one.answers for one in (await load.memory.sessions("soaker", limit=ANSWERS)).sessions)
            assert not list(admin.scan_iter("*}:a", count=1000))
            readings.append(reading(admin))
            took = time.monotonic() - begun
            print(f"round {len(readings):2d} {readings[-1]}, {load.answers:,} answers, {took:.1f} s", flush=True)
        await load.memory.aclose()
        print(f"closed   {reading(admin)}", flush=True)
    return readings


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10)
    given = parser.parse_args()
    margins = Margins()
    print(f"{ANSWERS} answers at once, each with a reader; may grow by {margins}")
    with run_server(debian_binary()) as url:
        readings = asyncio.run(soak(url, 60 * given.minutes, given.seed, pause=0.05))
    if wrong := too_much(readings[0], readings[-1], margins):
        sys.exit("; ".join(wrong))
    print("flat")


if __name__ == "__main__":
    main()
