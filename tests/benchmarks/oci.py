"""How long it takes from the making of a real container's cgroup until the guard's limit is in force in it.

    python tests/benchmarks/oci.py [--starts N] [--program runc|crun]

All are started at once, without systemd: on this machine's own kernel, as root, or on cgroup v2 in user mode:
tests/uml/run v2 --mem 4G -- python ...
Goals: a median under 5 ms, the 99th percentile under 20 ms.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from cputune.core.names import name_of  # noqa: E402
from cputune.guard.inotify import CREATE, MOVED_TO, Inotify  # noqa: E402
from tests.benchmarks.guard import line  # noqa: E402
from tests.support.bundle import bundle  # noqa: E402
from tests.support.guard import QUOTA, Guard  # noqa: E402
from tests.support.lab import Lab, RealHost, opened  # noqa: E402


def observe(lab: Lab, records: Path, program: str, wanted: int, pipe: Connection) -> None:
    """Send the milliseconds between the making of each cgroup and its record, which follows the limit.

    The directory of all cgroups and that of all records are watched, and nothing is read: on one CPU it would be the
    guard who has to wait for that.
    """
    queue = Inotify()
    queue.add(lab.directory(), CREATE)
    queue.add(str(records), MOVED_TO)
    begun: dict[str, float] = {}
    took: dict[str, float] = {}
    pipe.send(None)
    while len(took) < wanted:
        select.select([queue.fd], [], [])
        now = time.monotonic()
        for event in queue.read():
            if event.mask & CREATE:
                begun[event.name] = now
            elif (name := (name_of(event.name) or "").removeprefix(f"{program}/")) not in took:
                took[name] = (now - begun[name]) * 1000
    pipe.send(list(took.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--starts", type=int, default=200, help="[200]")
    parser.add_argument("--program", choices=("crun", "runc"), default="crun", help="[crun]")
    options = parser.parse_args()
    program = options.program
    with tempfile.TemporaryDirectory() as folder, opened(Lab(RealHost(Path(folder)))) as lab:
        guard = Guard(lab, Path(folder))
        guard.environment["CPUTUNE_ROOT"] = "/"
        saved = guard.configurations.parent / "oci"
        saved.mkdir()
        (saved / f"{program}%2Fweb-%2A.yaml").write_text(f"version: 1\nquota: {QUOTA}\n")
        if lab.version == 2:
            lab.write("cgroup.subtree_control", "+cpu")
        first = Path(folder) / "bundle"
        bundle(first, program, "")
        config = json.loads((first / "config.json").read_text())
        config["root"]["path"] = str(first / "rootfs")
        for number in range(options.starts):
            place = Path(folder) / str(number)
            place.mkdir()
            config["linux"]["cgroupsPath"] = f"{lab.group}/web-{number}"
            (place / "config.json").write_text(json.dumps(config))
        records = Path(folder) / "state/applied/oci"
        records.mkdir(parents=True)
        try:
            process = guard.start()
            os.setpriority(os.PRIO_PROCESS, process.pid, -20)  # as the service has it
            ours, theirs = multiprocessing.Pipe()
            observer = multiprocessing.Process(target=observe, args=(lab, records, program, options.starts, theirs))
            observer.start()
            os.setpriority(os.PRIO_PROCESS, observer.pid or 0, -20)
            ours.recv()
            begin = time.monotonic()
            words = [program, "run", "--detach", "--bundle"]
            running = [
                subprocess.Popen([*words, f"{folder}/{number}", f"web-{number}"], stdin=subprocess.DEVNULL)
                for number in range(options.starts)
            ]
            for one in running:
                one.wait()
            seconds = time.monotonic() - begin
            print(line(f"{options.starts} of {program} in {seconds:.1f} s", sorted(ours.recv())))
            observer.join()
            assert all(lab.state(f"web-{number}").quota == QUOTA for number in range(options.starts))
        finally:
            guard.end()
            for number in range(options.starts):
                subprocess.run([program, "delete", "-f", f"web-{number}"], check=False, stderr=subprocess.DEVNULL)
            shutil.rmtree(f"/run/{program}", ignore_errors=True)


if __name__ == "__main__":
    main()
