"""chatmem and the classes that it replaces behind the same faults: `python -m tests.fault_comparison --seed 1`.

Every system stores turns of two messages, one after the other; a turn that raised is stored again until it does not.
Lost is a message that is not there after that; doubled is each copy of it beyond the first. All have the same server,
the same time-outs and redis-py's retries, and the faults are drawn by the same seed. The peers run in the benchmarks'
environment, made on first use.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from benchmarks.environments import python_of
from benchmarks.systems import ROWS
from tests.faults import Schedule, failing
from tests.servers import redis_7

ROOT = Path(__file__).parent.parent
DRIVER = ROOT / "tests" / "peers" / "fault_driver.py"
PATIENCE = 0.1
SHARE = 0.05
"""Of the commands that fail. The peers send up to eight for a turn, those of a new connection included: with many more
faults they would store next to nothing, and so neither lose nor double."""
OURS = ("chatmem", "chatmem without a key")
PEERS = ("langchain-community", "openai-agents")


@dataclass(frozen=True)
class Outcome:
    """What a system made of it."""

    system: str
    faults: int
    stored: int
    raised: int
    lost: int
    doubled: int


def command_of(system: str) -> list[str | Path]:
    """Return how the driver is started in the environment of the system.

    Raises:
        AbsentError: its packages do not install.
    """
    row = next((row for row in ROWS if row.name == system), None)
    return [sys.executable if row is None else python_of(row), "-W", "ignore", DRIVER, system]


def compare(system: str, *, seed: str, faults: int) -> Outcome:
    """Run one system until so many faults have happened, then see what is there."""
    schedule = Schedule(seed, faults, share=SHARE)
    with redis_7() as url, redis.Redis.from_url(url) as raw:
        port = int(url.rsplit(":", 1)[1].split("/", maxsplit=1)[0])
        with failing(lambda: ("127.0.0.1", port), schedule, patience=PATIENCE) as proxy:
            options = f"socket_timeout={PATIENCE}&socket_connect_timeout={PATIENCE}"
            raised = _store(system, f"redis://127.0.0.1:{proxy.port}/0?{options}", schedule)
            proxy.settle()
        there = Counter(_contents(raw))
    expected = [f"turn-{number}-{role}" for number in range(len(raised)) for role in "qa"]
    lost = sum(not there[one] for one in expected)
    doubled = sum(max(there[one] - 1, 0) for one in expected)
    return Outcome(system, schedule.drawn.total(), len(expected), sum(raised), lost, doubled)


def _store(system: str, url: str, schedule: Schedule) -> list[int]:
    """Have the driver store turns until the schedule is over; return how often each raised."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT) if system in OURS else ""}
    command = [*command_of(system), url]
    raised: list[int] = []
    with subprocess.Popen(
        command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while not schedule.is_over:
            print(f"turn-{len(raised)}-", file=process.stdin, flush=True)
            raised.append(int(process.stdout.readline()))
    return raised


def _contents(raw: redis.Redis) -> list[str]:
    """Return the contents of all messages, whoever wrote them: each stands in its element once, beside an id or not."""
    found: list[str] = []
    for key in raw.scan_iter(_type="LIST"):
        elements: Any = raw.lrange(key, 0, -1)
        for element in elements:
            found += set(re.findall(r"turn-\d+-[qa]", element.decode("utf-8", "replace")))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seed", default="1")
    parser.add_argument("--faults", type=int, default=300)
    arguments = parser.parse_args()
    print(f"{'system':24}{'faults':>8}{'messages':>10}{'raised':>8}{'lost':>6}{'doubled':>9}")
    for system in (*PEERS, *OURS):
        one = compare(system, seed=arguments.seed, faults=arguments.faults)
        print(f"{system:24}{one.faults:8}{one.stored:10}{one.raised:8}{one.lost:6}{one.doubled:9}", flush=True)


if __name__ == "__main__":
    main()
