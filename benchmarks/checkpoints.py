"""A LangGraph agent's conversation, kept by chatmem and by LangGraph's own savers: `python -m benchmarks.checkpoints`.

The same agent says again the same real conversation of 20 turns, in one process for each way to keep it. See README.md.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, message_to_dict
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.environments import AbsentError, python_of
from benchmarks.process import ROOT, environment
from benchmarks.setting import machine
from benchmarks.systems import Row
from benchmarks.talker import TURNS, WAYS
from tests.samples import conversations
from tests.servers import with_search
from tests.wire import watched

RESULTS = Path(__file__).parent / "results"
BASE = next(iter(WAYS))
SESSIONS = 3
"""how many a process has in a round; the first warms it up"""


@contextmanager
def recorded() -> Iterator[Path]:
    """Yield a file with 20 turns of real conversations, end to end, each up to its last answer."""
    found: list[BaseMessage] = []
    for messages in conversations().values():
        last = max(i for i, one in enumerate(messages) if isinstance(one, AIMessage) and not one.tool_calls)
        found += [one for one in messages[: last + 1] if not (found and isinstance(one, SystemMessage))]
    end = [i for i, one in enumerate(found) if isinstance(one, HumanMessage)][TURNS]
    with TemporaryDirectory() as folder:
        file = Path(folder, "recorded.json")
        file.write_text(json.dumps([message_to_dict(one) for one in found[:end]]))
        yield file


def run(way: str, url: str, file: Path, sessions: int) -> dict[str, Any]:
    """Let a new process have so many sessions; return what it measured.

    Raises:
        AbsentError: it failed, or what it needs does not install.
    """
    needs = None if way.startswith("chatmem") else "checkpoint-redis"
    python = python_of(Row(way, "talker", True, (), needs))
    command = [str(python), "-m", "benchmarks.talker", way, url, str(file), str(sessions)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise AbsentError((done.stderr.strip().splitlines() or ["it failed"])[-1])
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def stored(way: str, url: str, file: Path, client: redis.Redis) -> dict[str, Any]:
    """Return what one session of 20 turns leaves in the server, and the versions."""
    client.flushall()
    measured = run(way, url, file, 1)
    keys = list(client.scan_iter(count=1000))
    bytes_used = sum(client.memory_usage(key, samples=0) or 0 for key in keys)
    return {"bytes": bytes_used, "keys": len(keys), "versions": measured["versions"]}


def sent(way: str, url: str, file: Path, client: redis.Redis) -> dict[str, float]:
    """Return what a turn sends: what two sessions send, without what one and the opening send, over 20."""
    counted = []
    for sessions in (1, 2):
        client.flushall()
        with watched(url) as wire:
            run(way, wire.url, file, sessions)
            counted.append((wire.round_trips, len(wire.commands)))
    (trips, commands), (both, all_commands) = counted
    return {"round_trips": (both - trips) / TURNS, "commands": (all_commands - commands) / TURNS}


def timed(way: str, url: str, file: Path, client: redis.Redis) -> dict[str, float]:
    """Return what turns of one round took, in milliseconds."""
    client.flushall()
    measured = run(way, url, file, SESSIONS)
    warm = measured["seconds"][1:]
    return {
        "turn": statistics.median(1e3 * turn for session in warm for turn in session),
        "late_turn": statistics.median(1e3 * turn for session in warm for turn in session[-5:]),
        "session": statistics.median(1e3 * sum(session) for session in warm),
        "cpu": 1e3 * measured["cpu"] / SESSIONS / TURNS,
    }


def measure(ways: list[str], url: str, rounds: int) -> dict[str, Any]:
    """Measure everything; each round asks all ways, in shuffled order."""
    shuffle = random.Random(0)
    result: dict[str, Any] = {"machine": machine(url), "turns": TURNS, "ways": {}, "absent": {}}
    with recorded() as file, redis.Redis.from_url(url) as client:
        if client.info("keyspace"):
            raise SystemExit("the server is not empty; this empties it, so give it one of its own")
        result["messages"] = len(json.loads(file.read_text()))
        for way in ways:
            try:
                result["ways"][way] = {**stored(way, url, file, client), **sent(way, url, file, client), "rounds": []}
            except AbsentError as error:
                result["absent"][way] = str(error)
        for _ in range(rounds):
            present = list(result["ways"])
            for way in shuffle.sample(present, len(present)):
                result["ways"][way]["rounds"].append(timed(way, url, file, client))
        client.flushall()
    return result


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    table = Table(box=box.MARKDOWN)
    heads = ("a turn, ms", "turns 16 to 20, ms", "20 turns, in parts of chatmem's", "client CPU a turn, ms")
    for head in ("way", *heads, "round trips a turn", "commands a turn", "bytes after 20 turns", "keys"):
        table.add_column(head, justify="left" if head == "way" else "right")
    base = result["ways"].get(BASE)
    for way, found in result["ways"].items():
        middle = {key: statistics.median(one[key] for one in found["rounds"]) for key in found["rounds"][0]}
        ratio = "-"
        if base is not None:
            pairs = zip(found["rounds"], base["rounds"], strict=True)
            ratio = f"{statistics.median(one['session'] / other['session'] for one, other in pairs):.1f}"
        figures = (f"{middle['turn']:.1f}", f"{middle['late_turn']:.1f}", ratio, f"{middle['cpu']:.1f}")
        counts = (f"{found['round_trips']:.1f}", f"{found['commands']:.1f}", f"{found['bytes']:,}", str(found["keys"]))
        table.add_row(way, *figures, *counts)
    console = Console(width=200)
    console.print(", ".join(f"{key} {text}" for key, text in result["machine"].items()))
    console.print(table)
    for way, reason in result["absent"].items():
        console.print(f"absent: {way}: {reason}")


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--ways", default=";".join(WAYS), help="names with semicolons between; all by default")
    parser.add_argument("--url", help="an empty server with RediSearch and ReJSON; by default one is started")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the folder of the result")
    asked = parser.parse_args()
    ways = asked.ways.split(";")
    if unknown := set(ways) - set(WAYS):
        parser.error(f"no way {', '.join(sorted(unknown))}; there are {'; '.join(WAYS)}")
    with ExitStack() as stack:
        url = asked.url or stack.enter_context(with_search())
        result = measure(ways, url, asked.rounds)
    asked.output.mkdir(parents=True, exist_ok=True)
    (asked.output / "checkpoints.json").write_text(json.dumps(result, indent=1) + "\n")
    show(result)


if __name__ == "__main__":
    main()
