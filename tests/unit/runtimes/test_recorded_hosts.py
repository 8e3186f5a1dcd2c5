"""Every recorded host: where its cpu controller is, which domains it has and where, and what names mean on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cputune.core.errors import NoSuchDomain, Unsupported
from cputune.core.model import Domain
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup
from cputune.runtimes.registry import PERSISTENT
from tests.support.hosts import HOSTS, Recorded, Scratch, lay_out, parse, read

CALLED_OTHERWISE = {"oci:runc/mydom-sd", "oci:crun/mydom-sd", "lxc:configured"}
"""Their cgroups bear names that somebody chose: the runtime's list alone tells whose they are."""


class Laid(Scratch):
    """A recorded host, laid out."""

    def __init__(self, recorded: Recorded, directory: Path) -> None:
        super().__init__(directory)
        self.recorded = recorded
        self.expect = dict(line.split(" = ", 1) for line in recorded.lines("expect") if line)
        if "error" not in self.expect:
            self.expect.setdefault("prefix", "")
        self.cgroups = Cgroups(lay_out(recorded, directory).host)


@pytest.fixture(params=HOSTS)
def laid(request: pytest.FixtureRequest, tmp_path: Path) -> Laid:
    return Laid(read(request.param), tmp_path)


@pytest.fixture(params=[name for name in HOSTS if read(name).lines("domains")])
def with_cpu(request: pytest.FixtureRequest, tmp_path: Path) -> Laid:
    return Laid(read(request.param), tmp_path)


def shown(domain: Domain) -> str:
    state = f"{'running' if domain.running else 'stopped'} {'persistent' if domain.persistent else 'transient'}"
    return " | ".join((domain.qualified, state, domain.limit_cgroup or "-", domain.weight_cgroup or "-"))


def test_every_kind_of_host_is_recorded() -> None:
    kinds = {tuple(line for line in read(name).lines("expect") if line[:4] in ("layo", "vers")) for name in HOSTS}
    assert {
        ("layout = v2", "version = 2"),
        ("layout = v1", "version = 1"),
        ("layout = hybrid", "version = 1"),
        ("layout = hybrid", "version = 2"),
        (),
    } <= kinds


def test_where_the_cpu_controller_is(laid: Laid) -> None:
    if "error" in laid.expect:
        with pytest.raises(Unsupported) as caught:
            _ = laid.cgroups.hierarchy
        assert (caught.value.message, caught.value.hint) == (laid.expect["error"], laid.expect["hint"])
        return
    found = laid.cgroups.hierarchy._asdict()
    assert {key: str(value) for key, value in found.items()} == laid.expect


def test_all_domains_and_their_cgroups(with_cpu: Laid) -> None:
    found = [shown(domain) for domain in lookup.domains(with_cpu.cgroups)]
    assert found == [line for line in with_cpu.recorded.lines("domains") if line]


def test_what_names_mean(with_cpu: Laid) -> None:
    asked = [line for line in with_cpu.recorded.lines("find") if line]
    found = []
    for line in asked:
        name = line.split(" = " if " = " in line else " ! ")[0]
        try:
            found.append(f"{name} = {lookup.find(with_cpu.cgroups, name).qualified}")
        except NoSuchDomain as error:
            found.append(f"{name} ! {error.message}")
    assert found == asked


def test_every_listed_domain_is_found_by_its_qualified_name(with_cpu: Laid) -> None:
    for domain in lookup.domains(with_cpu.cgroups):
        assert lookup.find(with_cpu.cgroups, domain.qualified) == domain


def test_every_running_domain_can_be_read_or_its_cgroup_is_only_in_the_tree_of_units(with_cpu: Laid) -> None:
    read_ones = 0
    for domain in lookup.domains(with_cpu.cgroups):
        for cgroup in domain.cgroups:
            if with_cpu.cgroups.exists(cgroup):
                assert with_cpu.cgroups.read(cgroup).period == 100000
                read_ones += 1
            else:
                assert with_cpu.cgroups.unit_exists(cgroup)
    assert read_ones or not any(with_cpu.recorded.lines("domains"))


def test_a_process_outside_the_namespace_is_not_read_as_one_inside(tmp_path: Path) -> None:
    cgroups = Laid(read("inside-namespace"), tmp_path).cgroups
    with pytest.raises(Unsupported) as caught:
        cgroups.read(cgroups.of_pid(21))
    assert caught.value.message == "cgroup /../other is outside this cgroup namespace"
    assert caught.value.hint == "run cputune on the host"


def test_a_process_outside_what_is_mounted_is_not_read_as_one_inside(tmp_path: Path) -> None:
    cgroups = Laid(read("inside-without-namespace"), tmp_path).cgroups
    with pytest.raises(Unsupported) as caught:
        cgroups.read(cgroups.of_pid(21))
    assert caught.value.message == (
        "cgroup /elsewhere is not below /docker/baacfb6f9f6f, all that is mounted at /sys/fs/cgroup/cpu,cpuacct"
    )
    assert caught.value.hint == "run cputune on the host"


def test_the_loader_refuses_a_section_that_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^odd: unknown section \[mistake here\]$"):
        lay_out(parse("odd", "About.\n\n[mistake here]\n"), tmp_path)


def test_a_domain_is_found_by_its_cgroup(with_cpu: Laid) -> None:
    cgroups = with_cpu.cgroups
    for domain in lookup.domains(cgroups, PERSISTENT):
        for cgroup in domain.cgroups:
            of_it = [shown(one) for one in lookup.of_cgroup(cgroups, cgroup, (domain.runtime,))]
            assert of_it == ([] if domain.qualified in CALLED_OTHERWISE else [shown(domain)]), cgroup
