"""What `cputune status` costs over many cgroups, beside a bare loop that opens and reads the same files.

    python tests/benchmarks/status.py [--groups N ...] [--runs N] [--plain]

The groups are services of a scratch host: real cgroups where the real hierarchy can be written, else (or with --plain)
plain files below a temporary directory. The bare loop is one process of the same Python, which reads the files that
`status` was seen to read, as often as it does, and does nothing with them. Both take turns. The goal is a ratio of at
most 3, and a time that grows as the number of groups does.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from cputune.app.hostinfo import host_info  # noqa: E402
from cputune.app.observer import Observer  # noqa: E402
from cputune.app.tuner import Tuner  # noqa: E402
from cputune.core.errors import CpuTuneError  # noqa: E402
from cputune.host.cgroup.cgroups import Cgroups  # noqa: E402
from cputune.host.system import Host  # noqa: E402
from tests.benchmarks.startup import console_script, interpreter_of, seconds  # noqa: E402
from tests.support.hosts import Scratch, lay_out, read  # noqa: E402

GOAL = 3
PER_SLICE = 100
UNITS = "31 22 0:28 / /sys/fs/units rw - cgroup cgroup rw,name=systemd"
BARE_LOOP = """
import os, sys
for path in open(sys.argv[1]).read().split("\\n"):
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.read(fd, 65536)
    finally:
        os.close(fd)
"""


def names(groups: int) -> Iterator[str]:
    """The paths of that many services in slices of a hundred, each slice before what is in it."""
    yield "/bench.slice"
    for number in range(groups):
        parent = f"/bench.slice/bench-{number // PER_SLICE}.slice"
        if number % PER_SLICE == 0:
            yield parent
        yield f"{parent}/x{number}.service"


@contextmanager
def plain_groups(folder: Path, groups: int) -> Iterator[None]:
    """A host with that many services, as plain files."""
    scratch = lay_out(read("debian13-unified"), folder)
    for name in names(groups):
        scratch.group("cgroup2", f"/sys/fs/cgroup{name}")
    yield


@contextmanager
def real_groups(folder: Path, groups: int) -> Iterator[None]:
    """A host with that many services, as real cgroups below one of the benchmark's own. Raises OSError."""
    hierarchy = Cgroups(Host()).hierarchy
    top = f"{hierarchy.mount}/cputune-benchmark-{os.getpid()}"
    paths = [top, *(top + name for name in names(groups))]
    made = []
    try:
        for path in paths:
            os.mkdir(path)
            made.append(path)
            if hierarchy.version == 2 and not path.endswith(".service"):
                Path(path, "cgroup.subtree_control").write_text("+cpu")
        scratch = Scratch(folder)
        filesystem = "cgroup cgroup rw,cpu" if hierarchy.version == 1 else "cgroup2 cgroup2 rw"
        scratch.file("/proc/1/mountinfo", f"30 22 0:27 / /sys/fs/cgroup rw - {filesystem}\n")
        if hierarchy.version == 1:
            scratch.file("/proc/1/mountinfo", f"{scratch.text('/proc/1/mountinfo')}{UNITS}\n")
            scratch.link("/sys/fs/units", top)
        scratch.link("/sys/fs/cgroup", top)
        scratch.folder("/run/systemd/system")
        yield
    finally:
        for path in reversed(made):
            os.rmdir(path)


def writable() -> bool:
    """Whether the real hierarchy takes a cgroup."""
    try:
        with tempfile.TemporaryDirectory() as folder, real_groups(Path(folder), 0):
            return True
    except (OSError, CpuTuneError):
        return False


class Watched(Host):
    """A host that notes which files are read."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self.files: list[str] = []

    def read(self, path: str, limit: int = 1 << 20) -> str:
        """Read a file; note it if it is there."""
        text = super().read(path, limit)
        self.files.append(self.real(path))
        return text


def files_read(root: str) -> list[str]:
    """The files that `status` reads there, in its order, as often as it does."""
    host = Watched(root)
    tuner = Tuner(host)
    observer = Observer(tuner)
    host_info(tuner.context)
    observer.rows((), (), None)
    return host.files


def measure(groups: int, runs: int, script: str, *, real: bool) -> tuple[float, float, int]:
    """The medians of `cputune status` and of the bare loop, in seconds; and the number of files."""
    planted = real_groups if real else plain_groups
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CPUTUNE_")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder, planted(root := Path(folder) / "root", groups):
        files = files_read(str(root))
        listing = Path(folder) / "files"
        listing.write_text("\n".join(files))
        status, bare = [], []
        for number in range(runs + 1):
            taken = (
                seconds([script, "--root", str(root), "status"], environment),
                seconds([interpreter_of(script), "-c", BARE_LOOP, str(listing)], environment),
            )
            if number:
                status.append(taken[0])
                bare.append(taken[1])
    return statistics.median(status), statistics.median(bare), len(files)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--groups", type=int, nargs="+", default=[1000, 10000], help="[1000 10000]")
    parser.add_argument("--runs", type=int, default=5, help="of each [5]")
    parser.add_argument("--command", default=None, help="the console script [the installed one]")
    parser.add_argument("--plain", action="store_true", help="plain files, also where real cgroups could be made")
    options = parser.parse_args()
    script = options.command or console_script()
    real = not options.plain and writable()
    kind = "real cgroups" if real else "plain files"
    print(f"{script}, {kind}, medians of {options.runs} runs; goal: a ratio of at most {GOAL}, and linear")
    print(f"{'cgroups':>8}{'files':>8}{'status ms':>11}{'bare loop ms':>14}{'ratio':>7}{'us per cgroup':>15}")
    for groups in options.groups:
        status, bare, files = measure(groups, options.runs, script, real=real)
        per_group = status / groups * 1e6
        print(f"{groups:>8}{files:>8}{status * 1000:>11.1f}{bare * 1000:>14.1f}{status / bare:>7.2f}{per_group:>15.1f}")


if __name__ == "__main__":
    main()
