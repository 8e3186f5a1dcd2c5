"""containerd's containers: of Kubernetes by the names of pod and container, others by id, before which comes the
containerd namespace unless that is "default".

Docker's own are docker's. A running container is found by the bundle that containerd made for it. Of a stopped one
whose bundle is gone only the daemon knows, which is asked where the container is named as cri:NAME.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from cputune.core.model import Details, Domain
from cputune.core.names import is_component
from cputune.core.units import parse_integer
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import oci_container
from cputune.runtimes.json_files import Unreadable, load_object, parse_object, string_at, value_at
from cputune.runtimes.oci_container import OciContainer
from cputune.runtimes.tolerance import tolerantly

_STATES = ("/run/containerd", "/run/k3s/containerd", "/var/snap/microk8s/common/run/containerd")
"""The state directories of containerd: of a package, of k3s, of microk8s."""
_TASKS = "io.containerd.runtime.v2.task"
_OF_DOCKER = ("moby", "plugins.moby")
"""The containerd namespaces of docker's own containers."""
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
    bundle: str = ""
    """The directory that containerd made for it; empty where there is none."""

    def annotation(self, name: str) -> str:
        """An annotation in which containerd says what Kubernetes calls the container; empty if it has none."""
        return string_at(self.spec, "annotations", _ANNOTATION + name)

    @property
    def is_sandbox(self) -> bool:
        """Whether it only holds the namespaces of a pod."""
        return self.annotation("container-type") == "sandbox"

    @property
    def cgroups_path(self) -> str:
        """The `cgroupsPath` of its configuration; empty if there is none."""
        return str(value_at(self.spec, "linux", "cgroupsPath") or "")

    @property
    def name(self) -> str:
        """The name of its domain."""
        container = self.annotation("container-name")
        if container:
            return f"{self.annotation('sandbox-namespace')}/{self.annotation('sandbox-name')}/{container}"
        return self.id if self.namespace == _DEFAULT else f"{self.namespace}/{self.id}"

    def is_called(self, name: str) -> bool:
        """Whether `name` is its whole id or its name, with or without the namespace of its pod."""
        return name in (self.name, self.id) or (self.name.count("/") == 2 and self.name.endswith(f"/{name}"))


def find(cgroups: Cgroups, name: str) -> list[Domain]:
    """Return the containers with that name or whole id."""
    return _newest(_domains(cgroups, lambda container: container.is_called(name), name.rpartition("/")[2]))


def by_prefix(cgroups: Cgroups, prefix: str) -> list[Domain]:
    """Return the containers whose id begins with `prefix`."""
    return _newest(_domains(cgroups, lambda container: container.id.startswith(prefix)))


def domains(cgroups: Cgroups) -> Iterator[Domain]:
    """Yield all containers that have a bundle, except the sandboxes of pods."""
    yield from _newest(_domains(cgroups, lambda container: not container.is_sandbox))


def of_cgroup(cgroups: Cgroups, cgroup: str) -> Domain | None:
    """Return the container with that cgroup, even if it is only being started, and no record says that it runs."""
    own = oci_container.own_cgroup(cgroup)
    id_ = oci_container.id_in(cgroup) or own.rpartition("/")[2]
    for folder in _task_folders(cgroups) if is_component(id_) else ():
        container = _container(cgroups, folder, id_)
        if container is None or container.is_sandbox:
            continue
        path = container.cgroups_path
        if "/" not in path or own.endswith(path):
            return _domain(cgroups, container, cgroup)
    return None


def ask(cgroups: Cgroups, name: str) -> list[Domain]:
    """Ask containerd for the containers of that name whose bundle is gone; returns none if containerd is not there.

    Where none has the name, those of Kubernetes whose id begins so.
    """
    if cgroups.host.root or not is_component(name.replace("/", "-")):
        return []
    daemons = [socket for socket in map("{}/containerd.sock".format, _STATES) if cgroups.host.foreign.exists(socket)]
    known = [container for socket in daemons for container in _stopped(cgroups, socket, name)]
    found = [container for container in known if container.is_called(name)]
    if not found:
        found = [one for one in known if one.namespace == _KUBERNETES and one.id.startswith(name)]
    return _newest(_domain(cgroups, container) for container in found)


def _stopped(cgroups: Cgroups, socket: str, name: str) -> Iterator[Container]:
    """Yield the containers without a bundle that the name may mean."""
    folder = f"{socket.rpartition('/')[0]}/{_TASKS}"
    for namespace in _ctr(cgroups, socket, "namespaces", "ls", "-q").split():
        if namespace in _OF_DOCKER:
            continue
        containers = ("-n", namespace, "containers")
        for id_ in _ctr(cgroups, socket, *containers, "ls", "-q").split():
            # Kubernetes' names are in the configuration only; all others are the ids.
            may_be = ("/" in name and namespace == _KUBERNETES) or id_.startswith(name.rpartition("/")[2])
            if not may_be or cgroups.host.foreign.is_dir(f"{folder}/{namespace}/{id_}"):
                continue
            spec = value_at(parse_object(_ctr(cgroups, socket, *containers, "info", "--", id_)), "Spec")
            yield Container(namespace, id_, spec if isinstance(spec, dict) else {})


def _ctr(cgroups: Cgroups, socket: str, *arguments: str) -> str:
    """Return what ctr prints; nothing if there is no ctr, no permission to ask, or nothing of that name."""
    try:
        return cgroups.host.run(["ctr", "--address", socket, *arguments]).stdout
    except OSError:
        return ""


def _newest(found: Iterable[Domain]) -> list[Domain]:
    """Return, of the attempts to run one container, those that run; if none does, any one of them."""
    tries: dict[str, list[Domain]] = {}
    for domain in found:
        tries.setdefault(domain.name, []).append(domain)
    return [one for same in tries.values() for one in [one for one in same if one.running] or same[:1]]


def _domains(cgroups: Cgroups, is_wanted: Callable[[Container], bool], word: str = "") -> Iterator[Domain]:
    """Yield the wanted containers among those with `word` in their id or configuration; the rest is not parsed."""
    for folder in _task_folders(cgroups):
        for id_ in cgroups.host.foreign.children(folder):
            config = f"{folder}/{id_}/config.json"
            if word not in id_ and word not in (cgroups.host.foreign.read_or_none(config) or ""):
                continue
            yield from tolerantly(cgroups, f"cri:{id_[:12]}", 0, partial(_wanted, cgroups, folder, id_, is_wanted))


def _wanted(cgroups: Cgroups, folder: str, id_: str, is_wanted: Callable[[Container], bool]) -> Iterator[Domain]:
    container = _container(cgroups, folder, id_)
    if container and is_wanted(container):
        yield _domain(cgroups, container)


def _task_folders(cgroups: Cgroups) -> Iterator[str]:
    """Yield the directories that have bundles, one per containerd namespace, without docker's namespaces."""
    for state in _STATES:
        for namespace in cgroups.host.foreign.children(f"{state}/{_TASKS}"):
            if namespace not in _OF_DOCKER:
                yield f"{state}/{_TASKS}/{namespace}"


def _container(cgroups: Cgroups, folder: str, id_: str) -> Container | None:
    """Return the container whose bundle is there; None if its configuration cannot be read."""
    bundle = f"{folder}/{id_}"
    try:
        spec = load_object(cgroups, f"{bundle}/config.json")
    except Unreadable:
        return None
    return None if spec is None else Container(folder.rpartition("/")[2], id_, spec, bundle)


def _domain(cgroups: Cgroups, container: Container, new_cgroup: str | None = None) -> Domain:
    """Return the domain of a container; with `new_cgroup`, of one that is being started in that cgroup."""
    details = Details(id=container.id, namespace=container.namespace)
    found = _task(cgroups, container) if container.bundle else OciContainer("runc")
    return oci_container.domain_of(cgroups, "cri", container.name, found, details, new_cgroup=new_cgroup)


def _task(cgroups: Cgroups, container: Container) -> OciContainer:
    """Return what the bundle tells of the process. Its init.pid outlives the process."""
    options = cgroups.host.foreign.read_or_none(f"{container.bundle}/options.json") or ""
    return OciContainer(
        program="crun" if "crun" in options else "runc",
        pid=parse_integer((cgroups.host.foreign.read_or_none(f"{container.bundle}/init.pid") or "").strip()) or 0,
        cgroup_names=(oci_container.cgroup_name(container.cgroups_path or container.id),),
        pid_is_sure=False,
    )
