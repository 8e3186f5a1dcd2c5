"""Where the cpu controller is: reads /proc/self/mountinfo and /proc/PID/cgroup, assumes no path. Parsing is pure.

Formats: Documentation/filesystems/proc.rst (mountinfo), cgroups(7) (/proc/PID/cgroup).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from cputune.core.errors import Unsupported
from cputune.host.system import Host

_OCTAL = re.compile(r"\\([0-7]{3})")


class Mount(NamedTuple):
    """One line of mountinfo, as far as cgroups need it."""

    root: str
    """The directory of the file system that is mounted here: "/", or a cgroup in a container without namespace."""
    point: str
    fstype: str
    options: frozenset[str]
    """The file system's own options: on v1 the controllers."""
    readonly: bool


class Hierarchy(NamedTuple):
    """The hierarchy that has the cpu controller."""

    layout: str
    """v1, v2, or hybrid (both are mounted)."""
    version: int
    mount: str
    root: str
    acct: str | None
    """Where v1's cpuacct is mounted (usage); the same directory where they are mounted together."""
    readonly: bool
    units: str | None = None
    """Where systemd has its tree of units: on v1 that is name=systemd, and a unit may have no cpu cgroup at all."""
    prefix: str = ""
    """What /proc/PID/cgroup puts before a path for a reader in a cgroup namespace below this mount: "/../.."."""

    def strip(self, path: str) -> str:
        """Return a path from /proc/PID/cgroup, as one of this mount. Raises Unsupported for one outside it."""
        if self.prefix and f"{path}/".startswith(f"{self.prefix}/"):
            path = path[len(self.prefix) :] or "/"
        elif self.prefix:
            path = f"/..{path}"
        self.inside(path)
        return path

    def directory(self, cgroup: str) -> str:
        """Return the directory of a cgroup (named as in /proc/PID/cgroup). Raises Unsupported outside this mount."""
        return self.mount + self.inside(cgroup)

    def inside(self, cgroup: str) -> str:
        """Return the part of a cgroup's path below the mount: "" for the mount's own root."""
        if "/../" in f"{cgroup}/":
            raise Unsupported(f"cgroup {cgroup} is outside this cgroup namespace", "run cputune on the host")
        if self.root == "/":
            return cgroup.rstrip("/")
        if cgroup == self.root or cgroup.startswith(f"{self.root}/"):
            return cgroup[len(self.root) :].rstrip("/")
        raise Unsupported(
            f"cgroup {cgroup} is not below {self.root}, all that is mounted at {self.mount}", "run cputune on the host"
        )


def unescape(text: str) -> str:
    r"""Undo mountinfo's octal escapes: `\040` is a space."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)


def parse_mountinfo(text: str) -> list[Mount]:
    """Return the cgroup mounts in the text of a mountinfo file, in its order."""
    mounts = []
    for line in text.split("\n"):  # a cgroup's name may have any other separator that splitlines() knows
        head, dash, tail = line.partition(" - ")
        fields, rest = head.split(" "), tail.split(" ")
        if dash and len(fields) >= 6 and len(rest) >= 3 and rest[0] in ("cgroup", "cgroup2"):
            options = frozenset(rest[2].split(","))
            readonly = "ro" in fields[5].split(",") or "ro" in options
            mounts.append(Mount(unescape(fields[3]), unescape(fields[4]), rest[0], options, readonly))
    return mounts


def parse_proc_cgroup(text: str, version: int) -> str | None:
    """Return the path for the cpu controller in a /proc/PID/cgroup; on v1 and hybrid that is not the line `0::`."""
    for line in text.split("\n"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if (version == 2 and number == "0" and not controllers) or (version == 1 and "cpu" in controllers.split(",")):
            return path.removesuffix(" (deleted)")
    return None


def find(mounts: list[Mount], controllers_of: dict[str, str]) -> Hierarchy:
    """Return the hierarchy with the cpu controller. Raises Unsupported with the cause if there is none.

    `controllers_of` has the text of cgroup.controllers for each v2 mount point.
    """
    visible = {mount.point: mount for mount in mounts}.values()  # the last one covers those before it
    v1 = [mount for mount in visible if mount.fstype == "cgroup"]
    v2 = [mount for mount in visible if mount.fstype == "cgroup2"]
    layout = "hybrid" if v1 and v2 else "v1" if v1 else "v2"
    # The mount that shows the most: a container may have bind mounts of single cgroups besides.
    for mount in sorted(v1, key=lambda mount: len(mount.root)):
        if "cpu" in mount.options:
            acct = next((other.point for other in v1 if "cpuacct" in other.options), None)
            acct = mount.point if "cpuacct" in mount.options else acct
            tree = next((other.point for other in v1 if "name=systemd" in other.options), v2[0].point if v2 else None)
            root, prefix = _root_and_prefix(mount)
            return Hierarchy(layout, 1, mount.point, root, acct, mount.readonly, tree, prefix)
    for mount in sorted(v2, key=lambda mount: len(mount.root)):
        if "cpu" in controllers_of.get(mount.point, "").split():
            root, prefix = _root_and_prefix(mount)
            return Hierarchy(layout, 2, mount.point, root, None, mount.readonly, mount.point, prefix)
    if not mounts:
        raise Unsupported("no cgroup file system is mounted", "mount -t cgroup2 none /sys/fs/cgroup")
    seen = ", ".join(mount.point for mount in visible)
    raise Unsupported(
        f"the cpu controller is not available in any mounted cgroup hierarchy ({seen})",
        "grep -w cpu /proc/cgroups  # last column 0: booted with cgroup_disable=cpu; hierarchy 0: mounted nowhere",
    )


def _root_and_prefix(mount: Mount) -> tuple[str, str]:
    """Return a mount from outside the reader's cgroup namespace has a root of dots; all paths in it begin with them."""
    return ("/", mount.root) if mount.root.startswith("/..") else (mount.root, "")


def detect(host: Host) -> Hierarchy:
    """Return the cpu hierarchy of this host. Raises Unsupported."""
    # Below --root, "self" belongs to another pid namespace: what its init sees is what counts.
    path = "/proc/1/mountinfo" if host.root else "/proc/self/mountinfo"
    try:
        mounts = parse_mountinfo(host.read(path))
    except OSError as error:
        raise Unsupported(f"cannot read {host.real(path)}: {error.strerror}", "mount -t proc proc /proc") from error
    points = [mount.point for mount in mounts if mount.fstype == "cgroup2"]
    return find(mounts, {point: host.read_or_none(f"{point}/cgroup.controllers") or "" for point in points})
