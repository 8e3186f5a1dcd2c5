"""The command line: exit codes, the words of every error, JSON, pipes and terminals, and what it loads."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import click
import pytest

from cputune import __version__
from cputune.cli.main import COMMANDS, cli, run
from tests.support.commandline import CommandLine, Ended, error
from tests.support.containers import add_lxc, config_of, save
from tests.support.fakekernel import FakeKernel, Kernel, fail, interrupt, vanish
from tests.support.hosts import Scratch, lay_out, read

STATUS = "list the names: cputune status"
ESCAPE = "\x1b"


# --- exit codes -------------------------------------------------------------------------------------------------------


def test_0_done(host: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(host, "set", "web", "--quota", "50000", "--live") == (
        0,
        "lxc:web: live: quota unlimited -> 50000\n",
        "",
    )


def test_1_unexpected(host: FakeKernel, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x")

    monkeypatch.setattr("cputune.app.tuner.Tuner.schedinfo", broken)
    assert cputune(host, "schedinfo", "web") == (
        1,
        "",
        error("unexpected KeyError: 'x'", "report it, with what CPUTUNE_DEBUG=1 shows"),
    )
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


# --- usage ------------------------------------------------------------------------------------------------------------

EXCLUSIVE = "are mutually exclusive"


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (("set", "web"), "nothing to set: give at least one limit", "cputune set mydom --cpus 1.5 --live"),
        (
            ("set", "web", "--shares", "5", "--weight", "5"),
            f"--shares and --weight {EXCLUSIVE}: they are two units of one thing",
            None,
        ),
        (
            ("set", "web", "--quota", "5000", "--cpus", "1"),
            f"--quota and --cpus {EXCLUSIVE}: --cpus N is --quota N x period",
            None,
        ),
        (
            ("set", "web", "--cpus", "1", "--live", "--current"),
            f"options --current and --live {EXCLUSIVE}",
            None,
        ),
        (("schedinfo", "web", "--config", "--current"), f"options --current and --config {EXCLUSIVE}", None),
        (
            ("schedinfo", "web", "--live", "--config"),
            "--live and --config cannot both be asked",
            "cputune schedinfo DOMAIN --live",
        ),
        (
            ("schedinfo", "web", "--set", "quota"),
            "invalid syntax for --set, expecting name=value: quota",
            "cputune schedinfo mydom --set cpu_shares=512",
        ),
        (
            ("schedinfo", "web", "--set", "emulator_quota=1"),
            "invalid scheduler option: emulator_quota",
            "known: cpu_shares, cpu_weight, vcpu_period, vcpu_quota, vcpu_burst, cpu_idle",
        ),
        (
            ("set", "web", "--cpus", "0.001"),
            "--cpus: 0.001 is a quota of 100 with a period of 100000, below 1000",
            "give a longer period: --period 1000000",
        ),
        (
            ("set", "web", "--idle", "--weight", "50"),
            "an idle group has no shares and no weight",
            "give either idle or a weight",
        ),
        (
            ("schedinfo", "web", "--set", "cpu_idle=1", "cpu_shares=5"),
            "an idle group has no shares and no weight",
            "give either idle or a weight",
        ),
        (
            ("set", "web", "--cpus", "0.5000000"),
            "--cpus: '0.5000000' is not a number of CPUs greater than 0, such as 0.5 or 2",
            "cputune set --help",
        ),
        (
            ("set", "web", "--cpus", "999999999"),
            "--cpus: 999999999 is a quota of 99999999900000 with a period of 100000, above 17592186044415",
            None,
        ),
        (
            ("schedinfo", "web", "--set", "cpu_shares=1"),
            "cpu_shares: '1' is not in range: 2..262144",
            "cputune set --help",
        ),
        (("set", "", "--cpus", "1"), "the name of the domain is empty", STATUS),
        (("set", "/web", "--cpus", "1"), "/web is a path, not the name of a domain", "cputune status cgroup:/web"),
        (
            ("run", "--name", "a/b", "--", "true"),
            "--name: a/b is not a valid name: it contains a slash or is too long",
            None,
        ),
    ],
)
def test_usage(v2: FakeKernel, cputune: CommandLine, words: tuple[str, ...], message: str, hint: str | None) -> None:
    assert cputune(v2, *words) == (2, "", error(message, hint))
    assert v2.writes == []


@pytest.mark.parametrize(
    ("words", "about", "command"),
    [
        (("nosuch",), "nosuch", "cputune"),
        (("--nosuch",), "--nosuch", "cputune"),
        (("set",), "DOMAIN", "cputune set"),
        (("set", "web", "--nosuch"), "--nosuch", "cputune set"),
        (("set", "web", "--quota"), "--quota", "cputune"),
        (("schedinfo",), "DOMAIN", "cputune schedinfo"),
        (("status", "--interval", "soon"), "soon", "cputune status"),
        (("status", "--interval", "0"), "0", "cputune status"),
        (("status", "--runtime", "xen"), "xen", "cputune status"),
        (("run",), "COMMAND", "cputune run"),
        (("apply", "--nosuch"), "--nosuch", "cputune apply"),
    ],
)
def test_what_click_finds_wrong(
    v2: FakeKernel, cputune: CommandLine, words: tuple[str, ...], about: str, command: str
) -> None:
    """The words in the middle are click's, and differ between its versions."""
    status, out, err = cputune(v2, *words)
    assert (status, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith("cputune: error: ")
    assert about in first
    assert not first.endswith(".")
    assert second.startswith(f"hint: {command} ")
    assert second.endswith(" --help")


def test_without_a_command_the_help_is_an_error(v2: FakeKernel, cputune: CommandLine) -> None:
    status, out, err = cputune(v2)
    assert (status, out) == (2, "")
    assert err.startswith("Usage: cputune [OPTIONS] ")
    assert all(f"  {name} " in err for name in COMMANDS)


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_of_everything(v2: FakeKernel, cputune: CommandLine, option: str) -> None:
    status, out, err = cputune(v2, option)
    assert (status, err) == (0, "")
    assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_has_all_options_and_ends_with_a_line_to_paste(
    v2: FakeKernel, cputune: CommandLine, name: str
) -> None:
    status, out, err = cputune(v2, name, "--help")
    assert (status, err) == (0, "")
    command = cli.get_command(click.Context(cli), name)
    assert command
    for param in command.params:
        if isinstance(param, click.Option):
            assert all(option in out for option in (*param.opts, *param.secondary_opts))
            assert param.help
    example = out.partition("\n  Try: ")[2]
    assert example.startswith(f"cputune {name}")
    assert all("cputune " in line for line in example.splitlines())


def test_version(v2: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(v2, "--version") == (0, f"cputune {__version__}\n", "")


# --- set --------------------------------------------------------------------------------------------------------------


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
        "lxc:old: config: quota unset -> unlimited\nlxc:old: config: idle unset -> on\n",
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


# --- schedinfo --------------------------------------------------------------------------------------------------------


def test_schedinfo_is_virshs_byte_for_byte(host: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(host, "schedinfo", "web") == (
        0,
        "Scheduler      : posix\n"
        "cpu_shares     : 1024\n"
        "vcpu_period    : 100000\n"
        "vcpu_quota     : -1\n"
        "\n",
        "",
    )  # fmt: skip


def test_schedinfo_of_a_config_that_is_not_there(host: FakeKernel, cputune: CommandLine) -> None:
    zeros = "Scheduler      : posix\ncpu_shares     : 0\nvcpu_period    : 0\nvcpu_quota     : 0\n\n"
    assert cputune(host, "schedinfo", "old").out == zeros
    assert cputune(host, "schedinfo", "web", "--config").out == zeros


@pytest.mark.parametrize("form", ["options", "words"])
def test_schedinfo_sets_as_virsh_does(host: FakeKernel, cputune: CommandLine, form: str) -> None:
    assignments = ["cpu_shares=512", "vcpu_quota=50000"]
    words = assignments if form == "words" else [word for text in assignments for word in ("--set", text)]
    assert cputune(host, "schedinfo", "web", *words).out == (
        "Scheduler      : posix\ncpu_shares     : 512\nvcpu_period    : 100000\nvcpu_quota     : 50000\n\n"
    )


def test_schedinfo_sets_live_and_config_and_shows_live(v2: FakeKernel, cputune: CommandLine) -> None:
    shown = cputune(v2, "schedinfo", "web", "--live", "--config", "--set", "vcpu_quota=50000")
    assert (shown.status, shown.out.splitlines()[3]) == (0, "vcpu_quota     : 50000")
    assert cputune(v2, "schedinfo", "web", "--config").out.splitlines()[3] == "vcpu_quota     : 50000"


def test_schedinfo_for_programs(host: FakeKernel, cputune: CommandLine) -> None:
    data = json.loads(cputune(host, "schedinfo", "web", "--json", "--all").out)
    assert data == {
        "domain": "lxc:web",
        "source": "live",
        "scheduler": "posix",
        "parameters": 6,
        "cpu_shares": 1024,
        "vcpu_period": 100000,
        "vcpu_quota": -1,
        "cpu_weight": 100,
        "vcpu_burst": 0,
        "cpu_idle": False,
    }


def test_schedinfo_without_bandwidth(tmp_path: Path, cputune: CommandLine) -> None:
    host = FakeKernel(tmp_path, Kernel(2, bandwidth=False, burst=False))
    add_lxc(host, "web")
    assert cputune(host, "schedinfo", "web").out == "Scheduler      : posix\ncpu_shares     : 1024\n\n"
    assert json.loads(cputune(host, "schedinfo", "web", "--json").out)["parameters"] == 1


# --- status -----------------------------------------------------------------------------------------------------------


def test_status_of_all(v2: FakeKernel, cputune: CommandLine) -> None:
    cputune(v2, "set", "web", "--cpus", "0.5", "--live", "--config")
    v2.write("/sys/fs/cgroup/lxc.payload.web/cpu.max", "70000")
    status, out, err = cputune(v2, "status")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"cgroup v2 (cpu at /sys/fs/cgroup), {os.cpu_count()} CPUs, CFS bandwidth: yes, burst: yes",
        "DOMAIN   STATE    SHARES  WEIGHT  LIMIT  EFFECTIVE  CONFIG                     DRIFT",
        "lxc:db   running  1024    100     -      -          -                          -",
        "lxc:old  stopped  -       -       -      -          -                          -",
        "lxc:web  running  1024    100     0.7    0.7        period=100000 quota=50000  "
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
        "idle           : off\n"
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
    assert out == f"cgroup v2 (cpu at /sys/fs/cgroup), {os.cpu_count()} CPUs, CFS bandwidth: unknown, burst: unknown\n"
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
        f"cputune: lxc:web: {path}:2: unknown key qouta; "
        "known: version, domain, shares, weight, period, quota, burst, idle\n"
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


# --- apply ------------------------------------------------------------------------------------------------------------


def test_apply_puts_what_is_saved_into_force(v2: FakeKernel, cputune: CommandLine) -> None:
    save(v2, "web", "version: 1\nquota: 50000\nshares: 512\n")
    save(v2, "old", "version: 1\nquota: 50000\n")
    save(v2, "gone", "version: 1\nquota: 50000\n")
    assert cputune(v2, "apply") == (
        0,
        "lxc:web: live: weight 100 -> 50 (512 shares)\nlxc:web: live: quota unlimited -> 50000\n",
        "cputune: lxc:gone: not there, skipped\ncputune: lxc:old: not running, skipped\n",
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
        error(
            f"{path}:2: quota: '5' is not in range: 1000..17592186044415 microseconds, or unlimited", f"$EDITOR {path}"
        ),
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
        error(f"{wrong}: not the file of lxc:{name}", f"it belongs in {config_of(v2, name)}"),
    )
    assert cputune(v2, "apply", "web") == (
        6,
        "",
        error("nothing is saved for lxc:web", "cputune set lxc:web --cpus 1 --config"),
    )


def test_a_configuration_may_keep_the_weight_of_an_idle_group(v2: FakeKernel, cputune: CommandLine) -> None:
    cputune(v2, "set", "web", "--weight", "50", "--config")
    assert cputune(v2, "set", "web", "--idle", "--config") == (0, "lxc:web: config: idle unset -> on\n", "")
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


# --- as a process -----------------------------------------------------------------------------------------------------


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return lay_out(read("debian13-unified"), tmp_path / "root")


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("CPUTUNE", "COLUMNS", "NO_COLOR"))}
    return {**kept, "TERM": "xterm", "LANG": "C.UTF-8", **more}


def process(*words: str, options: tuple[str, ...] = (), **more: str) -> Ended:
    """`python -m cputune` with pipes."""
    argv = [sys.executable, *options, "-m", "cputune", *words]
    done = subprocess.run(argv, env=environment(**more), capture_output=True, text=True, check=False, timeout=60)
    return Ended(done.returncode, done.stdout, done.stderr)


def terminal(width: int, *words: str, **more: str) -> str:
    """What it prints on a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    argv = [sys.executable, "-m", "cputune", *words]
    with subprocess.Popen(argv, env=environment(**more), stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        data = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # EIO: the other side is closed
                break
            if not piece:
                break
            data += piece
    os.close(ours)
    assert child.returncode == 0
    return data.decode()


def test_the_host_and_the_directories_by_option(scratch: Scratch, tmp_path: Path) -> None:
    own = ("--root", str(scratch.directory), "--config-dir", str(tmp_path / "c"), "--state-dir", str(tmp_path / "s"))
    done = process(*own, "set", "lxc:mydom", "--quota", "50000", "--live", "--config")
    assert done == (0, "lxc:mydom: live: quota unlimited -> 50000\nlxc:mydom: config: quota unset -> 50000\n", "")
    assert scratch.text("/sys/fs/cgroup/lxc.payload.mydom/cpu.max") == "50000 100000"
    assert (tmp_path / "c/domains/lxc/mydom.yaml").exists()
    assert (tmp_path / "s/applied/lxc/mydom").exists()
    assert not scratch.path("/etc/cputune").exists()
    assert not scratch.path("/run/cputune").exists()


def test_the_host_and_the_directories_by_environment(scratch: Scratch, tmp_path: Path) -> None:
    done = process(
        "set", "lxc:stopped", "--quota", "50000",
        CPUTUNE_ROOT=str(scratch.directory),
        CPUTUNE_CONFIG_DIR=str(tmp_path / "c"),
        CPUTUNE_STATE_DIR=str(tmp_path / "s"),
        CPUTUNE_DATA_DIR=str(tmp_path / "d"),
    )  # fmt: skip
    assert done == (0, "lxc:stopped: config: quota unset -> 50000\n", "")
    assert (tmp_path / "c/domains/lxc/stopped.yaml").exists()
    assert (tmp_path / "s/locks").exists()


def test_an_option_wins_over_the_environment(scratch: Scratch, tmp_path: Path) -> None:
    done = process("--root", str(scratch.directory), "schedinfo", "lxc:mydom", CPUTUNE_ROOT=str(tmp_path / "nowhere"))
    assert done.status == 0


def test_without_the_other_two_everything_is_below_the_root(scratch: Scratch) -> None:
    done = process("set", "lxc:stopped", "--quota", "50000", CPUTUNE_ROOT=str(scratch.directory))
    assert done.status == 0
    assert scratch.path("/etc/cputune/domains/lxc/stopped.yaml").exists()


def test_an_error_of_a_process(scratch: Scratch) -> None:
    assert process("schedinfo", "nosuch", CPUTUNE_ROOT=str(scratch.directory)) == (
        3,
        "",
        error("no domain nosuch", STATUS),
    )


def loaded(*words: str, root: str) -> set[str]:
    """The modules that a command loads over those that the interpreter has anyway."""
    bare = subprocess.run([sys.executable, "-X", "importtime", "-c", ""], capture_output=True, text=True, check=True)
    done = process(*words, options=("-X", "importtime"), CPUTUNE_ROOT=root)
    assert done.status == 0, done.err

    def modules(text: str) -> set[str]:
        return {line.rpartition("|")[2].strip() for line in text.splitlines() if line.startswith("import time:")}

    return modules(done.err) - modules(bare.stderr)


def test_set_live_loads_neither_yaml_nor_rich_nor_subprocess(scratch: Scratch) -> None:
    """json it needs, for the journal."""
    found = loaded("set", "lxc:mydom", "--quota", "50000", "--live", root=str(scratch.directory))
    assert "cputune.transaction.perform" in found
    assert not found & {"yaml", "rich", "subprocess", "cputune.config.store", "cputune.cli.table", "dataclasses"}


def test_schedinfo_loads_neither_yaml_nor_rich_nor_json(scratch: Scratch) -> None:
    found = loaded("schedinfo", "lxc:mydom", root=str(scratch.directory))
    assert "cputune.app.tuner" in found
    assert not found & {
        "yaml",
        "rich",
        "json",
        "subprocess",
        "cputune.config.store",
        "cputune.cli.table",
        "cputune.planning.planner",
    }


def test_help_loads_no_core(scratch: Scratch) -> None:
    found = loaded("--help", root=str(scratch.directory))
    assert not found & {"yaml", "rich", "json", "subprocess", "cputune.app.tuner", "cputune.host.cgroup.cgroups"}


def test_no_escape_codes_in_a_pipe(scratch: Scratch) -> None:
    done = process("status", CPUTUNE_ROOT=str(scratch.directory))
    assert done.status == 0
    assert ESCAPE not in done.out + done.err
    assert max(map(len, done.out.splitlines())) > 100  # nothing is cut at 80


def test_colours_on_a_terminal_unless_they_are_not_wanted(scratch: Scratch) -> None:
    root = str(scratch.directory)
    assert f"{ESCAPE}[" in terminal(200, "status", CPUTUNE_ROOT=root)
    plain = terminal(200, "status", CPUTUNE_ROOT=root, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", plain)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_nothing_is_lost_on_a_terminal(scratch: Scratch, width: int) -> None:
    out = terminal(width, "status", CPUTUNE_ROOT=str(scratch.directory), COLUMNS=str(width))
    _, *lines = re.sub(r"\x1b\[[0-9;]*m", "", out).replace("\r", "").splitlines()
    assert max(map(len, lines)) <= width
    columns = as_columns(lines)
    names = [line.split(" | ")[0] for line in read("debian13-unified").lines("domains") if line]
    assert columns[0] == "DOMAIN" + "".join(names)
    assert columns[1].count("running") == len([name for name in names if name not in
                                               ("libvirt:shut", "lxc:stopped", "nspawn:image")])  # fmt: skip
    assert columns[2].count("1024") == 15
    assert columns[4] == "LIMIT0.5" + "-" * (len(names) - 1)


def as_columns(lines: list[str]) -> list[str]:
    """The text of each column of a table, over all lines; columns are parted where every line has a space."""
    width = max(map(len, lines))
    padded = [line.ljust(width) for line in lines]
    cuts = [at for at in range(width) if all(line[at] == " " for line in padded)]
    edges = [-1, *cuts, width]
    spans = [(left + 1, right) for left, right in pairwise(edges) if right - left > 1]
    return ["".join(line[left:right].strip() for line in padded) for left, right in spans]


def test_a_reader_that_goes_away_is_no_traceback(scratch: Scratch) -> None:
    argv = [sys.executable, "-m", "cputune", "status", "--json"]
    with subprocess.Popen(
        argv, env=environment(CPUTUNE_ROOT=str(scratch.directory)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert child.stderr
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 141


def test_output_that_cannot_be_written(scratch: Scratch) -> None:
    argv = [sys.executable, "-m", "cputune", "schedinfo", "lxc:mydom"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            argv, env=environment(CPUTUNE_ROOT=str(scratch.directory)), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr.decode() == error("cannot write the output: No space left on device")


WAITS = """
import os, sys, time
from cputune.cli import main
from cputune.app import tuner
def wait(*_):
    print("waiting", flush=True)
    time.sleep(60)
tuner.Tuner.schedinfo = wait
main.catch_signals()
sys.exit(main.run(["schedinfo", "lxc:mydom"]))
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_with_128_and_its_number(scratch: Scratch, signum: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITS],
        env=environment(CPUTUNE_ROOT=str(scratch.directory)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout
        assert child.stderr
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(signum)
        said = child.stderr.read()
    first = "\n" if signum == signal.SIGINT else ""  # click ends the line that has ^C in it
    assert (child.returncode, said) == (128 + signum, first + error(f"interrupted by signal {int(signum)}"))


def test_nothing_is_imported_twice_by_the_group() -> None:
    context = click.Context(cli)
    assert cli.list_commands(context) == list(COMMANDS)
    assert cli.get_command(context, "nosuch") is None
    assert all(cli.get_command(context, name) for name in COMMANDS)


def test_run_returns_what_the_process_exits_with(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(status: object) -> Callable[..., object]:
        return lambda *_, **__: status

    monkeypatch.setattr(cli, "main", answer(None))
    assert run([]) == 0
    monkeypatch.setattr(cli, "main", answer(6))
    assert run([]) == 6
