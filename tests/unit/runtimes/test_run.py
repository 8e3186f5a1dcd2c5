"""Commands of `cputune run`."""

from __future__ import annotations

import pytest

from cputune.core.errors import NoSuchDomain
from cputune.core.model import Details
from cputune.host.cgroup.cgroups import Cgroups
from cputune.runtimes import lookup, run
from tests.support.hosts import MOUNT, Scratch


@pytest.mark.parametrize("name", ["build", "a b", "../../x", "ü", "x" * 300])
def test_a_command_of_cputune_run(scratch: Scratch, cgroups: Cgroups, name: str) -> None:
    run.write(scratch.host, run.Record(name, 828, "/mydom-cg", 827))
    found = lookup.find(cgroups, f"run:{name}")
    assert (found.name, found.limit_cgroup, found.persistent, found.details) == (
        name,
        "/mydom-cg",
        False,
        Details(pid=828),
    )
    assert found in list(lookup.domains(cgroups, ("run",)))
    run.remove(scratch.host, name)
    run.remove(scratch.host, name)
    assert list(lookup.domains(cgroups, ("run",))) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "828\n",
        "828\n/mydom-cg\n",
        "828\n/mydom-cg\n\n827\n",
        "828\n/mydom-cg\nx\nsoon\n",
        "828\nmydom-cg\nx\n827\n",
        "828\n/gone\nx\n827\n",
        "828\n/../etc\nx\n827\n",
        "\0",
    ],
)
def test_a_record_of_nothing_that_runs(scratch: Scratch, cgroups: Cgroups, text: str) -> None:
    scratch.file("/run/cputune/run/x", text)
    assert list(lookup.domains(cgroups, ("run",))) == []
    with pytest.raises(NoSuchDomain):
        lookup.find(cgroups, "run:x")


def test_a_record_of_nothing_leaves_the_list_of_all_as_it_is(scratch: Scratch, cgroups: Cgroups) -> None:
    before = list(lookup.domains(cgroups))
    scratch.file("/run/cputune/run/x", "828\n/../etc\nx\n827\n")
    assert list(lookup.domains(cgroups)) == before


def test_a_command_in_a_scope_is_listed_once(scratch: Scratch, cgroups: Cgroups) -> None:
    cgroup = "/system.slice/cputune-x.scope"
    scratch.group("cgroup2", MOUNT + cgroup)
    scratch.file(f"{cgroups.directory(cgroup)}/cgroup.procs", "828\n")
    run.write(scratch.host, run.Record("x", 828, cgroup, 827))
    assert [domain.qualified for domain in lookup.domains(cgroups) if domain.limit_cgroup == cgroup] == ["run:x"]
