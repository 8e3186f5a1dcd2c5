r"""Recorded hosts: one text file each beside this one, laid out below a directory for `Host(root=...)`.

A file begins with what the host is and where the record is from. Then come sections, whose heads are in lower case:

    [file /PATH]                  the text of a file, as it was
    [link /PATH] TARGET           a symbolic link
    [gone /PATH]                  a file of /proc that this kernel has not got
    [process PID of PPID] ARGV    a process; the lines are its /proc/PID/cgroup
    [tree KIND /MOUNT]            a cgroup hierarchy, a group a line; indented below a group the files that differ from
                                  a new group's ("NAME = TEXT", "no NAME"). KIND is what v1 has there (cpu, cpuacct,
                                  name=systemd), cgroup2, or cgroup2-without-cpu
    [expect]                      the fields of `Hierarchy`, or `error = ...`, the whole text
    [domains]                     all that `runtimes.domains` finds, in its order: NAME | STATE | LIMIT | WEIGHT
    [find]                        NAME = RUNTIME:NAME, or NAME ! the whole error

A host is added by adding a file; tests/unit/runtimes/test_recorded_hosts.py finds it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.foreign import Foreign
from cputune.host.system import Host
from tests.support.owners import OwnedByPath

HERE = Path(__file__).resolve().parent
HOSTS = tuple(sorted(path.stem for path in HERE.glob("*.txt")))

_STAT_V2 = (
    "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n"
    "nr_periods 100\nnr_throttled 25\nthrottled_usec 1500000\nnr_bursts 0\nburst_usec 0\n"
)
_STAT_V1 = "nr_periods 100\nnr_throttled 25\nthrottled_time 1500000000\nnr_bursts 0\nburst_time 0\n"
_CPU_V2 = {"cpu.max": "max 100000", "cpu.weight": "100", "cpu.max.burst": "0", "cpu.idle": "0"}
_CPU_V1 = {
    "cpu.shares": "1024",
    "cpu.cfs_quota_us": "-1",
    "cpu.cfs_period_us": "100000",
    "cpu.cfs_burst_us": "0",
    "cpu.idle": "0",
    "cpu.stat": _STAT_V1,
}
_CONTROLLERS = "cpuset cpu io memory hugetlb pids rdma misc"


Files = Mapping[str, str | None]
"""Names of files and their texts; None = not there."""
NONE: Files = {}


class Section(NamedTuple):
    """One part of a file: the words in the brackets, what follows on that line, the lines below."""

    words: tuple[str, ...]
    rest: str
    lines: tuple[str, ...]


class Recorded(NamedTuple):
    """A host, read."""

    name: str
    about: str
    sections: tuple[Section, ...]

    def lines(self, kind: str) -> tuple[str, ...]:
        """The lines of the one section of that kind that tell what to expect."""
        return next((section.lines for section in self.sections if section.words[0] == kind), ())


USERS = {"/home": 1000, "/run/user": 1000}
"""Whose the directories in these are."""


class RecordedHost(Host):
    """A recorded host, as its root sees it: what is in a user's home or runtime directory is that user's."""

    def __init__(self, root: str, config_dir: str | None = None, state_dir: str | None = None) -> None:
        super().__init__(root, config_dir, state_dir)
        self.uid = 0

    def owner(self, path: str) -> int | None:
        """By the path: the files are those of whoever runs the tests."""
        return None if super().owner(path) is None else OwnedByPath(self.root, USERS).owner_by_path(path)

    @cached_property
    def foreign(self) -> Foreign:
        """Its files, likewise."""
        return OwnedByPath(self.root, USERS)


class Scratch:
    """A host in the making, as plain files below a directory: writes are stored, nothing is refused."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.host = RecordedHost(str(directory), state_dir=f"{directory}/run/cputune")  # not the user's own

    def path(self, path: str) -> Path:
        """Where the host's absolute `path` is."""
        return Path(f"{self.directory}{path}")

    def text(self, path: str) -> str:
        """What a file has now."""
        return self.path(path).read_text()

    def file(self, path: str, text: str = "") -> None:
        """Make a file and the directories above it."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def folder(self, path: str) -> None:
        """Make a directory and those above it."""
        self.path(path).mkdir(parents=True, exist_ok=True)

    def link(self, path: str, target: str) -> None:
        """Make a symbolic link."""
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).symlink_to(target)

    def group(self, kind: str, directory: str, files: Files = NONE, *, top: bool = False) -> None:
        """Make a cgroup of a hierarchy of that kind; `files` replace the usual text, or with None remove a file."""
        self.folder(directory)
        for name, text in {**_usual(kind, top=top), **files}.items():
            if text is not None:
                self.file(f"{directory}/{name}", text if text.endswith("\n") or not text else f"{text}\n")

    def process(self, pid: int, cgroup: str, argv: str = "/sbin/init", parent: int = 1) -> None:
        """Make what /proc shows of a process; what calls itself "[...]" has one word on its command line."""
        words = [argv] if argv.startswith("[") else argv.split(" ")
        comm = words[0].rpartition("/")[2][:15] if not argv.startswith("[") else argv[:15]
        self.file(f"/proc/{pid}/cgroup", cgroup)
        self.file(f"/proc/{pid}/cmdline", "".join(f"{word}\0" for word in words))
        self.file(f"/proc/{pid}/comm", f"{comm}\n")
        self.file(f"/proc/{pid}/stat", f"{pid} ({comm}) S {parent} {' '.join(['0'] * 48)}\n")
        uid = 1000 if "/user.slice/user-1000" in cgroup else 0
        self.file(f"/proc/{pid}/status", "\t".join((f"Name:\t{comm}\nUid:", *[str(uid)] * 4)) + "\n")
        program = f"/usr/bin/{comm.strip('[]').replace(' ', '-')}"
        self.file(program)
        self.path(program).chmod(0o755)
        self.path(f"/proc/{pid}/exe").unlink(missing_ok=True)
        self.link(f"/proc/{pid}/exe", str(self.path(program)))
        self.file(f"/proc/{pid}/task/{pid}/cgroup", cgroup)
        self.file(f"/proc/{pid}/task/{pid}/children", "")
        children = f"/proc/{parent}/task/{parent}/children"
        if self.path(children).exists():
            self.file(children, f"{self.text(children)}{pid} ")


def _usual(kind: str, *, top: bool) -> dict[str, str]:
    """What a new group of a hierarchy has."""
    files: dict[str, str] = {"cgroup.procs": ""}
    if kind == "cgroup2":
        files |= {"cgroup.controllers": _CONTROLLERS, "cgroup.subtree_control": _CONTROLLERS, "cpu.stat": _STAT_V2}
        files |= {} if top else _CPU_V2
    elif kind == "cgroup2-without-cpu":
        files |= {"cgroup.controllers": "", "cgroup.subtree_control": "", "cpu.stat": _STAT_V2.partition("nr_")[0]}
    if "cpu" in kind.split(","):
        files |= _CPU_V1
    if "cpuacct" in kind.split(","):
        files |= {"cpuacct.usage": "2500000000"}
    return files


def read(name: str) -> Recorded:
    """Read the file of a host."""
    return parse(name, (HERE / f"{name}.txt").read_text())


def parse(name: str, text: str) -> Recorded:
    """The parts of a file's text."""
    about, *parts = re.split(r"^\[(?=[a-z])", text, flags=re.MULTILINE)
    sections = []
    for part in parts:
        head, _, body = part.partition("\n")
        words, _, rest = head.partition("]")
        kind, _, argument = words.partition(" ")
        split = (argument,) if kind in ("file", "link", "gone") else tuple(argument.split())
        sections.append(Section((kind, *split), rest.strip(), tuple(body.rstrip("\n").splitlines())))
    return Recorded(name, about.strip(), tuple(sections))


def lay_out(recorded: Recorded, directory: Path) -> Scratch:
    """Make the files of a host below a directory."""
    scratch = Scratch(directory)
    for section in recorded.sections:
        match section:
            case Section(("file", path), _, lines):
                scratch.file(path, "".join(f"{line}\n" for line in lines))
            case Section(("link", path), target, _):
                scratch.link(path, target)
            case Section(("tree", kind, mount), _, lines):
                _plant(scratch, kind, mount, lines)
            case Section(("process", pid, *parent), argv, lines):
                cgroup = "".join(f"{line}\n" for line in lines)
                scratch.process(int(pid), cgroup, argv, int(parent[1]) if parent else 0)
            case Section(("expect" | "domains" | "find" | "gone", *_), _, _):
                pass
            case _:
                raise ValueError(f"{recorded.name}: unknown section [{' '.join(section.words)}]")
    _settle(scratch, recorded)
    for section in recorded.sections:
        if section.words[0] == "gone":
            scratch.path(section.words[1]).unlink()
    return scratch


def _plant(scratch: Scratch, kind: str, mount: str, lines: tuple[str, ...]) -> None:
    groups: dict[str, dict[str, str | None]] = {}
    files: dict[str, str | None] = {}
    for line in lines:
        if not line.startswith(" "):
            groups[line.rstrip("/")] = files = {}
        elif line.strip().startswith("no "):
            files[line.strip().removeprefix("no ")] = None
        else:
            name, _, text = line.strip().partition(" = ")
            files[name] = text
    for path, own in groups.items():
        scratch.group(kind, mount + path, own, top=path == "")


def _settle(scratch: Scratch, recorded: Recorded) -> None:
    """Fill in cgroup.procs from what the processes' /proc/PID/cgroup say."""
    trees = [section.words[1:] for section in recorded.sections if section.words[0] == "tree"]
    for section in recorded.sections:
        if section.words[0] != "process":
            continue
        for line in section.lines:
            _, controllers, path = line.split(":", 2)
            for kind, mount in trees:
                procs = f"{mount}{path.rstrip('/')}/cgroup.procs"
                if controllers == (kind if not kind.startswith("cgroup2") else "") and scratch.path(procs).exists():
                    scratch.file(procs, f"{scratch.text(procs)}{section.words[1]}\n")


MOUNT = "/sys/fs/cgroup"
MOUNTS = {
    1: "33 29 0:29 / /sys/fs/cgroup rw - cgroup cgroup rw,cpu,cpuacct\n",
    2: "30 22 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
}


NO_GROUPS: Mapping[str, Files] = {}


def with_groups(folder: Path, version: int, groups: Mapping[str, Files] = NO_GROUPS) -> tuple[Scratch, Cgroups]:
    """A host of that cgroup version with these cgroups, and the files in which each differs from a new one."""
    scratch = Scratch(folder)
    scratch.file("/proc/1/mountinfo", MOUNTS[version])
    kind = "cpu,cpuacct" if version == 1 else "cgroup2"
    scratch.group(kind, "/sys/fs/cgroup", top=True)
    for name, files in groups.items():
        scratch.group(kind, f"/sys/fs/cgroup/{name}", files)
    return scratch, Cgroups(scratch.host)
