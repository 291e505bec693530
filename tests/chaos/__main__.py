"""`python -m tests.chaos --operations 200000 --seed 1 --rows Redis Cluster`: 0 lost, 0 doubled, no silent wrong."""

from __future__ import annotations

import argparse
import sys
import time

from tests.chaos.run import HEAD, described, details, run
from tests.chaos.sites import ROWS


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=str(__doc__))
    parser.add_argument("--operations", type=int, default=200_000, help="in all rows together")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--lanes", type=int, default=3, help="coroutines or threads in each process")
    given = parser.parse_args()
    wrong = 0
    print(HEAD, flush=True)
    for row in given.rows:
        began = time.monotonic()
        share = given.operations // len(given.rows)
        outcome = run(row, share, given.seed, processes=given.processes, lanes=given.lanes)
        print(described(outcome), details(outcome), f"  {time.monotonic() - began:.0f} s", sep="\n", flush=True)
        wrong += len(outcome.verdicts)
    if wrong:
        sys.exit(f"{wrong} are not as they should be")


if __name__ == "__main__":
    main()
