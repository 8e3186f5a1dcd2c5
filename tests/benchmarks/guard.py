"""What the guard costs, and how long it takes from the making of a cgroup until the kernel has its limit.

    python tests/benchmarks/guard.py [--domains N] [--starts N] [--idle SECONDS]

On this machine's own kernel, as root, with records of docker's made up for the purpose. Goals: one after the other a
median under 5 ms; of many at once the 99th percentile under 20 ms; idle no CPU; 1,000 domains in under 30 MB.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import select
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from cputune.guard.inotify import CREATE, MODIFY, Inotify  # noqa: E402
from tests.support.guard import QUOTA, Guard  # noqa: E402
from tests.support.lab import Lab, RealHost, docker_id, opened  # noqa: E402


def observe(lab: Lab, wanted: int, pipe: Connection) -> None:
    """Send when each new cgroup had its limit, by its name, in seconds of the monotonic clock."""
    queue = Inotify()
    top = queue.add(lab.directory("docker"), CREATE)
    names: dict[int, str] = {}
    found: dict[str, float] = {}
    pipe.send(None)
    while len(found) < wanted:
        select.select([queue.fd], [], [])
        for event in queue.read():
            if event.watch == top:
                names[queue.add(lab.directory(f"docker/{event.name}"), MODIFY)] = event.name
            name = event.name if event.watch == top else names[event.watch]
            if name not in found and lab.state(f"docker/{name}").quota == QUOTA:
                found[name] = time.monotonic()
    pipe.send(found)


def starts(guard: Guard, first: int, number: int, pause: float) -> list[float]:
    """Start so many, and return the milliseconds that it took until each had its limit, sorted."""
    ours, theirs = multiprocessing.Pipe()
    observer = multiprocessing.Process(target=observe, args=(guard.lab, number, theirs))
    observer.start()
    ours.recv()
    cgroups = [guard.define(f"web-{one}", one) for one in range(first, first + number)]
    begun = {}
    for cgroup in cgroups:
        begun[cgroup.rpartition("/")[2]] = time.monotonic()
        guard.lab.host.mkdir(guard.lab.directory(cgroup))
        if pause:
            time.sleep(pause)
    found = ours.recv()
    observer.join()
    return sorted((found[name] - begun[name]) * 1000 for name in begun)


def cpu_seconds(pid: int) -> float:
    """What a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def line(what: str, times: list[float]) -> str:
    """Median, 99th percentile and the longest, in milliseconds."""
    median, late = times[len(times) // 2], times[len(times) * 99 // 100]
    return f"{what:<28}{median:>9.2f} ms median{late:>9.2f} ms 99th percentile{times[-1]:>9.2f} ms longest"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--domains", type=int, default=1000, help="that run while the guard is idle [1000]")
    parser.add_argument("--starts", type=int, default=200, help="[200]")
    parser.add_argument("--idle", type=float, default=60, help="seconds [60]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, opened(Lab(RealHost(Path(folder)))) as lab:
        guard = Guard(lab, Path(folder))
        try:
            guard.save("web-%2A")
            process = guard.start()
            print(line(f"{options.starts} one after the other", starts(guard, 0, options.starts, 0.02)))
            print(
                line(
                    f"{options.starts} within a second",
                    starts(guard, options.starts, options.starts, 1 / options.starts),
                )
            )
            print(line(f"{options.starts} at once", starts(guard, 2 * options.starts, options.starts, 0)))
            first = 3 * options.starts
            for number in range(first, options.domains):
                guard.lab.make(guard.define(f"web-{number}", number))
            guard.until(lambda: guard.limited(f"docker/{docker_id(options.domains - 1)}"))
            time.sleep(8)  # until all have started, and none is a suspect any more
            before = cpu_seconds(process.pid)
            time.sleep(options.idle)
            print(f"idle for {options.idle:g} s: {cpu_seconds(process.pid) - before:.2f} s of CPU")
            words = Path(f"/proc/{process.pid}/smaps_rollup").read_text().split()
            print(f"{options.domains} domains: {int(words[words.index('Pss:') + 1]) / 1024:.1f} MiB (Pss)")
        finally:
            guard.end()


if __name__ == "__main__":
    main()
