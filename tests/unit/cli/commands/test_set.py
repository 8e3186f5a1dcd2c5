"""`cputune set`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commandline import CommandLine
from tests.support.containers import config_of
from tests.support.fakekernel import FakeKernel


def test_set_tells_what_changed_in_both_units(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "set", "web", "db", "--shares", "512", "--cpus", "0.5", "--live").out == (
        "lxc:web: live: weight 100 -> 50 (512 shares)\n"
        "lxc:web: live: quota unlimited -> 50000\n"
        "lxc:db: live: weight 100 -> 50 (512 shares)\n"
        "lxc:db: live: quota unlimited -> 50000\n"
    )


def test_set_again_changes_nothing_and_says_so(host: FakeKernel, cputune: CommandLine) -> None:
    words = ("set", "web", "--cpus", "0.5")
    cputune(host, *words)
    writes = list(host.writes)
    assert cputune(host, *words) == (0, "", "cputune: lxc:web: nothing to do: this is in force already\n")
    assert host.writes == writes


def test_set_live_and_config_together(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "set", "web", "--quota", "50000", "--live", "--config").out == (
        "lxc:web: live: quota unlimited -> 50000\nlxc:web: config: quota unset -> 50000\n"
    )
    assert config_of(v2, "web").read_text() == 'version: 1\ndomain: "lxc:web"\nquota: 50000\n'


def test_set_a_stopped_domain_is_its_config(host: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(host, "set", "old", "--quota", "max", "--idle") == (
        0,
        "lxc:old: config: quota unset -> unlimited\nlxc:old: config: idle unset -> true\n",
        "",
    )
    assert cputune(host, "set", "old", "--quota", "max", "--idle") == (
        0,
        "",
        "cputune: lxc:old: nothing to do: this is saved already\n",
    )


def test_zero_removes_the_key_and_the_last_key_the_file(host: FakeKernel, cputune: CommandLine) -> None:
    cputune(host, "set", "old", "--quota", "5000", "--shares", "5")
    assert cputune(host, "set", "old", "--quota", "0").out == "lxc:old: config: quota 5000 -> unset\n"
    assert cputune(host, "set", "old", "--shares", "0").out == "lxc:old: config: shares 5 -> unset\n"
    assert not config_of(host, "old").exists()


def test_zero_live_changes_nothing_and_says_so(host: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(host, "set", "web", "--quota", "0", "--shares", "0", "--live") == (
        0,
        "",
        "cputune: lxc:web: --quota 0 means no value, and live changes nothing\n"
        "cputune: lxc:web: --shares 0 means no value, and live changes nothing\n"
        "cputune: lxc:web: nothing to do: this is in force already\n",
    )


def test_a_limit_that_an_ancestor_makes_void_is_noted_on_v2(v2: FakeKernel, cputune: CommandLine) -> None:
    v2.write("/sys/fs/cgroup/lxc.payload.web/cgroup.subtree_control", "+cpu")
    v2.mkdir("/sys/fs/cgroup/lxc.payload.web/inner")
    cputune(v2, "set", "web", "--cpus", "0.5", "--live")
    name = "cgroup:/lxc.payload.web/inner"
    assert cputune(v2, "set", name, "--cpus", "2") == (
        0,
        f"{name}: live: quota unlimited -> 200000\n",
        f"cputune: {name}: 2 CPUs has no effect beyond 0.5, the limit of its ancestor /lxc.payload.web\n",
    )


def test_a_dry_run_prints_the_writes_in_their_order(v1: FakeKernel, cputune: CommandLine) -> None:
    words = ("set", "web", "--cpus", "0.5", "--period", "50000", "--shares", "5", "--live", "--config", "--dry-run")
    directory = "/sys/fs/cgroup/cpu,cpuacct/lxc.payload.web"
    assert cputune(v1, *words) == (
        0,
        f"write {directory}/cpu.shares: 1024 -> 5\n"
        f"write {directory}/cpu.cfs_period_us: 100000 -> 50000\n"
        f"write {directory}/cpu.cfs_quota_us: -1 -> 25000\n"
        f"save {config_of(v1, 'web')}: no file -> written\n",
        "",
    )
    assert v1.writes == []
    assert not config_of(v1, "web").exists()
    assert not Path(v1.state_dir).exists()


def test_set_for_programs(v2: FakeKernel, cputune: CommandLine) -> None:
    status, out, err = cputune(v2, "set", "web", "--quota", "max", "--weight", "50", "--live", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == [
        {
            "domain": "lxc:web",
            "changes": [{"where": "live", "name": "cpu_weight", "from": 100, "to": 50}],
            "steps": [{"do": "write", "where": "/sys/fs/cgroup/lxc.payload.web/cpu.weight", "from": "100", "to": "50"}],
            "notes": [],
        }
    ]


def test_a_pattern_is_saved_and_counts_for_what_it_fits(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "set", "lxc:w*", "--quota", "50000", "--config") == (
        0,
        "lxc:w*: config: quota unset -> 50000\n",
        "",
    )
    assert "vcpu_quota     : 50000\n" in cputune(v2, "schedinfo", "lxc:w*").out
    assert "vcpu_quota     : 50000\n" in cputune(v2, "schedinfo", "web", "--config").out
    assert cputune(v2, "apply").out == "lxc:web: live: quota unlimited -> 50000\n"
    assert "quota=50000" in next(line for line in cputune(v2, "status").out.splitlines() if "lxc:web" in line)
    cputune(v2, "set", "lxc:we*", "--quota", "60000", "--config")
    assert cputune(v2, "apply").out == "lxc:web: live: quota 50000 -> 60000\n"


def test_a_file_of_its_own_counts_alone_and_begins_with_what_the_pattern_has(
    v2: FakeKernel, cputune: CommandLine
) -> None:
    cputune(v2, "set", "lxc:w*", "--quota", "50000", "--config")
    assert cputune(v2, "set", "web", "--weight", "200", "--config") == (
        0,
        "lxc:web: config: weight unset -> 200\n",
        "cputune: lxc:web: saved on its own from now on, beginning with what lxc:w* has\n",
    )
    cputune(v2, "set", "lxc:w*", "--quota", "70000", "--config")
    out = cputune(v2, "schedinfo", "web", "--config", "--all").out
    assert "vcpu_quota     : 50000\n" in out
    assert "cpu_weight     : 200\n" in out


def test_a_pattern_can_be_saved_for_and_no_more(v2: FakeKernel, cputune: CommandLine) -> None:
    live = cputune(v2, "set", "lxc:w*", "--quota", "50000", "--live")
    assert live == (
        6,
        "",
        "cputune: error: lxc:w* is a pattern, for which a configuration can be saved and nothing else\n"
        "hint: name the domains; for all of them: cputune set --config\n",
    )
    bare = cputune(v2, "set", "w*", "--quota", "50000", "--config")
    assert bare.status == 2
    assert bare.err.startswith("cputune: error: w*: a pattern needs the runtime whose domains it means\n")
    assert cputune(v2, "set", "cgroup:/w*", "--quota", "50000", "--config").status == 3


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("oci:*", "say: oci:runc/*, or crun/*"),
        ("oci:solo", "say: oci:runc/solo, or crun/solo"),
        ("oci:runc/..", "cputune status"),
        ("oci:runc/", "cputune status"),
        ("docker:1000//x", "cputune status"),
        ("docker:..", "cputune status"),
    ],
)
def test_for_a_name_that_no_domain_can_have_nothing_is_saved(
    v2: FakeKernel, cputune: CommandLine, name: str, hint: str
) -> None:
    expected = (2, "", f"cputune: error: no domain can be called {name}\nhint: {hint}\n")
    assert cputune(v2, "set", name, "--cpus", "0.3", "--config") == expected
    file = Path(v2.config_dir) / "all.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"version: 1\ndomain: {name!r}\nquota: 30000\n")
    assert cputune(v2, "import", str(file)) == expected


def test_something_is_saved_for_a_domain_that_is_not_there_so_far(v2: FakeKernel, cputune: CommandLine) -> None:
    for name in ("oci:runc/web-1", "docker:new"):
        status, out, err = cputune(v2, "set", name, "--quota", "30000", "--config")
        assert (status, out) == (0, f"{name}: config: quota unset -> 30000\n")
        assert err == f"cputune: {name} does not exist yet: saved for when it does\n"
    assert "not there" in cputune(v2, "status", "--config").out
    for words in (("set", "new", "--config"), ("set", "cgroup:/new", "--config"), ("set", "docker:new2", "--live")):
        assert cputune(v2, *words, "--cpus", "0.3").status == 3


def test_nothing_of_a_pattern_can_be_removed_for_one_domain(v2: FakeKernel, cputune: CommandLine) -> None:
    cputune(v2, "set", "lxc:w*", "--quota", "50000", "--config")
    done = cputune(v2, "set", "web", "--quota", "0", "--config")
    assert (done.status, done.out) == (6, "")
    assert "is lxc:w*'s, and can only be removed there" in done.err
