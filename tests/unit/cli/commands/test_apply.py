"""`cputune apply`."""

from __future__ import annotations

import json

import pytest

from tests.support.commandline import CommandLine, error
from tests.support.containers import config_of, save
from tests.support.fakekernel import FakeKernel


def test_apply_puts_what_is_saved_into_force(v2: FakeKernel, cputune: CommandLine) -> None:
    save(v2, "web", "version: 1\nquota: 50000\nshares: 512\n")
    save(v2, "old", "version: 1\nquota: 50000\n")
    save(v2, "gone", "version: 1\nquota: 50000\n")
    assert cputune(v2, "apply") == (
        0,
        "lxc:web: live: weight 100 -> 50 (512 shares)\nlxc:web: live: quota unlimited -> 50000\n",
        "cputune: lxc:gone: no such domain, skipped\ncputune: lxc:old: not running, skipped\n",
    )
    writes = list(v2.writes)
    assert cputune(v2, "apply", "web") == (0, "", "cputune: lxc:web: nothing to do: this is in force already\n")
    assert v2.writes == writes


def test_apply_goes_on_after_a_failure_and_its_status_is_the_first_ones(v2: FakeKernel, cputune: CommandLine) -> None:
    path = save(v2, "db", "version: 1\nquota: 5\n")
    save(v2, "web", "version: 1\nquota: 50000\n")
    found = cputune(v2, "apply")
    assert found == (
        2,
        "lxc:web: live: quota unlimited -> 50000\n",
        error(f"{path}:2:8: quota is not in range: 1000..17592186044415 microseconds, or unlimited", f"$EDITOR {path}"),
    )
    assert cputune(v2, "apply", "old", "nosuch", "web").status == 6
    assert cputune(v2, "apply", "nosuch", "old").status == 3


@pytest.mark.parametrize("name", ["web", "old"])
def test_apply_reports_a_file_that_is_not_called_as_its_domain_is(
    v2: FakeKernel, cputune: CommandLine, name: str
) -> None:
    wrong = save(v2, f"not {name}", f"version: 1\ndomain: lxc:{name}\nquota: 50000\n")
    save(v2, "db", "version: 1\nquota: 60000\n")
    assert cputune(v2, "apply") == (
        2,
        "lxc:db: live: quota unlimited -> 60000\n",
        error(f"{wrong} is not the configuration file of lxc:{name}", f"that is {config_of(v2, name)}"),
    )
    assert cputune(v2, "apply", "web") == (
        6,
        "",
        error("nothing is saved for lxc:web", "cputune set lxc:web --cpus 1 --config"),
    )


def test_a_configuration_may_keep_the_weight_of_an_idle_group(v2: FakeKernel, cputune: CommandLine) -> None:
    cputune(v2, "set", "web", "--weight", "50", "--config")
    assert cputune(v2, "set", "web", "--idle", "--config") == (0, "lxc:web: config: idle unset -> true\n", "")
    assert config_of(v2, "web").read_text() == 'version: 1\ndomain: "lxc:web"\nweight: 50\nidle: true\n'
    assert cputune(v2, "apply", "--dry-run") == (
        0,
        "write /sys/fs/cgroup/lxc.payload.web/cpu.idle: 0 -> 1\n",
        "",
    )
    assert cputune(v2, "apply").status == 0
    assert v2.read("/sys/fs/cgroup/lxc.payload.web/cpu.idle") == "1\n"


def test_apply_of_a_domain_that_does_not_run(host: FakeKernel, cputune: CommandLine) -> None:
    save(host, "old", "version: 1\nquota: 50000\n")
    assert cputune(host, "apply", "old") == (
        6,
        "",
        error("domain lxc:old is not running", "start it first, or use --config instead of --live"),
    )


def test_apply_dry_run_and_json(v2: FakeKernel, cputune: CommandLine) -> None:
    save(v2, "web", "version: 1\nquota: 50000\n")
    dry = cputune(v2, "apply", "--dry-run")
    assert dry.out == "write /sys/fs/cgroup/lxc.payload.web/cpu.max: max 100000 -> 50000 100000\n"
    assert v2.writes == []
    (outcome,) = json.loads(cputune(v2, "apply", "--json").out)
    assert outcome["changes"] == [{"where": "live", "name": "vcpu_quota", "from": -1, "to": 50000}]


def test_apply_started_leaves_alone_what_cputune_has_set_since_the_start(v2: FakeKernel, cputune: CommandLine) -> None:
    for name in ("web", "db"):
        save(v2, name, "version: 1\nquota: 50000\n")
    cputune(v2, "set", "web", "--quota", "70000", "--live")
    assert cputune(v2, "apply", "--started", "--quiet") == (0, "lxc:db: live: quota unlimited -> 50000\n", "")
    assert cputune(v2, "apply", "--started", "--quiet") == (0, "", "")
    assert cputune(v2, "apply", "--quiet") == (0, "lxc:web: live: quota 70000 -> 50000\n", "")
    assert cputune(v2, "apply", "--started", "--file", "x").status == 2
