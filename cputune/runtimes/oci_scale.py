"""How an OCI runtime converts shares to the weight of cgroup v2: it depends on its version, which only it can tell.

It is asked once, and its answer is kept in the state directory until the program changes.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache

from cputune.core.model import Scale
from cputune.host.cgroup.cgroups import Cgroups

_FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
# runc: its change log, 1.3.2; crun: its release notes, 1.23.
_SINCE = {"runc": (1, 3, 2), "crun": (1, 23, 0)}
UNKNOWN_VERSION = "as since runc 1.3.2 and crun 1.23: which version runs here cannot be told"


def scale_of(cgroups: Cgroups, program: str) -> tuple[Scale, str | None]:
    """Return how "runc" or "crun" converts shares, and a text that says so if it is a guess."""
    if cgroups.hierarchy.version == 1:
        return Scale.KERNEL, None
    version = _version(cgroups, program)
    if version is None:
        return Scale.OCI, UNKNOWN_VERSION
    return (Scale.OCI if version >= _SINCE[program] else Scale.OCI_LINEAR), None


def warm_up(cgroups: Cgroups) -> None:
    """Ask both programs for their version now, so that no container has to wait for the answer."""
    for program in _SINCE:
        scale_of(cgroups, program)


def parse_version(text: str) -> tuple[int, ...] | None:
    """Return the version in the output of `runc --version`: "runc version 1.1.15+ds1" -> (1, 1, 15)."""
    match = re.search(r"version v?([0-9]+)\.([0-9]+)(?:\.([0-9]+))?", text.partition("\n")[0])
    return tuple(int(part or 0) for part in match.groups()) if match else None


def _version(cgroups: Cgroups, program: str) -> tuple[int, ...] | None:
    if cgroups.host.root:
        return None  # a program of another system cannot be run here
    for folder in _FOLDERS:
        try:
            status = os.stat(f"{folder}/{program}")
        except OSError:
            continue
        stamp = f"{folder}/{program} {status.st_ino} {status.st_size} {status.st_mtime_ns}"
        version = _version_of(cgroups, program, f"{folder}/{program}", stamp)
        if version is None:  # it may answer next time
            _version_of.cache_clear()
        return version
    return None


@lru_cache(maxsize=8)
def _version_of(cgroups: Cgroups, program: str, path: str, stamp: str) -> tuple[int, ...] | None:
    return _remembered(cgroups, program, stamp) or _ask(cgroups, path, stamp)


def _cache(cgroups: Cgroups, program: str) -> str:
    return os.path.join(cgroups.host.state_dir, "versions", program)


def _remembered(cgroups: Cgroups, program: str, stamp: str) -> tuple[int, ...] | None:
    try:
        fd = os.open(_cache(cgroups, program), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with open(fd, encoding="utf-8", errors="replace") as file:
            seen, _, said = file.read(4096).partition("\n")
    except OSError:
        return None
    return parse_version(said) if seen == stamp else None


def _ask(cgroups: Cgroups, path: str, stamp: str) -> tuple[int, ...] | None:
    from contextlib import suppress

    from cputune.host.files import write_atomically

    try:
        said = cgroups.host.run([path, "--version"]).stdout.partition("\n")[0]
    except OSError:
        return None
    with suppress(OSError):  # a reader without rights asks each time
        write_atomically(_cache(cgroups, os.path.basename(path)), f"{stamp}\n{said}\n", sync=False)
    return parse_version(said)
