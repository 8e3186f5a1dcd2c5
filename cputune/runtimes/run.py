"""Commands that `cputune run` started: a record in the state directory tells the process and the cgroup."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from cputune.core.errors import Unsupported
from cputune.core.model import Details, Domain
from cputune.core.names import file_name
from cputune.core.units import parse_integer
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.files import write_atomically
from cputune.host.system import STATE_DIR, Host


class Record(NamedTuple):
    """What `cputune run` leaves for others to find."""

    name: str
    pid: int
    cgroup: str
    starter: int
    """The pid of the `cputune run` itself, which still reads the counters when the command has ended."""


def directory(host: Host) -> str:
    """Return the directory in which records are written."""
    return os.path.join(host.state_dir, "run")


def _directories(host: Host) -> list[str]:
    """Return the directories in which records are looked for: users see root's commands, too."""
    return list(dict.fromkeys((directory(host), os.path.join(host.real(STATE_DIR), "run"))))


def write(host: Host, record: Record) -> None:
    """Write a record. Raises OSError."""
    path = os.path.join(directory(host), file_name(record.name))
    write_atomically(path, f"{record.pid}\n{record.cgroup}\n{record.name}\n{record.starter}\n", sync=False)


def remove(host: Host, name: str) -> None:
    """Remove a record, if there is one."""
    path = os.path.join(directory(host), file_name(name))
    if os.path.lexists(path):
        os.unlink(path)


def find(cgroups: Cgroups, name: str) -> Iterator[Domain]:
    """Yield the command of that name, while anything is in its cgroup."""
    paths = (os.path.join(folder, file_name(name)) for folder in _directories(cgroups.host))
    if found := next(filter(None, (_domain(cgroups, path) for path in paths)), None):
        yield found


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """Yield all commands that run."""
    for folder in _directories(cgroups.host):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        paths = (os.path.join(folder, file) for file in names if not file.startswith("."))
        yield from filter(None, (_domain(cgroups, path) for path in paths))


def ended(name: str) -> Domain:
    """Return the domain of a command of which nothing runs any more."""
    return Domain("run", name, running=False, persistent=False)


def dead(cgroups: Cgroups) -> Iterator[Record]:
    """Yield our records of commands of which nothing runs any more, and whose `cputune run` has ended."""
    for file in cgroups.host.names(directory(cgroups.host)) if not cgroups.host.root else ():
        record = _read(os.path.join(directory(cgroups.host), file))
        if record and not _alive(cgroups, record) and not cgroups.host.is_dir(f"/proc/{record.starter}"):
            yield record


def _domain(cgroups: Cgroups, path: str) -> Domain | None:
    record = _read(path)
    if record is None or not _alive(cgroups, record):
        return None
    return Domain("run", record.name, True, False, record.cgroup, record.cgroup, details=Details(pid=record.pid))


def _read(path: str) -> Record | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with open(fd, encoding="utf-8", errors="surrogateescape") as stream:
            pid, cgroup, name, starter = stream.read(16384).split("\n")[:4]
    except (OSError, ValueError):
        return None
    numbers = parse_integer(pid), parse_integer(starter)
    if not name or not cgroup.startswith("/") or None in numbers:
        return None
    return Record(name, int(pid), cgroup, int(starter))


def _alive(cgroups: Cgroups, record: Record) -> bool:
    """Whether anything is in the cgroup: a process, or a cgroup that the command made below it."""
    try:
        procs = cgroups.host.read_or_none(f"{cgroups.directory(record.cgroup)}/cgroup.procs")
        return bool(procs or cgroups.children(record.cgroup))
    except Unsupported:
        return False
