"""containerd and Kubernetes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import pytest

from cputune.core.errors import NoSuchDomain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.foreign import Foreign
from cputune.host.programs import Completed
from cputune.host.system import Host
from cputune.runtimes import cri, lookup
from tests.support.finding import MYDOM, names
from tests.support.hosts import Scratch

HOST = "debian13-runtimes"


def test_an_old_try_of_a_container_of_kubernetes_is_not_a_second_one(scratch: Scratch, cgroups: Cgroups) -> None:
    tasks = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
    id_ = lookup.find(cgroups, "cri:pod/mydom").details.id
    for name in ("0" * 64, "f" * 64):  # listed before and behind the one that runs
        scratch.file(f"{tasks}/{name}/config.json", scratch.text(f"{tasks}/{id_}/config.json"))
        scratch.file(f"{tasks}/{name}/init.pid", "99999")
    found = lookup.find(cgroups, "cri:pod/mydom")
    assert (found.running, found.details.id) == (True, id_)
    assert names(cgroups, "cri") == ["mydom", "default/pod/mydom"]


def test_one_pod_and_container_in_two_namespaces(scratch: Scratch, cgroups: Cgroups) -> None:
    tasks = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
    id_ = lookup.find(cgroups, "cri:pod/mydom").details.id
    other = scratch.text(f"{tasks}/{id_}/config.json").replace(
        'sandbox-namespace": "default', 'sandbox-namespace": "prod'
    )
    scratch.file(f"{tasks}/{'f' * 64}/config.json", other)
    with pytest.raises(NoSuchDomain, match=r": cri:default/pod/mydom, cri:prod/pod/mydom$"):
        lookup.find(cgroups, "cri:pod/mydom")
    assert lookup.find(cgroups, "cri:prod/pod/mydom").name == "prod/pod/mydom"


def test_two_tries_that_run_are_told_apart_by_their_ids(scratch: Scratch, cgroups: Cgroups) -> None:
    tasks = "/run/containerd/io.containerd.runtime.v2.task/k8s.io"
    id_ = str(lookup.find(cgroups, "cri:pod/mydom").details.id)
    other = "f" * 64
    scratch.file(f"{tasks}/{other}/config.json", scratch.text(f"{tasks}/{id_}/config.json").replace(id_, other))
    scratch.file(f"{tasks}/{other}/init.pid", "902")
    scratch.group("cgroup2", f"/sys/fs/cgroup/k8s.io/{other}")
    scratch.process(902, f"0::/k8s.io/{other}\n")
    with pytest.raises(NoSuchDomain, match="more than one domain"):
        lookup.find(cgroups, "cri:pod/mydom")
    assert lookup.find(cgroups, f"cri:{other}").limit_cgroup == f"/k8s.io/{other}"


def test_the_bundle_of_a_task_that_ended_is_a_stopped_container(scratch: Scratch, cgroups: Cgroups) -> None:
    path = "/run/containerd/io.containerd.runtime.v2.task/default/mydom/init.pid"
    for pid in ("99999", "383", "", "x"):
        scratch.file(path, pid)
        assert not lookup.find(cgroups, "cri:mydom").running


class Containerd(Host):
    """A host whose containerd knows containers, by namespace and id, whether or not they have a bundle."""

    known: ClassVar[dict[str, dict[str, dict[str, str]]]] = {
        "default": {"mydom": {}, "web": {}},
        "build": {"web": {}, "other": {}},
        "moby": {MYDOM: {}},
        "k8s.io": {
            "a1" * 32: {"container-name": "db", "sandbox-name": "pod", "sandbox-namespace": "default"},
            "a2" * 32: {"container-name": "db", "sandbox-name": "pod", "sandbox-namespace": "default"},
            "a3" * 32: {"container-name": "db", "sandbox-name": "pod", "sandbox-namespace": "prod"},
            "b0" * 32: {"container-type": "sandbox", "sandbox-name": "pod", "sandbox-namespace": "default"},
        },
    }

    def __init__(self, scratch: Scratch) -> None:
        super().__init__(state_dir=f"{scratch.directory}/run/cputune")
        scratch.file("/run/containerd/containerd.sock")
        self.files = scratch.host
        self.said = "{}"

    @cached_property
    def foreign(self) -> Foreign:
        return self.files.foreign

    def run(
        self, argv: Sequence[str], user: int | None = None, timeout: float = 30.0, text: str | None = None
    ) -> Completed:
        """Be ctr."""
        assert argv[:3] == ["ctr", "--address", "/run/containerd/containerd.sock"]
        match argv[3:]:
            case "namespaces", "ls", "-q":
                return Completed(0, "".join(f"{name}\n" for name in self.known), "")
            case "-n", namespace, "containers", "ls", "-q":
                return Completed(0, "".join(f"{id_}\n" for id_ in self.known[namespace]), "")
            case "-n", namespace, "containers", "info", "--", id_:
                keys = {f"io.kubernetes.cri.{key}": value for key, value in self.known[namespace][id_].items()}
                return Completed(0, json.dumps({"ID": id_, "Spec": {"annotations": keys}}), "")
        raise AssertionError(argv)


@pytest.mark.parametrize(
    ("name", "found", "id_"),
    [
        ("web", ["web", "build/web"], "web"),  # the first one is called so, as it stands
        ("build/web", ["build/web"], "web"),
        ("other", ["build/other"], "other"),
        ("pod/db", ["default/pod/db", "prod/pod/db"], "a1" * 32),
        ("default/pod/db", ["default/pod/db"], "a1" * 32),
        ("a3a3", ["prod/pod/db"], "a3" * 32),
        ("b0" * 32, [f"k8s.io/{'b0' * 32}"], "b0" * 32),
        ("we", [], None),
        ("pod/nobody", [], None),
        (MYDOM, [], None),  # docker's
        ("mydom", [], None),  # has a bundle: was found without asking
    ],
)
def test_containerd_is_asked_for_the_stopped(scratch: Scratch, name: str, found: list[str], id_: str | None) -> None:
    domains = cri.ask(Cgroups(Containerd(scratch)), name)
    assert [domain.name for domain in domains if not domain.running and domain.persistent] == found
    assert (domains[0].details.id if domains else None) == id_


def test_a_containerd_that_says_nothing_useful_knows_nothing(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Containerd(scratch)
    for said in ("", "[]", '{"Spec": []}', "\x00", "[" * 100000):
        known = iter(["k8s.io\n", "c0c0\n", said])
        monkeypatch.setattr(host, "run", lambda *_, known=known: Completed(0, next(known), ""))
        assert cri.ask(Cgroups(host), "pod/db") == []

    def absent(*_: object) -> Completed:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(host, "run", absent)
    assert cri.ask(Cgroups(host), "pod/db") == []
