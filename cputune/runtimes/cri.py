"""cri:[NAMESPACE/]POD/CONTAINER, a container of containerd's in Kubernetes, or by its id; without Kubernetes cri:ID, in
a containerd namespace other than "default" cri:NAMESPACE/ID.

Docker's own are docker's. A running container is found by the bundle that containerd made for it; of a stopped one
whose bundle is gone only the daemon knows, and is asked where the container is named as cri:.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from cputune.core.model import Domain
from cputune.core.names import is_component
from cputune.core.units import parse_integer
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import oci_place, oci_scale
from cputune.runtimes.listing import paused, running
from cputune.runtimes.records import Unreadable, field, load, parsed, text

_STATES = ("/run/containerd", "/run/k3s/containerd", "/var/snap/microk8s/common/run/containerd")
_TASKS = "io.containerd.runtime.v2.task"
_DOCKERS = ("moby", "plugins.moby")
_DEFAULT = "default"
_KUBERNETES = "k8s.io"
_ANNOTATION = "io.kubernetes.cri."


class Container(NamedTuple):
    """One container, as its OCI configuration tells of it."""

    namespace: str
    """containerd's: "k8s.io" for Kubernetes."""
    id: str
    spec: dict[str, Any]
    """Its OCI configuration."""

    def annotation(self, name: str) -> str:
        """One of those by which containerd says what Kubernetes calls it."""
        return text(self.spec, "annotations", _ANNOTATION + name)

    @property
    def name(self) -> str:
        """As the domain is called."""
        container = self.annotation("container-name")
        if container:
            return f"{self.annotation('sandbox-namespace')}/{self.annotation('sandbox-name')}/{container}"
        return self.id if self.namespace == _DEFAULT else f"{self.namespace}/{self.id}"

    def is_called(self, name: str) -> bool:
        """Whether that is its name, with or without the namespace of its pod, or its whole id."""
        return name in (self.name, self.id) or (self.name.count("/") == 2 and self.name.endswith(f"/{name}"))


def find(cgroups: Cgroups, name: str) -> list[Domain]:
    """The containers of that name or whole id."""

    return _newest(_domains(cgroups, lambda container: container.is_called(name), name.rpartition("/")[2]))


def by_prefix(cgroups: Cgroups, prefix: str) -> list[Domain]:
    """The containers whose id begins so."""
    return _newest(_domains(cgroups, lambda container: container.id.startswith(prefix)))


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """All that have a bundle; not the pods' own sandboxes."""
    yield from _newest(_domains(cgroups, lambda container: container.annotation("container-type") != "sandbox"))


def of_cgroup(cgroups: Cgroups, cgroup: str) -> Domain | None:
    """The container whose cgroup this is, from the moment at which it is made: no record says yet that it runs."""
    last = oci_place.outer(cgroup).rpartition("/")[2]
    id_ = oci_place.id_in(cgroup) or last
    for state in _STATES if is_component(id_) else ():
        for namespace in cgroups.host.children(f"{state}/{_TASKS}"):
            folder = f"{state}/{_TASKS}/{namespace}/{id_}"
            if namespace not in _DOCKERS and cgroups.host.exists(f"{folder}/config.json"):
                try:
                    spec = load(cgroups, f"{folder}/config.json")
                except Unreadable:
                    return None
                container = Container(namespace, id_, spec or {})
                path = str(field(container.spec, "linux", "cgroupsPath") or "")
                if "/" in path and not oci_place.outer(cgroup).endswith(path):
                    continue
                if container.annotation("container-type") != "sandbox":
                    return running(_domain(cgroups, folder, container, cgroup))
    return None


def ask(cgroups: Cgroups, name: str) -> list[Domain]:
    """The containers of that name whose bundle is gone, as containerd itself knows them; none where it is not there.

    Those whose id begins so, where none has the name.
    """
    if cgroups.host.root or not is_component(name.replace("/", "-")):
        return []
    daemons = [socket for socket in map("{}/containerd.sock".format, _STATES) if cgroups.host.exists(socket)]
    known = [container for socket in daemons for container in _stopped(cgroups, socket, name)]
    found = [container for container in known if container.is_called(name)]
    scale, guess = oci_scale.scale_of(cgroups, "runc")
    return _newest(
        Domain("cri", one.name, False, True, scale=scale, facts=(("id", one.id), ("namespace", one.namespace), *guess))
        for one in found or [one for one in known if one.namespace == _KUBERNETES and one.id.startswith(name)]
    )


def _stopped(cgroups: Cgroups, socket: str, name: str) -> Iterator[Container]:
    """The containers without a bundle that may be meant by a name."""
    folder = f"{socket.rpartition('/')[0]}/{_TASKS}"
    for namespace in _ctr(cgroups, socket, "namespaces", "ls", "-q").split():
        if namespace in _DOCKERS:
            continue
        of_it = ("-n", namespace, "containers")
        for id_ in _ctr(cgroups, socket, *of_it, "ls", "-q").split():
            # Kubernetes' names are in the configuration only; all others are the ids.
            may_be = ("/" in name and namespace == _KUBERNETES) or id_.startswith(name.rpartition("/")[2])
            if not may_be or cgroups.host.is_dir(f"{folder}/{namespace}/{id_}"):
                continue
            spec = field(parsed(_ctr(cgroups, socket, *of_it, "info", "--", id_)), "Spec")
            yield Container(namespace, id_, spec if isinstance(spec, dict) else {})


def _ctr(cgroups: Cgroups, socket: str, *arguments: str) -> str:
    """What ctr prints; nothing where there is no ctr, no right to ask, or nothing by that name."""
    try:
        return cgroups.host.run(["ctr", "--address", socket, *arguments]).stdout
    except OSError:
        return ""


def _newest(found: Iterable[Domain]) -> list[Domain]:
    """Of one container's several tries only those that run, as far as one does; else any of them."""
    tries: dict[str, list[Domain]] = {}
    for domain in found:
        tries.setdefault(domain.name, []).append(domain)
    return [one for same in tries.values() for one in [one for one in same if one.running] or same[:1]]


def _domains(cgroups: Cgroups, wanted: Callable[[Container], bool], word: str = "") -> Iterator[Domain]:
    for folder, container in _bundles(cgroups, word):
        if wanted(container):
            yield _domain(cgroups, folder, container)


def _bundles(cgroups: Cgroups, word: str) -> Iterator[tuple[str, Container]]:
    """The bundles that have `word` in their id or their configuration: the others need not be understood."""
    for state in _STATES:
        for namespace in cgroups.host.children(f"{state}/{_TASKS}"):
            if namespace in _DOCKERS:
                continue
            for id_ in cgroups.host.children(f"{state}/{_TASKS}/{namespace}"):
                folder = f"{state}/{_TASKS}/{namespace}/{id_}"
                if word not in id_ and word not in (cgroups.host.read_regular_or_none(f"{folder}/config.json") or ""):
                    continue
                try:
                    spec = load(cgroups, f"{folder}/config.json")
                except Unreadable:
                    continue
                if spec is not None:
                    yield folder, Container(namespace, id_, spec)


def _domain(cgroups: Cgroups, folder: str, container: Container, made: str | None = None) -> Domain:
    """The domain of a container; with `made`, of one whose cgroup that is."""
    program = "crun" if "crun" in (cgroups.host.read_regular_or_none(f"{folder}/options.json") or "") else "runc"
    pid = parse_integer((cgroups.host.read_regular_or_none(f"{folder}/init.pid") or "").strip()) or 0
    names = (oci_place.name_of(str(field(container.spec, "linux", "cgroupsPath") or container.id)),)
    crun = program == "crun"
    if made:
        place = oci_place.made(cgroups, made, names, crun=crun, user=None)
    else:
        place = oci_place.find(cgroups, pid, names, crun=crun, user=None) if pid > 0 else None
    if place and place.limit is None:
        place = None  # the process has ended, and another one has its number
    scale, guess = oci_scale.scale_of(cgroups, program)
    facts = [("id", container.id), *([("pid", str(pid))] if place else []), ("namespace", container.namespace), *guess]
    facts += paused(cgroups, place.limit) if place else ()
    limit, weight, mirrored, obstacle = place or oci_place.OciPlacement(None, None)
    return Domain(
        "cri", container.name, place is not None, True, limit, weight, scale, tuple(facts), mirrored, obstacle
    )
