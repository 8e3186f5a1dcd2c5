"""cri:[NAMESPACE/]POD/CONTAINER, a container of containerd's in Kubernetes, or by its id; without Kubernetes cri:ID, in
a containerd namespace other than "default" cri:NAMESPACE/ID.

Docker's own are docker's. A running container is found by the bundle that containerd made for it; of a stopped one
whose bundle is gone only the daemon knows, and is asked, by id, where it is named as cri:.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from cputune.cgroup import Cgroups
from cputune.model import Domain
from cputune.names import is_component
from cputune.runtimes import oci_place, oci_scale
from cputune.runtimes.listing import paused
from cputune.runtimes.records import Unreadable, field, load, text
from cputune.units import parse_integer

_STATES = ("/run/containerd", "/run/k3s/containerd", "/var/snap/microk8s/common/run/containerd")
_TASKS = "io.containerd.runtime.v2.task"
_DOCKERS = ("moby", "plugins.moby")
_DEFAULT = "default"
_ANNOTATION = "io.kubernetes.cri."


class Bundle(NamedTuple):
    """One container's bundle."""

    namespace: str
    """containerd's: "k8s.io" for Kubernetes."""
    id: str
    folder: str
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
        return _plain_name(self.namespace, self.id)


def find(site: Cgroups, name: str) -> list[Domain]:
    """The containers of that name or whole id."""

    def wanted(bundle: Bundle) -> bool:
        return name in (bundle.name, bundle.id) or (bundle.name.count("/") == 2 and bundle.name.endswith(f"/{name}"))

    return _newest(_domains(site, wanted, name.rpartition("/")[2]))


def by_prefix(site: Cgroups, prefix: str) -> list[Domain]:
    """The containers whose id begins so."""
    return _newest(_domains(site, lambda bundle: bundle.id.startswith(prefix)))


def domains(site: Cgroups) -> Iterator[Domain]:
    """All that have a bundle; not the pods' own sandboxes."""
    yield from _newest(_domains(site, lambda bundle: bundle.annotation("container-type") != "sandbox"))


def ask(site: Cgroups, name: str) -> list[Domain]:
    """A container whose bundle is gone, by its id: containerd itself knows it. Nothing where it cannot be asked."""
    namespace, slash, id_ = name.rpartition("/")
    if not is_component(id_) or site.host.root or not any(map(site.host.is_dir, _STATES)):
        return []
    try:
        said = site.host.run(["ctr", "-n", namespace if slash else _DEFAULT, "containers", "info", "--", id_])
    except OSError:
        return []
    scale, guess = oci_scale.scale_of(site, "runc")
    name = _plain_name(namespace if slash else _DEFAULT, id_)
    return [Domain("cri", name, False, True, scale=scale, facts=guess)] if said.status == 0 else []


def _plain_name(namespace: str, id_: str) -> str:
    return id_ if namespace == _DEFAULT else f"{namespace}/{id_}"


def _newest(found: Iterator[Domain]) -> list[Domain]:
    """Of one container's several tries only those that run, as far as one does; else any of them."""
    tries: dict[str, list[Domain]] = {}
    for domain in found:
        tries.setdefault(domain.name, []).append(domain)
    return [one for same in tries.values() for one in [one for one in same if one.running] or same[:1]]


def _domains(site: Cgroups, wanted: Callable[[Bundle], bool], word: str = "") -> Iterator[Domain]:
    for bundle in _bundles(site, word):
        if wanted(bundle):
            yield _domain(site, bundle)


def _bundles(site: Cgroups, word: str) -> Iterator[Bundle]:
    """The bundles that have `word` in their id or their configuration: the others need not be understood."""
    for state in _STATES:
        for namespace in site.host.children(f"{state}/{_TASKS}"):
            if namespace in _DOCKERS:
                continue
            for id_ in site.host.children(f"{state}/{_TASKS}/{namespace}"):
                folder = f"{state}/{_TASKS}/{namespace}/{id_}"
                if word not in id_ and word not in (site.host.read_regular_or_none(f"{folder}/config.json") or ""):
                    continue
                try:
                    spec = load(site, f"{folder}/config.json")
                except Unreadable:
                    continue
                if spec is not None:
                    yield Bundle(namespace, id_, folder, spec)


def _domain(site: Cgroups, bundle: Bundle) -> Domain:
    program = "crun" if "crun" in (site.host.read_regular_or_none(f"{bundle.folder}/options.json") or "") else "runc"
    pid = parse_integer((site.host.read_regular_or_none(f"{bundle.folder}/init.pid") or "").strip()) or 0
    names = (oci_place.name_of(str(field(bundle.spec, "linux", "cgroupsPath") or bundle.id)),)
    place = oci_place.find(site, pid, names, crun=program == "crun", user=None) if pid > 0 else None
    if place and place.limit is None:
        place = None  # the process has ended, and another one has its number
    scale, guess = oci_scale.scale_of(site, program)
    facts = [("id", bundle.id), *([("pid", str(pid))] if place else []), ("namespace", bundle.namespace), *guess]
    facts += paused(site, place.limit) if place else ()
    limit, weight, mirrored, obstacle = place or oci_place.Place(None, None)
    return Domain("cri", bundle.name, place is not None, True, limit, weight, scale, tuple(facts), mirrored, obstacle)
