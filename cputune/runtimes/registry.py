"""The runtimes, one row each: what is true of all domains of one. A new runtime is a row here and a module beside it.

A test holds each row against its module: it has exactly the functions that the row promises.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from cputune.core.model import Scale

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Protocol

    from cputune.core.model import Domain
    from cputune.host.cgroup.cgroups import Cgroups

    class RuntimeModule(Protocol):
        """The module of a runtime. All have the first two functions, and the others where their row says so."""

        def find(self, cgroups: Cgroups, name: str) -> Iterable[Domain]:
            """Return all domains with exactly that name: several users or daemons may have one."""

        def domains(self, cgroups: Cgroups) -> Iterator[Domain]:
            """Yield all domains."""

        def of_cgroup(self, cgroups: Cgroups, cgroup: str) -> Domain | None:
            """Return the running domain with that cgroup of its own, as early as that can be told."""

        def by_prefix(self, cgroups: Cgroups, prefix: str) -> Iterable[Domain]:
            """Return the domains whose id begins with these digits."""

        def ask(self, cgroups: Cgroups, name: str) -> Iterable[Domain]:
            """Return the domains with that name that only the runtime's daemon knows of."""

        def is_settled(self, domain: Domain) -> bool:
            """Whether a running domain is in a cgroup of its own by now."""


class Runtime(NamedTuple):
    """What is true of all domains of one runtime."""

    name: str
    """What stands before the colon of RUNTIME:NAME; the module of that name here knows the domains."""
    forms: tuple[str, ...]
    """What the names of its domains look like, for the manual and README: letters in upper case stand for something."""
    about: str
    """What its domains are, for the manual."""
    persistent: bool = True
    """Whether a domain can outlive a stop, so that something can be saved for it. The module has `of_cgroup`."""
    bare: bool = True
    """Whether a bare NAME can mean one of its domains, and lists have them; otherwise only RUNTIME:NAME finds one."""
    ids: bool = False
    """Whether its domains have hexadecimal ids, which may be shortened. The module has `by_prefix`."""
    askable: bool = False
    """Whether no file tells of some of its domains. The module has `ask`, which is slow, and last to be called."""
    settles: bool = False
    """Whether a domain starts outside its own cgroup, and moves there later. The module has `is_settled`."""
    overlaps: bool = False
    """Whether its domains can be another runtime's as well: that one's name is the one that is listed."""
    oci: tuple[str, ...] = ()
    """The OCI runtimes that run its containers, first the one that it comes with: they convert shares."""
    scale: Scale = Scale.KERNEL
    """How shares become the weight of cgroup v2, where no OCI runtime does that."""
    listed_in: tuple[str, ...] = ()
    """The directories that list root's domains. One that cannot be read is named where a domain is not found."""
    native: str | None = None
    """The module in `native` that knows what the runtime itself remembers of a domain's limits."""
    hooks: tuple[str, ...] = ()
    """The programs whose hook comes before a container's first instruction: what `cputune hook` calls them."""
    parts: int = 1
    """How many parts, separated by slashes, a name has at least; 0 where it can be any text."""
    suffix: str = ""
    """What a name ends with where it does not say what kind of unit it means."""

    def module(self) -> RuntimeModule:
        """Import the module that knows the domains."""
        found: RuntimeModule = import_module(f"cputune.runtimes.{self.name}")
        return found

    def scale_on(self, version: int) -> Scale:
        """Return `scale` for a host with that cgroup version: on v1 shares are not converted."""
        return self.scale if version == 2 else Scale.KERNEL


_ROWS = (
    Runtime(
        "libvirt",
        ("libvirt:NAME",),
        "A container of libvirt's LXC driver. *NAME* may be its UUID or its id, the number that `virsh list` shows.",
        settles=True,
        scale=Scale.WEIGHT,
        native="libvirt",
        hooks=("libvirt",),
    ),
    Runtime(
        "lxc",
        ("lxc:NAME", "lxc:UID/NAME"),
        "A container of LXC 3 to 6. With *UID* it is one of that user's, which is found while it runs.",
        settles=True,
        listed_in=("/var/lib/lxc",),
        native="lxc",
        hooks=("lxc",),
    ),
    Runtime(
        "incus",
        ("incus:[PROJECT/]NAME",),
        "A container of incus. *PROJECT* may be left out for the project `default`.",
        settles=True,
        listed_in=("/var/lib/incus/containers",),
        native="instances",
    ),
    Runtime(
        "lxd",
        ("lxd:[PROJECT/]NAME",),
        "A container of LXD, from a package or the snap. *PROJECT* may be left out for the project `default`.",
        settles=True,
        listed_in=("/var/lib/lxd/containers", "/var/snap/lxd/common/lxd/containers"),
        native="instances",
    ),
    Runtime(
        "nspawn",
        ("nspawn:NAME",),
        "A systemd-nspawn container, or any other machine that is registered with systemd-machined.",
        native="units",
    ),
    Runtime(
        "docker",
        ("docker:NAME", "docker:UID/NAME", "docker:/DATA-ROOT/NAME"),
        "A container of docker. *NAME* may be its id. With *UID* it is one of that user's rootless daemon, with "
        "*DATA-ROOT* one of a further daemon of root's.",
        ids=True,
        oci=("runc",),
        listed_in=("/var/lib/docker",),
        native="docker",
    ),
    Runtime(
        "podman",
        ("podman:NAME", "podman:UID/NAME"),
        "A container of podman, in a pod or not. *NAME* may be its id. With *UID* it is one of that user's.",
        ids=True,
        oci=("crun",),
        listed_in=("/var/lib/containers/storage/overlay-containers",),
        native="podman",
        hooks=("podman",),
    ),
    Runtime(
        "cri",
        ("cri:[NAMESPACE/]POD/CONTAINER", "cri:ID"),
        "A container of containerd's: with Kubernetes by the names of its pod and container, without it by its id, "
        "before which comes the containerd namespace unless that is `default`: `cri:NAMESPACE/ID`.",
        ids=True,
        askable=True,
        overlaps=True,
        oci=("runc",),
        listed_in=("/run/containerd/io.containerd.runtime.v2.task",),
    ),
    Runtime(
        "oci",
        ("oci:runc/ID", "oci:crun/ID", "oci:UID/crun/ID"),
        "A container that somebody runs with runc or crun directly. With *UID* it is one of that user's. `oci:ID` is "
        "enough where only one of them has it.",
        oci=("runc", "crun"),
        listed_in=("/run/runc", "/run/crun"),
        hooks=("runc", "crun"),
        parts=2,
    ),
    Runtime("run", ("run:NAME",), "A command that `cputune run` started.", persistent=False),
    Runtime(
        "systemd",
        ("systemd:UNIT", "systemd:UID/UNIT"),
        "Any service, scope, slice, socket, mount or swap; with *UID* one of that user's manager.",
        overlaps=True,
        native="units",
        hooks=("systemd",),
        parts=0,
        suffix=".service",
    ),
    Runtime(
        "cgroup",
        ("cgroup:/PATH",),
        "A cgroup by its path in the cpu hierarchy, for what no runtime knows.",
        persistent=False,
        bare=False,
    ),
    Runtime("pid", ("pid:N",), "The cgroup that process *N* is in.", persistent=False, bare=False),
)

RUNTIMES = {row.name: row for row in _ROWS}
"""In the order in which they are asked and listed."""
PERSISTENT = tuple(name for name, row in RUNTIMES.items() if row.persistent)
QUALIFIED_ONLY = tuple(name for name, row in RUNTIMES.items() if not row.bare)
