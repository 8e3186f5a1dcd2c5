"""What a local user can try against root's cputune, on a host with a domain of every runtime and real owners of files.

Each test says what it gained before. `hanging` turns what would wait for ever into a failure.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from cputune.host.cgroup.cgroups import Cgroups
from cputune.host.processes import identify
from cputune.host.programs import Completed
from cputune.host.system import Host
from cputune.host.systemd import INFINITY
from cputune.runtimes import lookup
from cputune.runtimes.podman import settings_in
from cputune.runtimes.registry import RUNTIMES
from tests.support.commandline import CommandLine, Ended
from tests.support.hosts import Scratch, lay_out, read
from tests.support.machine import give_up

MALLORY = 1000
"""The user of the recorded host."""
HIS = ("/home/labuser", "/run/user/1000", "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service")
SECRET = "root:$y$j9T$secret:19700:0:99999:7:::"


class RealHost(Host):
    """The recorded host with files of real owners, whose programs are a test's."""

    ran: list[tuple[tuple[str, ...], int | None]]

    def run(self, argv: Any, user: int | None = None, timeout: float = 30.0, text: str | None = None) -> Completed:
        """Take down what would be run: systemd answers, and changes nothing."""
        self.ran.append((tuple(argv), user))
        if "get-property" not in argv:
            return Completed(1, "", "Call failed: Connection reset by peer\n")
        if argv[-1] == "Version":
            return Completed(0, 's "257.13-1~deb13u1"\n', "")
        names = argv[argv.index("get-property") + 4 :]
        return Completed(0, "".join(map(self.answer if user else ROOTS.__getitem__, names)), "")

    def answer(self, name: str) -> str:
        """What his bus says."""
        return HIS_UNIT[name]


PROPERTIES = dict.fromkeys(("CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec", "CPUWeight"), f"t {INFINITY}\n")
ROOTS = {**PROPERTIES, "ControlGroup": 's "/system.slice/mydom.service"\n'}
CGROUP = "/user.slice/user-1000.slice/user@1000.service/app.slice/mydom.service"
HIS_UNIT = {**PROPERTIES, "ControlGroup": f's "{CGROUP}"\n'}


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    if os.geteuid() != 0:
        give_up("only root can make files of other users")
    tmp_path.chmod(0o755)
    laid_out = lay_out(read("debian13-runtimes"), tmp_path)
    for folder in HIS:
        for path, folders, files in os.walk(laid_out.path(folder)):
            for name in (".", *folders, *files):
                os.chown(os.path.join(path, name), MALLORY, MALLORY, follow_symlinks=False)
    host = RealHost(str(tmp_path), state_dir=f"{tmp_path}/run/cputune")
    host.ran = []
    laid_out.host = host  # type: ignore[assignment]
    return laid_out


@pytest.fixture(autouse=True)
def hanging() -> Iterator[None]:
    def too_long(_signum: int, _frame: FrameType | None) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def his(scratch: Scratch, path: str, text: str = "") -> Path:
    """A file of his, with all directories that are missing on the way."""
    missing = [folder for folder in (scratch.path(path), *scratch.path(path).parents) if not folder.exists()]
    scratch.file(path, text)
    for folder in missing:
        os.chown(folder, MALLORY, MALLORY)
    return scratch.path(path)


def secret(scratch: Scratch) -> str:
    """A file that only root may read; its path on the host."""
    scratch.file("/etc/shadow", SECRET)
    scratch.path("/etc/shadow").chmod(0o600)
    return "/etc/shadow"


def rows(ended: Ended) -> dict[str, dict[str, Any]]:
    return {row["domain"]: row for row in json.loads(ended.out)["domains"]}


# --- 1. root's file handed to a user ----------------------------------------------------------------------------------

DROP_IN = "/home/labuser/.config/systemd/user.control/mydom.service.d/50-CPUQuota.conf"
UNIT_FILE = "/home/labuser/.config/systemd/user/mydom.service"
NATIVE = ("--quota", "50000", "--live", "--config", "--native")


def test_a_drop_in_that_is_a_link_to_a_secret_is_neither_read_nor_written(
    scratch: Scratch, cputune: CommandLine
) -> None:
    """Before: root read it, and wrote it as the user into a file that was the user's by then."""
    his(scratch, UNIT_FILE)
    his(scratch, DROP_IN).unlink()
    scratch.link(DROP_IN, secret(scratch))
    os.chown(scratch.path(DROP_IN), MALLORY, MALLORY, follow_symlinks=False)
    ended = cputune(scratch.host, "set", "systemd:1000/mydom.service", *NATIVE)
    assert ended.status == 5
    assert "50-CPUQuota.conf" in ended.err
    assert "secret" not in ended.out + ended.err
    host = scratch.host
    assert isinstance(host, RealHost)
    assert not [argv for argv, _ in host.ran if "SetUnitProperties" in argv or argv[0] in ("tee", "rm")]


def test_his_own_drop_in_goes_back_to_him_alone(scratch: Scratch, cputune: CommandLine) -> None:
    his(scratch, UNIT_FILE)
    his(scratch, DROP_IN, "[Service]\nCPUQuota=10%\n")
    ended = cputune(scratch.host, "set", "systemd:1000/mydom.service", *NATIVE, "--dry-run")
    assert ended.status == 0
    assert not [line for line in ended.out.splitlines() if line.startswith("edit ")]


@pytest.mark.parametrize("folder", ["/tmp/lxc", "/dev/shm/lxc"])
def test_a_configuration_where_everybody_can_write_is_nobodys(
    scratch: Scratch, cputune: CommandLine, folder: str
) -> None:
    """Before: the first directory above that was root's, /tmp itself, made it root's own."""
    scratch.folder(os.path.dirname(folder))
    scratch.path(os.path.dirname(folder)).chmod(0o1777)
    his(scratch, f"{folder}/evil/config", "lxc.cgroup.dir.container = system.slice\n")
    scratch.process(9001, "0::/\n", f"[lxc monitor] {folder} evil")
    scratch.process(9002, "0::/system.slice/cron.service\n", "/sbin/init", 9001)
    sockets = scratch.text("/proc/1/net/unix")
    scratch.file("/proc/1/net/unix", f"{sockets}0: 2 0 1 1 1 9 @{folder}/evil/command\n")
    assert cputune(scratch.host, "set", "evil", "--cpus", "0.1", "--live").status == 3
    ended = cputune(scratch.host, "set", "lxc:evil", *NATIVE)
    assert ended.status == 3


# --- 2. who it is -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("uids", ["1000\t0\t0\t0", "1000\t1000\t0\t1000", "0\t0\t0\t1000"])
def test_a_setuid_program_that_is_called_dockerd_is_no_daemon_of_roots(
    scratch: Scratch, cputune: CommandLine, uids: str
) -> None:
    """Before: `set web` limited a container that the user's files named, and ran docker on his socket."""
    record = {"Name": "/web", "State": {"Running": True, "Pid": 3468}}
    his(scratch, f"/home/labuser/fake/containers/{'e' * 64}/config.v2.json", json.dumps(record, separators=(",", ":")))
    scratch.process(9001, "0::/\n", "dockerd --data-root=/home/labuser/fake -H unix:///home/labuser/sock")
    for pid in (1, 9001):
        scratch.link(f"/proc/{pid}/ns/mnt", "mnt:[4026531841]")
    scratch.file("/proc/9001/status", f"Name:\tdockerd\nUid:\t{uids}\n")
    assert cputune(scratch.host, "set", "web", "--cpus", "0.3", "--live").status == 3
    assert "fake" not in cputune(scratch.host, "status").out


def test_a_daemon_of_roots_has_no_data_of_a_users(scratch: Scratch, cputune: CommandLine) -> None:
    his(scratch, f"/home/labuser/fake/containers/{'e' * 64}/config.v2.json", '{"Name":"/web","State":{}}')
    scratch.process(9001, "0::/\n", "dockerd --data-root=/home/labuser/fake")
    for pid in (1, 9001):
        scratch.link(f"/proc/{pid}/ns/mnt", "mnt:[4026531841]")
    assert cputune(scratch.host, "schedinfo", "web").status == 3


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., int]]:
    """Start a copy of a real program under the name dockerd."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(*, mode: int, uid: int, link: bool = False) -> int:
        if os.statvfs(tmp_path).f_flag & os.ST_NOSUID:
            give_up(f"setuid programs do not work in {tmp_path}")
        tmp_path.chmod(0o755)
        for folder in tmp_path.parents:
            if not os.stat(folder).st_mode & 0o001:
                folder.chmod(folder.stat().st_mode | 0o011)
        program = tmp_path / ("other" if link else "dockerd")
        program.write_bytes(Path("/usr/bin/perl").read_bytes())
        program.chmod(mode)
        called = tmp_path / "dockerd"
        if link:
            called.symlink_to(program)
        words = [str(called), "-e", "$| = 1; print 1; sleep 1000", "--", "--data-root=/home/mallory/x"]
        process = subprocess.Popen(words, user=uid, group=uid, extra_groups=(), stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout
        assert process.stdout.read(1) == b"1"
        return process.pid

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("mode", "uid", "link", "owner", "is_roots"),
    [
        (0o755, 0, False, 0, True),
        (0o755, 0, True, 0, False),  # the name of the link is not that of the program
        (0o4755, 0, False, None, False),
        (0o4755, 4242, False, None, False),
        (0o2755, 0, False, None, False),
        (0o777, 0, False, None, False),
        (0o755, 4242, False, 4242, False),
    ],
)
def test_real_processes_are_who_the_kernel_says(
    started: Callable[..., int], mode: int, uid: int, link: bool, owner: int | None, is_roots: bool
) -> None:
    if os.geteuid() != 0:
        give_up("only root can start programs as other users")
    process = identify(Host(), started(mode=mode, uid=uid, link=link))
    assert process
    assert (process.owner, process.is_roots("dockerd")) == (owner, is_roots)
    assert "--data-root=/home/mallory/x" in process.command


# --- 3. blocked, for ever or for long ---------------------------------------------------------------------------------


def everything_of_his(scratch: Scratch) -> list[Path]:
    """All files of his that belong to any runtime; where one does not look so far, there is nothing to break."""
    found = [path for folder in HIS[:2] for path in scratch.path(folder).rglob("*") if path.is_file()]
    return sorted(found)


def odd(path: Path, kind: str, target: str) -> None:
    """Put something else in the place of a file."""
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        os.mknod(path, 0o666 | 0o020000, os.makedev(1, 5))  # /dev/zero
    elif kind == "folder":
        path.mkdir()
    elif kind == "long":
        with path.open("w") as file:
            file.truncate(1 << 33)
    elif kind == "link":
        path.symlink_to(target)
    else:
        path.write_text("\n" * 1_000_000)
    os.chown(path, MALLORY, MALLORY, follow_symlinks=False)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "long", "link", "lines"])
def test_whatever_is_in_the_place_of_any_file_of_his_root_goes_on(
    scratch: Scratch, cputune: CommandLine, kind: str
) -> None:
    """Before: a FIFO as configuration held up `status`, `set` and the guard for ever, SIGTERM included."""
    files = everything_of_his(scratch)
    before = rows(cputune(scratch.host, "status", "--json"))
    roots = {name for name in before if ":1000/" not in name}
    target = secret(scratch)
    for path in files:
        kept = path.read_bytes()
        odd(path, kind, target)
        ended = cputune(scratch.host, "status", "--json")
        assert ended.status == 0, (path, ended.err)
        assert roots <= set(rows(ended)), path
        assert cputune(scratch.host, "set", "mydom.service", "--cpus", "0.5", "--dry-run").status == 0, path
        for name in [name for name in before if ":1000/" in name]:
            done = cputune(scratch.host, "set", name, *NATIVE, "--dry-run")
            assert 0 <= done.status <= 8
            assert "secret" not in done.out + done.err + ended.out + ended.err, path
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        path.write_bytes(kept)
        os.chown(path, MALLORY, MALLORY)
    covered = {path.relative_to(scratch.path("/")).parts[0] for path in files}
    assert covered == {"home", "run"}
    with_users = {name.partition(":")[0] for name in before if ":1000/" in name}
    of_users = {row.name for row in RUNTIMES.values() if any("UID/" in form for form in row.forms)}
    assert of_users - with_users <= {"lxc", "oci"}  # a runtime whose users' domains are not among these is not tested


def test_settings_of_a_million_lines_take_linear_time() -> None:
    """Before: minutes, at every bare name."""
    assert settings_in("\n" * 3_000_000 + 'graphroot = "/x"\n') == {"graphroot": "/x"}
    assert settings_in("graphroot" + " " * 3_000_000 + '= "/x"\n') == {"graphroot": "/x"}
    assert settings_in('graphroot = "' * 500_000) == {"graphroot": "graphroot = "}


def test_sockets_of_his_cost_one_look_each(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before: all processes were searched for each; and behind the first MiB of them, root's were not seen."""
    lines = "".join(f"0: 2 0 1 1 1 9 @/home/labuser/lxc/c{number}/command\n" for number in range(20_000))
    scratch.file("/proc/1/net/unix", lines + scratch.text("/proc/1/net/unix"))
    reads: list[str] = []
    reading = Host.read

    def counted(self: Host, path: str, limit: int = 1 << 26) -> str:
        reads.append(path)
        return reading(self, path, limit)

    monkeypatch.setattr(Host, "read", counted)
    found = [domain.qualified for domain in lookup.domains(Cgroups(scratch.host), ("lxc",))]
    assert "lxc:mydom" in found
    processes = len([name for name in os.listdir(scratch.path("/proc")) if name.isdigit()])
    assert len([path for path in reads if path.endswith("/cmdline")]) <= processes + 10


# --- 4. and 5. odd answers --------------------------------------------------------------------------------------------


SAID = ("t x\n", "", 's "a"\n', "t 1\nt 1\n", f"t {'9' * 5000}\n", "\x00\xff\n", "t -1\n", "t 1.5\n")


@pytest.mark.parametrize("said", SAID)
def test_whatever_his_bus_answers_is_an_error_of_that_unit(
    scratch: Scratch, cputune: CommandLine, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """Before: "unexpected ValueError"."""
    monkeypatch.setattr(RealHost, "answer", lambda _, name: HIS_UNIT[name] if name == "ControlGroup" else said)
    for words in (("status",), ("diff",), ("status", "systemd:1000/mydom.service")):
        ended = cputune(scratch.host, *words)
        assert ended.status in (0, 1, 2)
        assert "unexpected" not in ended.err
    ended = cputune(scratch.host, "set", "systemd:1000/mydom.service", "--quota", "50000", "--live")
    assert ended.status == 7, ended
    assert "the bus of user 1000 answered something else than the properties of mydom.service" in ended.err


def test_a_counter_that_is_no_number_ends_no_measurement(scratch: Scratch, cputune: CommandLine) -> None:
    for path in scratch.path("/sys/fs/cgroup").rglob("cpu.stat"):
        path.write_text("usage_usec x\nnr_periods\n\nnr_throttled 99999999999999999999999\n")
    assert cputune(scratch.host, "status", "--interval", "0.01").status == 0


def test_root_without_capabilities_believes_the_user_ids_alone(
    started: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look at the executable of a process with more capabilities takes CAP_SYS_PTRACE: ptrace(2)."""
    linked = Host.link
    monkeypatch.setattr(Host, "link", lambda self, path: None if path.endswith("/exe") else linked(self, path))
    roots, others = identify(Host(), started(mode=0o755, uid=0)), identify(Host(), os.getpid())
    assert roots
    assert others
    assert (roots.owner, roots.is_roots("dockerd")) == (0, True)
    assert not others.is_roots("dockerd")
