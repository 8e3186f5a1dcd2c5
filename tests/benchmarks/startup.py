"""What a call costs: `cputune set ... --live`, `schedinfo` and `--help` beside `python -c "import click"`.

    python tests/benchmarks/startup.py [--runs N] [--command PATH]

The installed console script is measured, on a scratch host that is laid out below a temporary directory. All commands
take turns, so that a busy moment hits them alike. The goal for set and schedinfo is a ratio of at most 1.4,
with the journal that set writes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.support.hosts import lay_out, read  # noqa: E402

GOAL = 1.4
QUOTAS = cycle(("50000", "60000"))
"""Every call has something to write."""


def console_script() -> str:
    """The installed command, of the Python that runs this if it has one."""
    beside = shutil.which("cputune", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("cputune")
    if not found:
        raise SystemExit("no cputune installed here: python -m pip install .")
    return found


def interpreter_of(script: str) -> str:
    """The Python that a console script starts."""
    first = Path(script).read_bytes().partition(b"\n")[0]
    return os.fsdecode(first.removeprefix(b"#!").strip()) if first.startswith(b"#!/") else sys.executable


def calls(script: str) -> Iterator[dict[str, list[str]]]:
    """The commands of one round after the other."""
    python = interpreter_of(script)
    for quota in QUOTAS:
        yield {
            'python -c "import click"': [python, "-c", "import click"],
            "cputune set D --quota N --live": [script, "set", "lxc:mydom", "--quota", quota, "--live"],
            "cputune schedinfo D": [script, "schedinfo", "lxc:mydom"],
            "cputune --help": [script, "--help"],
            "python -c pass": [python, "-c", "pass"],
        }


def seconds(argv: list[str], environment: dict[str, str]) -> float:
    """How long a command takes from its start to its end."""
    begin = time.perf_counter()
    subprocess.run(argv, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def measure(script: str, root: Path, runs: int) -> dict[str, list[float]]:
    """The times of all commands, which take turns; the first round warms up and does not count."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CPUTUNE_")}
    environment["CPUTUNE_ROOT"] = str(root)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    times: dict[str, list[float]] = {}
    for number, commands in zip(range(runs + 1), calls(script), strict=False):
        for name, argv in commands.items():
            taken = seconds(argv, environment)
            if number:
                times.setdefault(name, []).append(taken)
    return times


def table(times: dict[str, list[float]]) -> Iterator[str]:
    """A line each: median and minimum in milliseconds, and their ratios to the first one's."""
    base = next(iter(times.values()))
    yield f"{'command':<32}{'median ms':>10}{'ratio':>7}{'min ms':>10}{'ratio':>7}"
    for name, taken in times.items():
        median, least = statistics.median(taken), min(taken)
        ratios = median / statistics.median(base), least / min(base)
        yield f"{name:<32}{median * 1000:>10.1f}{ratios[0]:>7.2f}{least * 1000:>10.1f}{ratios[1]:>7.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=30, help="of each command [30]")
    parser.add_argument("--command", default=None, help="the console script [the installed one]")
    options = parser.parse_args()
    script = options.command or console_script()
    with tempfile.TemporaryDirectory() as folder:
        lay_out(read("debian13-unified"), Path(folder))
        times = measure(script, Path(folder), max(20, options.runs))
    print(f"{script}, {len(next(iter(times.values())))} runs each; goal for set and schedinfo: at most {GOAL}")
    print("\n".join(table(times)))


if __name__ == "__main__":
    main()
