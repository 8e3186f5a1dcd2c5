"""Forgetting a domain: what is saved for it, and what is in force."""

from __future__ import annotations

import re

from tests.support.commandline import CommandLine
from tests.support.containers import save, snapshot
from tests.support.fakekernel import FakeKernel


def limits(host: FakeKernel) -> dict[str, str]:
    return {path: text for path, text in snapshot(host).items() if "lxc.payload.web/" in path}


def test_forget_live_leaves_nothing_of_cputune(host: FakeKernel, cputune: CommandLine) -> None:
    weight = "--weight" if host.kernel.version == 2 else "--shares"
    file = f"{host.mount}/lxc.payload.web/{'cpu.max' if host.kernel.version == 2 else 'cpu.cfs_quota_us'}"
    host.write(file, "90000")
    before = limits(host)
    cputune(host, "set", "web", "--quota", "50000", "--live", "--config")
    cputune(host, "set", "web", "--quota", "40000", "--burst", "1000", weight, "300", "--live")
    cputune(host, "set", "web", "--idle", "--live")
    assert limits(host) != before
    assert cputune(host, "forget", "web", "--live").status == 0
    assert limits(host) == before
    left = snapshot(host)
    assert not [path for path in left if path.endswith("domains/lxc/web.yaml")]
    assert re.fullmatch(
        r"inode \d+\ncrc32 [0-9a-f]{8}\n", left["/run/cputune/applied/lxc/web"]
    )  # it was here, and left nothing
    assert cputune(host, "forget", "web", "--live") == (
        6,
        "",
        "cputune: error: nothing is saved or in force for lxc:web\nhint: cputune status --config\n",
    )
    assert cputune(host, "undo").status == 0
    assert "quota=50000" in cputune(host, "status", "web").out
    assert limits(host) != before


def test_what_a_pattern_put_into_force_is_lifted_domain_by_domain(v2: FakeKernel, cputune: CommandLine) -> None:
    cputune(v2, "set", "lxc:w*", "--cpus", "0.5", "--config")
    status, _, err = cputune(v2, "forget", "lxc:w*", "--live")
    assert status == 2
    assert "cputune: error: --live: lxc:w* is a pattern, but limits in force are lifted domain by domain\n" in err
    assert cputune(v2, "forget", "lxc:w*").status == 0


def test_what_was_taken_back_is_no_drift_while_a_pattern_waits(v2: FakeKernel, cputune: CommandLine) -> None:
    cputune(v2, "set", "lxc:w*", "--cpus", "0.5", "--config")
    cputune(v2, "apply", "lxc:web")
    assert cputune(v2, "diff").status == 0
    cputune(v2, "forget", "lxc:web", "--live")
    status, out, _ = cputune(v2, "diff")
    assert status == 0
    assert out.endswith("live unlimited (taken back by cputune; from its next start on, or cputune apply)\n")


def test_forget_without_live_leaves_what_is_in_force(v2: FakeKernel, cputune: CommandLine) -> None:
    cputune(v2, "set", "web", "--quota", "50000", "--live", "--config")
    before = snapshot(v2)
    assert cputune(v2, "forget", "web", "--dry-run").out.startswith("save ")
    assert snapshot(v2) == before
    assert cputune(v2, "forget", "web") == (0, "lxc:web: config: quota 50000 -> unset\n", "")
    assert "vcpu_quota     : 50000\n" in cputune(v2, "schedinfo", "web").out


def test_what_was_forgotten_waits_for_the_next_start(v2: FakeKernel, cputune: CommandLine) -> None:
    cputune(v2, "set", "lxc:w*", "--quota", "50000", "--config")
    cputune(v2, "apply")
    assert cputune(v2, "forget", "web", "--live").out == "lxc:web: live: quota 50000 -> unlimited\n"
    assert cputune(v2, "apply", "--started", "--quiet") == (0, "", "")


def test_forget_what_is_not_there_any_more_and_say_where_a_pattern_counts(v2: FakeKernel, cputune: CommandLine) -> None:
    for name in ("never", "web", "w%2A"):
        save(v2, name, "version: 1\nquota: 50000\n")
    status, out, err = cputune(v2, "forget", "never", "lxc:web")
    assert (status, out.count("\n")) == (0, 2)
    assert err == "cputune: lxc:web: from its next start on it gets what is saved for lxc:w*\n"
    assert cputune(v2, "forget", "lxc:w*").status == 0
    assert cputune(v2, "status", "--config").err == "cputune: nothing is saved\n"
    assert cputune(v2, "forget", "nobody").status == 3
