"""All of it, or the state before: a transaction over two domains, live and config, that fails at every single point."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cputune.core.errors import Interrupted
from cputune.core.knobs import UNLIMITED, Value
from cputune.host.cgroup.cgroups import Cgroups
from tests.support.commandline import CommandLine, Ended
from tests.support.containers import snapshot, two_containers
from tests.support.fakekernel import FAKES, FakeKernel, fail, interrupt, stuck, vanish
from tests.support.machine import give_up

COMMAND = (
    *("set", "lxc:web", "lxc:db", "--live", "--config"),
    *("--weight", "200", "--no-idle", "--quota", "5000", "--period", "10000", "--burst", "1000"),
)
SAVED = "version: 1\n# do not touch\nquota: 50000  # half a CPU\n"

# The writes of COMMAND: the domain, its file, what the file had, what is written.
PLANS = {
    "fake-v1": [
        ("web", "cpu.shares", "300", "2048"),
        ("web", "cpu.cfs_burst_us", "20000", "1000"),
        ("web", "cpu.cfs_quota_us", "50000", "5000"),
        ("web", "cpu.cfs_period_us", "100000", "10000"),
        ("db", "cpu.idle", "1", "0"),
        ("db", "cpu.shares", "1024", "2048"),
        ("db", "cpu.cfs_period_us", "40000", "10000"),
        ("db", "cpu.cfs_quota_us", "-1", "5000"),
        ("db", "cpu.cfs_burst_us", "0", "1000"),
    ],
    "fake-v2": [
        ("web", "cpu.weight", "300", "200"),
        ("web", "cpu.max.burst", "20000", "1000"),
        ("web", "cpu.max", "50000 100000", "5000 10000"),
        ("web", "cpu.max.burst", "1000", "1000"),  # an early kernel has divided it by then
        ("db", "cpu.idle", "1", "0"),
        ("db", "cpu.weight", "100", "200"),
        ("db", "cpu.max", "max 40000", "5000 10000"),
        ("db", "cpu.max.burst", "0", "1000"),
    ],
}
PLANS["fake-v2-early"] = PLANS["fake-v2"]
EACH_WRITE = [(name, number) for name, plan in PLANS.items() for number in range(1, len(plan) + 1)]
IDS = [f"{name}-{PLANS[name][number - 1][0]}-{PLANS[name][number - 1][1]}-{number}" for name, number in EACH_WRITE]


@pytest.fixture
def host(request: pytest.FixtureRequest, tmp_path: Path) -> FakeKernel:
    """A host with two LXC containers: one limited, with a saved configuration; one idle."""
    host = two_containers(tmp_path / "host", FAKES[request.param], SAVED)
    host.writes.clear()
    return host


each_kernel = pytest.mark.parametrize("host", FAKES, indirect=True)
each_write = pytest.mark.parametrize(("host", "number"), EACH_WRITE, indirect=["host"], ids=IDS)


def plan_of(host: FakeKernel) -> list[tuple[str, str, str, str]]:
    return PLANS[next(name for name, kernel in FAKES.items() if kernel == host.kernel)]


def directory(host: FakeKernel, domain: str) -> str:
    return f"{host.mount}/lxc.payload.{domain}"


def could_not(host: FakeKernel, number: int, said: str) -> str:
    """The message for the write of that number."""
    domain, file, before, value = plan_of(host)[number - 1]
    return f"cannot write {value} to {host.real(directory(host, domain))}/{file} (it was {before}): {said}"


def told(message: str, hint: str | None = None) -> str:
    return f"cputune: error: {message}\n" + (f"hint: {hint}\n" if hint else "")


# --- it works, and is planned as the tables say -----------------------------------------------------------------------


@each_kernel
def test_without_a_fault_all_is_done(host: FakeKernel, cputune: CommandLine) -> None:
    assert cputune(host, *COMMAND).status == 0
    assert host.writes == [(f"{directory(host, domain)}/{file}", value) for domain, file, _, value in plan_of(host)]
    new = (
        "version: 1\n# do not touch\nquota: 5000  # half a CPU\nweight: 200\nperiod: 10000\nburst: 1000\nidle: false\n"
    )
    assert Path(host.config_dir, "domains/lxc/web.yaml").read_text() == new
    fresh = 'version: 1\ndomain: "lxc:db"\nweight: 200\nperiod: 10000\nquota: 5000\nburst: 1000\nidle: false\n'
    assert Path(host.config_dir, "domains/lxc/db.yaml").read_text() == fresh


@each_kernel
def test_again_nothing_is_written(host: FakeKernel, cputune: CommandLine) -> None:
    cputune(host, *COMMAND)
    before = snapshot(host)
    host.writes.clear()
    said = "".join(f"cputune: lxc:{name}: nothing to do: this is in force already\n" for name in ("web", "db"))
    assert cputune(host, *COMMAND) == Ended(0, "", said)
    assert (host.writes, snapshot(host)) == ([], before)


# --- a write fails ----------------------------------------------------------------------------------------------------

ROOT = "run it as root: sudo cputune ..."
MOUNTED = "mounted read-only here: run cputune on the host, or give its unit ReadWritePaths= or RuntimeDirectory="
REFUSALS = [
    (errno.EINVAL, 7, "Invalid argument", None),
    (errno.ENOMEM, 7, "Cannot allocate memory", None),
    (errno.EBUSY, 7, "Device or resource busy", None),
    (errno.EIO, 7, "Input/output error", None),
    (errno.EACCES, 5, "Permission denied", ROOT),
    (errno.EPERM, 5, "Operation not permitted", ROOT),
    (errno.EROFS, 5, "Read-only file system", MOUNTED),
]


@each_write
@pytest.mark.parametrize(("refusal", "status", "said", "hint"), REFUSALS)
def test_a_write_that_fails_leaves_the_state_before(
    host: FakeKernel, number: int, refusal: int, status: int, said: str, hint: str | None, cputune: CommandLine
) -> None:
    before = snapshot(host)
    host.at_write(number, fail(refusal))
    assert cputune(host, *COMMAND) == Ended(status, "", told(could_not(host, number, said), hint))
    assert snapshot(host) == before


@each_write
def test_a_write_that_fails_and_cannot_be_taken_back_says_what_is_left(
    host: FakeKernel, number: int, cputune: CommandLine
) -> None:
    before, old = snapshot(host), states(host)
    host.at_write(number, fail(errno.EIO), on=True)
    ended = cputune(host, *COMMAND)
    changed = left(host, old)
    cause = could_not(host, number, "Input/output error")
    if changed:
        assert ended == Ended(8, "", told(f"{cause}; not everything could be put back: {'; '.join(changed)}"))
    else:
        assert ended == Ended(7, "", told(cause))
    assert bool(changed) == (number > 1)
    journal = [path for path in snapshot(host) if "/journal/" in path]
    assert len(journal) == bool(changed)
    kernel = {path for path in before if path.startswith(host.mount)}
    assert {path: text for path, text in snapshot(host).items() if path not in {*kernel, *journal}} == {
        path: text for path, text in before.items() if path not in kernel
    }
    host.heal()
    recovered = cputune(host, "recover")
    assert (recovered.status, recovered.out) == (0, "")
    assert recovered.err.endswith("and not finished\n" if changed else "nothing to put back\n")
    assert {path: text for path, text in snapshot(host).items() if not path.endswith("/history")} == before


def states(host: FakeKernel) -> dict[str, dict[str, Value]]:
    return {name: Cgroups(host).read(f"/lxc.payload.{name}").named() for name in ("web", "db")}


def left(host: FakeKernel, old: dict[str, dict[str, Value]]) -> list[str]:
    """What differs, the last domain first, in the words of the error."""
    return [
        f"{host.real(directory(host, name))}: {knob} is {word(value)}, not {word(old[name][knob])}"
        for name, state in reversed(states(host).items())
        for knob, value in state.items()
        if value != old[name][knob]
    ]


def word(value: object) -> str:
    return "unlimited" if value is UNLIMITED else str(value).lower()


@each_kernel
@pytest.mark.parametrize(("quota", "period"), [("90000", "50000"), ("5000", "100000")], ids=["grows", "shrinks"])
def test_a_family_is_put_back_in_the_order_that_the_kernel_takes(
    host: FakeKernel, quota: str, period: str, cputune: CommandLine
) -> None:
    """Each group with the limit of the one above it: on v1 every step up and down has one right order."""
    family = ("/a", "/a/b", "/a/b/c")
    for cgroup in family:
        host.mkdir(host.mount + cgroup)
        if host.kernel.version == 2:
            host.write(f"{host.mount}{cgroup}/cgroup.subtree_control", "+cpu")
        host.write(f"{host.mount}{cgroup}/{'cpu.max' if host.kernel.version == 2 else 'cpu.cfs_quota_us'}", "50000")
    before = snapshot(host)
    words = ("set", *(f"cgroup:{cgroup}" for cgroup in family), "--quota", quota, "--period", period)
    first = len(host.writes)
    for number in range(1, 100):
        host.at_write(number, fail(errno.EIO))
        if cputune(host, *words).status == 0:
            break
        assert snapshot(host) == before, f"at write {number}"
        del host.writes[first:]
    assert number - 1 == len(host.writes) - first >= len(family)


@each_kernel
def test_a_read_only_file_system_is_5_and_nothing_changed(host: FakeKernel, cputune: CommandLine) -> None:
    before = snapshot(host)
    host.readonly = True
    assert cputune(host, *COMMAND) == Ended(5, "", told(could_not(host, 1, "Read-only file system"), MOUNTED))
    assert snapshot(host) == before


# --- the kernel says yes and does not do it ---------------------------------------------------------------------------

# the kernel, the number of the write that has no effect, what is found: the knob, what it is, what it should be
STUCK = [
    ("fake-v1", 1, "shares is 300, not 2048"),
    ("fake-v1", 4, "period is 100000, not 10000"),
    ("fake-v1", 9, "burst is 0, not 1000"),
    ("fake-v2", 1, "weight is 300, not 200"),
    ("fake-v2", 3, "period is 100000, not 10000; {directory}: quota is 50000, not 5000"),
    ("fake-v2", 8, "burst is 0, not 1000"),
]


@pytest.mark.parametrize(("host", "number", "found"), STUCK, indirect=["host"])
def test_a_value_that_is_silently_kept_is_an_error(
    host: FakeKernel, number: int, found: str, cputune: CommandLine
) -> None:
    before = snapshot(host)
    domain, file, _, value = plan_of(host)[number - 1]
    folder = host.real(directory(host, domain))
    host.at_write(1, stuck(f"{directory(host, domain)}/{file}", value), on=True)
    text = f"the kernel took the write but not the value: {folder}: {found.format(directory=folder)}"
    assert cputune(host, *COMMAND) == Ended(7, "", told(text))
    assert snapshot(host) == before


@each_write
def test_a_value_that_is_kept_once_is_written_again_or_nothing_is(
    host: FakeKernel, number: int, cputune: CommandLine
) -> None:
    before = snapshot(host)
    domain, file, _, value = plan_of(host)[number - 1]
    host.at_write(number, stuck(f"{directory(host, domain)}/{file}", value))
    ended = cputune(host, *COMMAND)
    if ended.status == 0:
        assert {name: state["quota"] for name, state in states(host).items()} == {"web": 5000, "db": 5000}
    else:
        assert (ended.status, snapshot(host)) == (7, before)


# --- signals ----------------------------------------------------------------------------------------------------------


@each_write
@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "\ncputune: error: interrupted by signal 2\n"),  # a new line, behind the ^C
        (Interrupted(signal.SIGTERM), 143, "cputune: error: interrupted by signal 15\n"),
        (Interrupted(signal.SIGHUP), 129, "cputune: error: interrupted by signal 1\n"),
    ],
    ids=["SIGINT", "SIGTERM", "SIGHUP"],
)
def test_an_interrupt_leaves_the_state_before(
    host: FakeKernel, number: int, error: BaseException, status: int, said: str, cputune: CommandLine
) -> None:
    before = snapshot(host)
    host.at_write(number, interrupt(error))
    assert cputune(host, *COMMAND) == Ended(status, "", said)
    assert snapshot(host) == before


def press_ctrl_c(_path: str, _text: str) -> bool:
    signal.raise_signal(signal.SIGINT)  # to this thread, since a worker of xdist has others
    return False


@each_write
def test_ctrl_c_again_and_again_does_not_stop_the_putting_back(
    host: FakeKernel, number: int, cputune: CommandLine
) -> None:
    before = snapshot(host)
    host.at_write(number, press_ctrl_c, on=True)
    assert cputune(host, *COMMAND) == Ended(130, "", "\n" + told("interrupted by signal 2"))
    assert snapshot(host) == before


@each_kernel
def test_ctrl_c_again_does_not_hide_what_could_not_be_put_back(host: FakeKernel, cputune: CommandLine) -> None:
    old = states(host)
    host.at_write(2, interrupt(KeyboardInterrupt()))
    host.at_write(3, press_ctrl_c, on=True)
    host.at_write(3, fail(errno.EIO), on=True)
    ended = cputune(host, *COMMAND)
    text = f"KeyboardInterrupt; not everything could be put back: {'; '.join(left(host, old))}"
    assert ended == Ended(8, "", told(text))


# --- a cgroup goes away -----------------------------------------------------------------------------------------------

WENT = "it disappeared in the meantime; list what is running: cputune status"


@each_write
def test_a_domain_that_goes_away_is_6_and_the_other_is_as_it_was(
    host: FakeKernel, number: int, cputune: CommandLine
) -> None:
    before = snapshot(host)
    gone = plan_of(host)[number - 1][0]
    host.at_write(number, vanish(host, f"/lxc.payload.{gone}"))
    assert cputune(host, *COMMAND) == Ended(6, "", told(could_not(host, number, "No such file or directory"), WENT))
    folder = f"{directory(host, gone)}/"
    assert snapshot(host) == {path: text for path, text in before.items() if not path.startswith(folder)}


@each_kernel
@pytest.mark.parametrize("command", ["set", "schedinfo"])
def test_a_domain_that_goes_away_at_any_read_is_6(host: FakeKernel, command: str, cputune: CommandLine) -> None:
    words = {
        "set": ("set", "cgroup:/group", "--quota", "5000", "--burst", "1000", "--weight", "200"),
        "schedinfo": ("schedinfo", "cgroup:/group", "--all"),
    }[command]
    host.mkdir(f"{host.mount}/group")
    before = snapshot(host)
    first = host.attempts["read"]
    undisturbed = cputune(host, *words, *(("--dry-run",) if command == "set" else ()))
    reads = host.attempts["read"] - first
    assert (undisturbed.status, reads >= 4) == (0, True)
    for number in range(1, reads + 1):
        host.at_read(number, vanish(host, "/group"))
        ended = cputune(host, *words)
        messages = (
            told(f"cannot read {host.real(host.mount)}/group: No such file or directory", WENT),
            told("cgroup /group went away", "list what runs: cputune status"),
        )
        assert (ended.status, ended.out) == (6, ""), f"at read {number} of {reads}: {ended}"
        assert ended.err in messages
        host.mkdir(f"{host.mount}/group")
        assert snapshot(host) == before


# --- the configuration and the record cannot be written ---------------------------------------------------------------


class Disk:
    """A file system so small that it can be filled, for the configurations of a host."""

    def __init__(self, host: FakeKernel, point: Path) -> None:
        self.host = host
        self.point = point
        point.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=32", "none", str(point)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            give_up("mount is not installed")
        if done.returncode:
            give_up(f"cannot mount a file system to fill: {done.stderr.splitlines()[0]}")
        host.config_dir = str(point / "cputune")
        (point / "cputune/domains/lxc").mkdir(parents=True)

    def save(self, name: str, text: str) -> None:
        Path(self.host.config_dir, f"domains/lxc/{name}.yaml").write_text(text)

    def files(self) -> dict[str, str]:
        """Every file, those that are hidden too, but for the fillers."""
        found = [path for path in self.point.rglob("*") if path.is_file() and path.parent != self.point]
        return {str(path.relative_to(self.point)): path.read_text() for path in found}

    def fill(self) -> None:
        """No room for another byte."""
        room = os.statvfs(self.point)
        (self.point / "filler").write_bytes(bytes(room.f_bavail * room.f_bsize))
        assert os.statvfs(self.point).f_bavail == 0

    def leave_files(self, number: int) -> None:
        """Room for that many more files, and no more."""
        while os.statvfs(self.point).f_ffree > number:
            (self.point / f"filler-{os.statvfs(self.point).f_ffree}").touch()


@pytest.fixture
def disk(host: FakeKernel, tmp_path: Path) -> Iterator[Disk]:
    point = tmp_path / "disk"
    try:
        yield Disk(host, point)
    finally:
        subprocess.run(["umount", str(point)], capture_output=True, check=False)


def cannot_save(host: FakeKernel, name: str) -> str:
    return told(
        f"cannot save {host.config_dir}/domains/lxc/{name}.yaml: No space left on device", "free some disk space: df -h"
    )


@each_kernel
def test_a_full_disk_keeps_the_old_configuration_whole_and_puts_live_back(
    host: FakeKernel, disk: Disk, cputune: CommandLine
) -> None:
    disk.save("web", SAVED)
    disk.fill()
    before, files = snapshot(host), disk.files()
    assert cputune(host, *COMMAND) == Ended(7, "", cannot_save(host, "web"))
    assert (snapshot(host), disk.files()) == (before, files)
    assert files == {"cputune/domains/lxc/web.yaml": SAVED}


@each_kernel
@pytest.mark.parametrize(("room", "name"), [(0, "web"), (1, "db")])
def test_a_disk_without_room_for_another_file_is_the_state_before(
    host: FakeKernel, disk: Disk, room: int, name: str, cputune: CommandLine
) -> None:
    """With room for one: the first domain is saved already when the second cannot be."""
    disk.leave_files(room)
    before = snapshot(host)
    assert cputune(host, *COMMAND) == Ended(7, "", cannot_save(host, name))
    assert (snapshot(host), disk.files()) == (before, {})


@each_kernel
def test_a_full_disk_does_not_stop_a_change_that_is_live_only(
    host: FakeKernel, disk: Disk, cputune: CommandLine
) -> None:
    disk.fill()
    assert cputune(host, "set", "lxc:web", "--quota", "6000", "--burst", "0", "--live").status == 0
    assert states(host)["web"]["quota"] == 6000


@each_kernel
def test_a_record_that_cannot_be_written_puts_live_back(host: FakeKernel, cputune: CommandLine) -> None:
    host.put_file("/run/cputune/applied", "not a directory\n")
    before = snapshot(host)
    path = f"{host.state_dir}/applied/lxc/web"
    assert cputune(host, *COMMAND) == Ended(7, "", told(f"cannot write {path}: Not a directory"))
    assert snapshot(host) == before


@each_kernel
def test_without_its_lock_nothing_begins(host: FakeKernel, cputune: CommandLine) -> None:
    host.put_file("/run/cputune", "not a directory\n")
    before = snapshot(host)
    error = told(f"cannot lock {host.state_dir}/locks: Not a directory")
    assert cputune(host, *COMMAND) == Ended(7, "", error)
    assert (host.writes, snapshot(host)) == ([], before)


@each_kernel
def test_a_transient_domain_has_no_configuration_and_live_stays(host: FakeKernel, cputune: CommandLine) -> None:
    before = snapshot(host)
    words = ("set", "lxc:web", "cgroup:/lxc.payload.db", "--quota", "6000", "--burst", "0", "--live", "--config")
    domain = "cgroup:/lxc.payload.db"
    message = f"cannot change persistent config of a transient domain: {domain}"
    hint = f"change it while it runs: cputune set {domain} ... --live"
    assert cputune(host, *words) == Ended(6, "", told(message, hint))
    assert (host.writes, snapshot(host)) == ([], before)
