"""Every exit code, with the words of an error that has it."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from tests.support.commandline import STATUS, CommandLine, error
from tests.support.fakekernel import FakeKernel, fail, interrupt, vanish
from tests.support.hosts import lay_out, read


def test_0_done(host: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(host, "set", "web", "--quota", "50000", "--live") == (
        0,
        "lxc:web: live: quota unlimited -> 50000\n",
        "",
    )


def test_1_unexpected(host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("cputune.app.schedinfo.schedinfo", broken)
    done = cputune(host, "schedinfo", "web")
    told = error("unexpected KeyError in PLACE", "report it, with the traceback that CPUTUNE_DEBUG=1 prints")
    place = r"cputune/cli/commands/schedinfo\.py:[0-9]+"
    assert re.fullmatch(re.escape(told).replace("PLACE", place), done.err), done.err
    assert (done.status, done.out) == (1, "")
    monkeypatch.setenv("CPUTUNE_DEBUG", "1")
    with pytest.raises(KeyError):
        cputune(host, "schedinfo", "web")


def test_2_usage(host: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(host, "set", "web", "--quota", "5000abc") == (
        2,
        "",
        error(
            "--quota: '5000abc' is not in range: 1000..17592186044415 microseconds, or unlimited", "cputune set --help"
        ),
    )


def test_3_no_such_domain(host: FakeKernel, cputune: CommandLine) -> None:
    for words in (
        ("set", "nosuch", "--quota", "5000"),
        ("schedinfo", "nosuch"),
        ("status", "nosuch"),
        ("apply", "nosuch"),
    ):
        assert cputune(host, *words) == (3, "", error("no domain nosuch", STATUS))


def test_3_ambiguous(tmp_path: Path, cputune: CommandLine) -> None:
    host = lay_out(read("debian13-unified"), tmp_path).host
    assert cputune(host, "set", "mydom", "--quota", "5000") == (
        3,
        "",
        error(
            "mydom is the name of more than one domain: libvirt:mydom, lxc:mydom, incus:mydom, nspawn:mydom",
            "name one of them as it is here",
        ),
    )


def test_4_not_supported(tmp_path: Path, cputune: CommandLine) -> None:
    host = lay_out(read("nothing-mounted"), tmp_path).host
    for words in (("set", "cgroup:/web", "--quota", "5000"), ("schedinfo", "cgroup:/web"), ("status",)):
        assert cputune(host, *words) == (
            4,
            "",
            error("no cgroup file system is mounted", "mount -t cgroup2 none /sys/fs/cgroup"),
        )


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_0_saving_needs_no_cpu_controller(tmp_path: Path, cputune: CommandLine, dry: tuple[str, ...]) -> None:
    host = lay_out(read("nothing-mounted"), tmp_path).host
    assert cputune(host, "set", "docker:nosuch", "--cpus", "1", "--config", *dry).status == 0


@pytest.mark.parametrize(
    ("number", "said", "hint"),
    [
        (errno.EACCES, "Permission denied", "run it as root: sudo cputune ..."),
        (errno.EPERM, "Operation not permitted", "run it as root: sudo cputune ..."),
        (
            errno.EROFS,
            "Read-only file system",
            "mounted read-only here: run cputune on the host, or give its unit ReadWritePaths= or RuntimeDirectory=",
        ),
    ],
)
def test_5_no_permission(v2: FakeKernel, cputune: CommandLine, number: int, said: str, hint: str) -> None:
    v2.at_write(1, fail(number), on=True)
    file = f"{v2.root}/sys/fs/cgroup/lxc.payload.web/cpu.max"
    assert cputune(v2, "set", "web", "--quota", "50000", "--live") == (
        5,
        "",
        error(f"cannot write 50000 100000 to {file} (it was max 100000): {said}", hint),
    )


def test_6_not_running(host: FakeKernel, cputune: CommandLine) -> None:
    for words in (("set", "old", "--quota", "5000", "--live"), ("schedinfo", "old", "--live")):
        assert cputune(host, *words) == (
            6,
            "",
            error("domain lxc:old is not running", "start it first, or use --config instead of --live"),
        )


def test_6_transient(host: FakeKernel, cputune: CommandLine) -> None:
    name = "cgroup:/lxc.payload.web"
    assert cputune(host, "set", name, "--quota", "5000", "--config") == (
        6,
        "",
        error(
            f"cannot change persistent config of a transient domain: {name}",
            f"change it while it runs: cputune set {name} ... --live",
        ),
    )


def test_6_nothing_saved(host: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(host, "apply", "web") == (
        6,
        "",
        error("nothing is saved for lxc:web", "cputune set lxc:web --cpus 1 --config"),
    )


def test_6_went_away(v2: FakeKernel, cputune: CommandLine) -> None:
    v2.at_write(1, vanish(v2, "/lxc.payload.web"))
    file = f"{v2.root}/sys/fs/cgroup/lxc.payload.web/cpu.max"
    assert cputune(v2, "set", "web", "--quota", "50000", "--live") == (
        6,
        "",
        error(
            f"cannot write 50000 100000 to {file} (it was max 100000): No such file or directory",
            "it disappeared in the meantime; list what is running: cputune status",
        ),
    )


def test_7_refused(v1: FakeKernel, cputune: CommandLine) -> None:
    v1.at_write(1, fail(errno.EINVAL))
    file = f"{v1.root}/sys/fs/cgroup/cpu,cpuacct/lxc.payload.web/cpu.cfs_quota_us"
    assert cputune(v1, "set", "web", "--quota", "50000", "--live") == (
        7,
        "",
        error(f"cannot write 50000 to {file} (it was -1): Invalid argument"),
    )


def test_7_taken_but_not_kept(v2: FakeKernel, cputune: CommandLine) -> None:
    v2.at_write(1, lambda *_: True, on=True)
    directory = f"{v2.root}/sys/fs/cgroup/lxc.payload.web"
    assert cputune(v2, "set", "web", "--quota", "50000", "--live") == (
        7,
        "",
        error(f"the kernel took the write but not the value: {directory}: quota is unlimited, not 50000"),
    )


def test_7_a_burst_that_stands_in_the_way(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "set", "web", "--quota", "50000", "--burst", "40000", "--live").status == 0
    assert cputune(v2, "set", "web", "--quota", "30000", "--live") == (
        7,
        "",
        error(
            "/sys/fs/cgroup/lxc.payload.web: quota 30000 with period 100000 is below the burst of 40000 "
            "that is in force",
            "lower the burst with it: --burst 30000",
        ),
    )


def test_8_not_put_back(v2: FakeKernel, cputune: CommandLine) -> None:
    v2.at_write(2, fail(errno.EINVAL), on=True)
    directory = f"{v2.root}/sys/fs/cgroup/lxc.payload.web"
    assert cputune(v2, "set", "web", "--weight", "50", "--quota", "50000", "--live") == (
        8,
        "",
        error(
            f"cannot write 50000 100000 to {directory}/cpu.max (it was max 100000): Invalid argument; "
            f"not everything could be put back: {directory}: weight is 50, not 100"
        ),
    )


def test_130_interrupted(v2: FakeKernel, cputune: CommandLine) -> None:
    v2.at_write(2, interrupt(KeyboardInterrupt()))
    assert cputune(v2, "set", "web", "--weight", "50", "--quota", "50000", "--live") == (
        130,
        "",
        "\n" + error("interrupted by signal 2"),  # click ends the line that has ^C in it
    )
    assert v2.read("/sys/fs/cgroup/lxc.payload.web/cpu.weight") == "100\n"
