"""Where the cpu controller is, on real mounts: user-mode-linux tells in CPUTUNE_UML how it was booted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.cgroup.mounts import Hierarchy
from cputune.host.system import Host
from tests.support.commandline import CommandLine
from tests.support.lab import Lab, change_domains, request
from tests.support.waiting import until

TOGETHER, SYSTEMD = "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/systemd"
# layout, version, mount, root, where usage is counted, read-only, where systemd's tree is
LAYOUTS = {
    "v2": Hierarchy("v2", 2, "/sys/fs/cgroup", "/", None, False, "/sys/fs/cgroup"),
    "v1": Hierarchy("v1", 1, TOGETHER, "/", TOGETHER, False, SYSTEMD),
    "v1-split": Hierarchy("v1", 1, "/sys/fs/cgroup/cpu", "/", "/sys/fs/cgroup/cpuacct", False, SYSTEMD),
    "hybrid": Hierarchy("hybrid", 1, TOGETHER, "/", TOGETHER, False, SYSTEMD),
    "hybrid-v2": Hierarchy("hybrid", 2, "/sys/fs/cgroup/unified", "/", None, False, "/sys/fs/cgroup/unified"),
}


if "CPUTUNE_UML" in os.environ:  # elsewhere nobody knows what was booted

    def test_the_layout_is_the_one_that_was_booted() -> None:
        assert Cgroups(Host()).hierarchy == LAYOUTS[os.environ["CPUTUNE_UML"]]


def test_the_controller_is_where_a_limit_takes_effect(real: Lab) -> None:
    hierarchy = real.cgroups.hierarchy
    assert os.path.exists(f"{hierarchy.mount}{hierarchy.inside(real.group)}/{os.path.basename(real.file('quota'))}")
    pid = real.spawn()
    assert real.cgroups.of_pid(pid) == real.group
    assert real.read("cgroup.procs") == str(pid)


def test_the_usage_of_a_group_is_counted(real: Lab) -> None:
    real.put(quota=100000)
    real.spawn(command="sh -c 'while :; do :; done'")
    before = real.cgroups.stats(real.group)
    until(lambda: (real.cgroups.stats(real.group).usage or 0) > (before.usage or 0))
    until(lambda: (real.cgroups.stats(real.group).periods or 0) > (before.periods or 0))


def test_status_tells_what_the_host_has(real: Lab, cputune: CommandLine) -> None:
    hierarchy = real.cgroups.hierarchy
    ended = cputune(real.host, "status", "--runtime", "lxc")
    expected = f"cgroup {hierarchy.layout} (cpu at {hierarchy.mount}), {os.cpu_count()} CPUs, CFS bandwidth: yes, burst"
    assert ended.status == 0
    assert ended.out.startswith(expected)


def test_the_root_itself_is_never_written(real: Lab, cputune: CommandLine) -> None:
    ended = cputune(real.host, "set", "cgroup:/", "--shares", "512")
    text = "cputune: error: cgroup:/ is the root cgroup, which has no CPU limit and no weight\n"
    assert (ended.status, ended.err) == (4, f"{text}hint: choose one below it: cputune status\n")


def test_a_process_and_a_path_name_the_same_group(real: Lab) -> None:
    real.make("child", quota=50000)
    pid = real.spawn("child")
    by_pid, by_path = real.tuner.find(f"pid:{pid}"), real.domain("child")
    by_directory = real.tuner.find(f"cgroup:{real.directory('child')}")
    assert by_pid.limit_cgroup == by_path.limit_cgroup == by_directory.limit_cgroup == real.path("child")
    change_domains(real.tuner, [f"pid:{pid}"], request(quota=40000), "live")
    assert real.state("child").quota == 40000


def test_a_thread_in_another_group_is_named(real: Lab) -> None:
    real.make("threads")
    script = "import threading as t, time; t.Thread(target=time.sleep, args=(99,), daemon=True).start(); "
    script += "print(t.enumerate()[1].native_id, flush=True); time.sleep(99)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            thread = process.stdout.readline().strip()
            real.write("cgroup.procs", str(process.pid))
            if real.version == 2:
                real.write("cgroup.type", "threaded", "threads")
            real.write("tasks" if real.version == 1 else "cgroup.threads", thread, "threads")
            threads_also_in = real.tuner.find(f"pid:{process.pid}").details.threads_also_in
        finally:
            process.kill()
    assert threads_also_in == (real.path("threads"),)


def test_a_process_that_is_not_there_is_no_domain(real: Lab, cputune: CommandLine) -> None:
    gone = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1
    ended = cputune(real.host, "schedinfo", f"pid:{gone}")
    assert ended == (3, "", f"cputune: error: no domain pid:{gone}\nhint: list the names: cputune status\n")


@pytest.mark.parametrize("name", ["cgroup:/no-such-cgroup", "cgroup:/no/such/cgroup"])
def test_a_group_that_is_not_there_is_no_domain(real: Lab, name: str, cputune: CommandLine) -> None:
    ended = cputune(real.host, "schedinfo", name)
    assert ended == (3, "", f"cputune: error: no domain {name}\nhint: list the names: cputune status\n")
