"""Fuzz the parsers of others' text, longer than the tests do.

    python -m tests.fuzz [--seconds N | --executions N] [--seed N] [TARGET]...

Each target gets the executions, or its share of the seconds. An input that causes what it must not is kept in the
corpus, so that the fast tests try it from then on.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time

from tests.fuzz.mutate import mutated
from tests.fuzz.seeds import inputs
from tests.fuzz.targets import CORPUS, ROWS, Row, findings


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(row.name for row in ROWS))
    parser.add_argument("--seconds", type=float, help="for all targets together")
    parser.add_argument("--executions", type=int, default=100_000, help="of each target")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rows = [row for row in ROWS if not asked.targets or row.name in asked.targets]
    each = asked.seconds / len(rows) if asked.seconds else None
    found = [fuzz(row, asked.executions, each, asked.seed) for row in rows]
    return 1 if any(found) else 0


def fuzz(row: Row, executions: int, seconds: float | None, seed: int) -> int:
    """Run one target; returns how many different findings there are."""
    generator, corpus = random.Random(f"{row.name} {seed}"), inputs(row.name)
    begun, count, seen = time.monotonic(), 0, dict[str, str]()
    while count < executions if seconds is None else time.monotonic() - begun < seconds:
        data = mutated(corpus, generator)
        count += 1
        what = findings(row.run, data)
        if what and what.partition(":")[0] not in seen:
            path = CORPUS / row.name / hashlib.sha256(data).hexdigest()[:12]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            seen[what.partition(":")[0]] = what
            print(f"{row.name}: {what[:300]}: {path}")
    rate = count / (time.monotonic() - begun)
    print(f"{row.name}: {count} executions, {rate:.0f} a second, {len(seen)} findings", flush=True)
    return len(seen)


if __name__ == "__main__":
    sys.exit(main())
