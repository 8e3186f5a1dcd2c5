"""`cputune status`."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path

import pytest

from cputune.core.knobs import KNOB
from tests.support.commandline import ESCAPE, CommandLine
from tests.support.containers import add_lxc, save
from tests.support.fakekernel import FakeKernel, Kernel
from tests.support.hosts import lay_out, read


def test_status_of_all(v2: FakeKernel, cputune: CommandLine) -> None:
    cputune(v2, "set", "web", "--cpus", "0.5", "--live", "--config")
    v2.write("/sys/fs/cgroup/lxc.payload.web/cpu.max", "70000")
    status, out, err = cputune(v2, "status")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "cgroup v2 (cpu at /sys/fs/cgroup), 64 CPUs, CFS bandwidth: yes, burst: yes",
        "DOMAIN   STATE    SHARES  WEIGHT  LIMIT  EFFECTIVE  CONFIG    DRIFT",
        "lxc:db   running  1024    100     -      -          -         -",
        "lxc:old  stopped  -       -       -      -          -         -",
        "lxc:web  running  1024    100     0.7    0.7        cpus=0.5  "
        "drift: quota: config 50000, applied 50000, live 70000 (somebody else changed it)",
    ]


def test_status_of_one(v1: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v1, "status", "web") == (
        0,
        "domain         : lxc:web\n"
        "state          : running\n"
        "persistent     : yes\n"
        "pid            : 1011\n"
        "lxcpath        : /var/lib/lxc\n"
        "cgroup         : /lxc.payload.web\n"
        "shares         : 1024\n"
        "weight         : 100\n"
        "period         : 100000\n"
        "quota          : unlimited\n"
        "burst          : 0\n"
        "idle           : false\n"
        "limit          : none\n"
        "effective      : -\n"
        "config         : -\n"
        "drift          : none\n",
        "",
    )


def test_status_for_programs(host: FakeKernel, cputune: CommandLine) -> None:
    data = json.loads(cputune(host, "status", "--json", "--runtime", "lxc").out)
    assert data["host"]["cpu_controller"] == f"v{host.kernel.version}"
    assert [(row["domain"], row["running"], row["vcpu_quota"]) for row in data["domains"]] == [
        ("lxc:db", True, -1),
        ("lxc:old", False, None),
        ("lxc:web", True, -1),
    ]


def test_status_during_an_interval(v2: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    counters = "/sys/fs/cgroup/lxc.payload.web/cpu.stat"
    v2.put_file(counters, "usage_usec 0\nnr_periods 0\nnr_throttled 0\n")

    def work(seconds: float) -> None:
        clock[0] += seconds
        v2.put_file(counters, "usage_usec 3000000\nnr_periods 10\nnr_throttled 4\nthrottled_usec 9\n")

    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    monkeypatch.setattr("time.sleep", work)
    out = cputune(v2, "status", "lxc:web", "--interval", "2").out
    assert "\nuse            : 1.500\nthrottled      : 40%\n" in out
    _, head, db, _, web = cputune(v2, "status", "--interval", "2").out.splitlines()
    assert head.split()[6:8] == ["USE", "THROTTLED"]
    assert db.split()[6:8] == ["0.000", "-"]
    assert web.split()[6:8] == ["0.000", "-"]


def test_status_without_any_domain(tmp_path: Path, cputune: CommandLine) -> None:
    status, out, err = cputune(FakeKernel(tmp_path, Kernel(2)), "status")
    assert (status, err) == (0, "cputune: no domains\n")
    assert out == "cgroup v2 (cpu at /sys/fs/cgroup), 64 CPUs, CFS bandwidth: unknown, burst: unknown\n"
    status, out, err = cputune(FakeKernel(tmp_path / "2", Kernel(2)), "status", "--json")
    assert (status, json.loads(out)["domains"], err) == (0, [], "")


class Closed(FakeKernel):
    """A kernel that shows nothing of one cgroup."""

    def read(self, path: str, limit: int = 1 << 20) -> str:
        """Read a file, or not."""
        if "/lxc.payload.web/cpu" in path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return super().read(path, limit)


def test_status_where_some_cannot_be_read(tmp_path: Path, cputune: CommandLine) -> None:
    host = Closed(tmp_path, Kernel(2))
    for name in ("web", "db"):
        add_lxc(host, name)
    status, out, err = cputune(host, "status")
    assert status == 0
    assert [line.split()[:2] for line in out.splitlines()[2:]] == [["lxc:db", "running"], ["lxc:web", "unreadable"]]
    directory = f"{host.root}/sys/fs/cgroup/lxc.payload.web"
    assert err == f"cputune: lxc:web: cannot read {directory}: Permission denied\n"
    data = json.loads(cputune(host, "status", "--json").out)["domains"]
    assert [row["problem"] for row in data] == [None, f"cannot read {directory}: Permission denied"]


def test_status_with_a_broken_configuration(v2: FakeKernel, cputune: CommandLine) -> None:
    path = save(v2, "web", "version: 1\nqouta: 5\n")
    status, out, err = cputune(v2, "status")
    assert status == 0
    assert len(out.splitlines()) == 5
    assert err == (
        f"cputune: lxc:web: {path}:2:1: unknown key; did you mean quota? known: version, domain, {', '.join(KNOB)}\n"
    )


def test_status_with_a_broken_configuration_that_has_an_odd_name(v2: FakeKernel, cputune: CommandLine) -> None:
    before = cputune(v2, "status")
    save(v2, "a b", "version: 1\nqouta: 5\n")
    assert cputune(v2, "status") == before
    assert (before.status, before.err, len(before.out.splitlines())) == (0, "", 5)


def test_status_for_programs_has_every_cgroup_that_threads_are_in(tmp_path: Path, cputune: CommandLine) -> None:
    scratch = lay_out(read("debian13-unified"), tmp_path)
    for task in (829, 830):
        scratch.file(f"/proc/828/task/{task}/cgroup", f"0::/mydom-cg/{task}\n")
    (row,) = json.loads(cputune(scratch.host, "status", "pid:828", "--json").out)["domains"]
    assert row["facts"] == {"process": "sleep", "threads also in": "/mydom-cg/829, /mydom-cg/830"}


def test_status_of_a_thousand(tmp_path: Path, cputune: CommandLine) -> None:
    scratch = lay_out(read("debian13-unified"), tmp_path)
    for number in range(1000):
        scratch.file(f"/sys/fs/cgroup/system.slice/x{number}.service/cpu.max", f"{1000 + number} 100000\n")
        scratch.file(f"/sys/fs/cgroup/system.slice/x{number}.service/cpu.weight", "100\n")
    status, out, err = cputune(scratch.host, "status", "--json", "--runtime", "systemd")
    rows = {row["name"]: row["vcpu_quota"] for row in json.loads(out)["domains"]}
    assert (status, err) == (0, "")
    assert [rows[f"x{number}.service"] for number in range(1000)] == list(range(1000, 2000))


def test_names_with_control_characters_do_not_reach_the_terminal(tmp_path: Path, cputune: CommandLine) -> None:
    scratch = lay_out(read("debian13-unified"), tmp_path)
    name = f"a{ESCAPE}[2Jb.service"
    scratch.group("cgroup2", f"/sys/fs/cgroup/system.slice/{name}")
    out = cputune(scratch.host, "status").out
    assert ESCAPE not in out
    assert re.search(r"^systemd:a\\x1b\[2Jb\.service +running", out, re.MULTILINE)


def test_what_is_saved_is_listed_whether_its_domain_is_there_or_not(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "status", "--config") == (0, "", "cputune: nothing is saved\n")
    for name in ("web", "old", "never", "d%2A"):
        save(v2, name, "version: 1\nquota: 50000\n")
    rows = json.loads(cputune(v2, "status", "--config", "--json").out)
    assert {row["domain"]: row["state"] for row in rows} == {
        "lxc:web": "running",
        "lxc:old": "stopped",
        "lxc:never": "not there",
        "lxc:d*": "fits 1",
    }
    assert rows[0]["config"] == {"vcpu_quota": 50000}
    out = cputune(v2, "status", "--config").out.splitlines()
    assert out[0].split() == ["DOMAIN", "STATE", "CONFIG", "FILE"]
    assert len(out) == 5
    assert cputune(v2, "status", "--config", "--runtime", "docker").out == ""
    assert cputune(v2, "status", "--config", "web").status == 2


def test_a_broken_file_is_listed_too(v2: FakeKernel, cputune: CommandLine) -> None:
    path = save(v2, "web", "version: 1\nquota: 5\n")
    status, out, err = cputune(v2, "status", "--config")
    assert status == 0
    assert "lxc:web  running  -" in out
    assert err.startswith(f"cputune: {path}:2:8: quota is not in range")
