"""run:NAME, a command that `cputune run` started: its record in the state directory tells process and cgroup."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from cputune.cgroup import Cgroups
from cputune.errors import Unsupported
from cputune.host import STATE_DIR, Host
from cputune.model import Domain
from cputune.names import file_name
from cputune.state import write_atomically


class Record(NamedTuple):
    """What `cputune run` leaves for others to find."""

    name: str
    pid: int
    cgroup: str


def directory(host: Host) -> str:
    """Where the records are written."""
    return os.path.join(host.state_dir, "run")


def _directories(host: Host) -> list[str]:
    """Where they are looked for: a user sees root's commands too."""
    return list(dict.fromkeys((directory(host), os.path.join(host.real(STATE_DIR), "run"))))


def write(host: Host, record: Record) -> None:
    """Leave a record. Raises OSError."""
    path = os.path.join(directory(host), file_name(record.name))
    write_atomically(path, f"{record.pid}\n{record.cgroup}\n{record.name}\n", sync=False)


def remove(host: Host, name: str) -> None:
    """Take the record away, if it is there."""
    path = os.path.join(directory(host), file_name(name))
    if os.path.lexists(path):
        os.unlink(path)


def find(site: Cgroups, name: str) -> Domain | None:
    """The command of that name, while its cgroup is there."""
    found = (_domain(site, os.path.join(folder, file_name(name))) for folder in _directories(site.host))
    return next(filter(None, found), None)


def domains(site: Cgroups) -> Iterator[Domain]:
    """All that run."""
    for folder in _directories(site.host):
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue
        paths = (os.path.join(folder, file) for file in names if not file.startswith("."))
        yield from filter(None, (_domain(site, path) for path in paths))


def _domain(site: Cgroups, path: str) -> Domain | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with open(fd, encoding="utf-8", errors="surrogateescape") as stream:
            pid, cgroup, name = stream.read(16384).split("\n")[:3]
        if not name or not cgroup.startswith("/") or not site.exists(cgroup):
            return None
    except (OSError, ValueError, Unsupported):
        return None
    return Domain("run", name, True, False, cgroup, cgroup, facts=(("pid", pid),))
