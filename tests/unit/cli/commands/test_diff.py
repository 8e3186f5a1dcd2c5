"""`cputune diff`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commandline import CommandLine
from tests.support.fakekernel import FakeKernel


def test_diff_says_nothing_where_there_is_no_difference(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "diff") == (0, "", "")
    cputune(v2, "set", "web", "--cpus", "0.5", "--live", "--config")
    assert cputune(v2, "diff") == (0, "", "")
    assert cputune(v2, "diff", "web", "--json").out == "[]\n"


def test_diff_ends_with_1_where_somebody_else_was(v2: FakeKernel, cputune: CommandLine) -> None:
    cputune(v2, "set", "web", "--cpus", "0.5", "--live", "--config")
    v2.write("/sys/fs/cgroup/lxc.payload.web/cpu.max", "70000")
    line = "lxc:web: quota: config 50000, applied 50000, live 70000 (somebody else changed it)\n"
    assert cputune(v2, "diff") == (1, line, "")
    assert cputune(v2, "diff", "web") == (1, line, "")
    assert cputune(v2, "diff", "db") == (0, "", "")
    status, out, _ = cputune(v2, "diff", "--json")
    assert status == 1
    assert json.loads(out) == [
        {
            "domain": "lxc:web",
            "parameter": "vcpu_quota",
            "config": 50000,
            "applied": 50000,
            "live": 70000,
            "cause": "somebody else changed it",
            "drift": True,
        }
    ]


def test_diff_ends_with_0_where_it_was_cputune_and_with_1_where_it_is_still_to_be(
    v2: FakeKernel, cputune: CommandLine
) -> None:
    cputune(v2, "set", "web", "--cpus", "0.5", "--live", "--config")
    cputune(v2, "set", "web", "--cpus", "0.7", "--live")
    status, out, _ = cputune(v2, "diff")
    assert (status, out.count("\n"), "(set so by cputune itself)" in out) == (0, 1, True)
    cputune(v2, "set", "db", "--cpus", "0.7", "--config")
    status, out, _ = cputune(v2, "diff", "db")
    assert status == 1
    assert "lxc:db: quota: config 70000, live unlimited (not put into force since it started, or was saved)\n" in out


def test_diff_of_one_that_does_not_run_or_is_not_there(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "diff", "old").status == 6
    assert cputune(v2, "diff", "nobody").status == 3


def test_what_was_set_by_another_name_of_the_same_cgroup_is_no_drift(v2: FakeKernel, cputune: CommandLine) -> None:
    other = "cgroup:/lxc.payload.web"
    cputune(v2, "set", "web", "--cpus", "0.5", "--shares", "512", "--live", "--config")
    cputune(v2, "set", other, "--cpus", "0.7", "--live")
    line = (
        "lxc:web: quota: config 50000, applied 50000, live 70000 (set so by cputune itself, as cgroup:/lxc.payload.web)"
    )
    assert cputune(v2, "diff") == (0, f"{line}\n", "")
    assert cputune(v2, "diff", other) == (0, "", "")
    cputune(v2, "set", "web", "--shares", "700", "--live")
    assert cputune(v2, "diff").status == 0
    v2.write("/sys/fs/cgroup/lxc.payload.web/cpu.max", "90000")
    for name, applied in (("web", 50000), (other, 70000)):
        status, out, _ = cputune(v2, "diff", name)
        assert (status, f"applied {applied}, live 90000 (somebody else changed it)" in out) == (1, True)
    cputune(v2, "set", "web", "--cpus", "0.5", "--live")
    assert cputune(v2, "diff").status == 0
    assert cputune(v2, "diff", other).status == 0


def test_a_plain_cgroup_that_cputune_has_limited_is_compared_too(v2: FakeKernel, cputune: CommandLine) -> None:
    v2.mkdir("/sys/fs/cgroup/own")
    cputune(v2, "set", "cgroup:/own", "--cpus", "0.5", "--live")
    assert cputune(v2, "diff") == (0, "", "")
    v2.write("/sys/fs/cgroup/own/cpu.max", "70000")
    assert cputune(v2, "diff") == (1, "cgroup:/own: quota: applied 50000, live 70000 (somebody else changed it)\n", "")
    assert "cgroup:/own" in cputune(v2, "status").out
    v2.rmdir("/sys/fs/cgroup/own")
    assert cputune(v2, "diff") == (0, "", "")


def test_diff_ends_with_2_where_it_may_not_look(
    v2: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(f"{v2.root}/run/runc").mkdir(parents=True)
    monkeypatch.setattr(type(v2), "may_list", lambda self, path: path != "/run/runc")
    message = "cputune: skipped, permission denied: /run/runc; as root: sudo cputune diff\n"
    assert cputune(v2, "diff") == (2, "", message)
    assert cputune(v2, "diff", "web") == (0, "", "")


def test_diff_ends_with_2_where_nobody_gets_the_answer(v2: FakeKernel) -> None:
    words = [sys.executable, "-m", "cputune", "--root", v2.root, "diff", "--json"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "cputune: error: cannot write the output: No space left on device\n")


def test_a_directory_of_configurations_that_is_none_is_told(v2: FakeKernel, cputune: CommandLine) -> None:
    Path(v2.config_dir).parent.mkdir(parents=True, exist_ok=True)
    Path(v2.config_dir).write_text("")
    message = f"cputune: error: cannot read {v2.config_dir}: Not a directory\n"
    assert cputune(v2, "status", "--config") == (7, "", message)
    assert cputune(v2, "diff").status == 2
